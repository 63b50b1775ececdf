"""Delivers all data at once: when a thread requests a flush, and after each async call with `flush_on_call`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from monitored_openai._logging import warn_sparsely

if TYPE_CHECKING:
    from monitored_openai._exporter.delivery.flush_gate import FlushGate

_EXPEDITED_SECONDS = 2.0
_Deliver = Callable[[], Awaitable[object]]


class Flushes:
    """Runs the flushes of an exporter on its loop."""

    def __init__(
        self,
        gate: FlushGate,
        record_calls: Callable[[], Awaitable[None]],
        *,
        push_totals: Callable[[], Awaitable[bool]] | None,
        others: Sequence[_Deliver],
    ) -> None:
        """`push_totals` returns true if the back end has accepted the totals; `others` deliver entries and samples."""
        self._gate = gate
        self._record_calls = record_calls
        self._push = push_totals
        self._others = others
        self.owes_totals = False
        """True if the last flush has not delivered the totals."""
        self._flushes: set[asyncio.Task[bool]] = set()
        # One for each signal: a back end that does not answer must not hold up the others.
        self._after_calls = [Repeatable(partial(self._deliver, one)) for one in (self._push_totals, *others)]

    @property
    def tasks(self) -> list[asyncio.Task[bool] | asyncio.Task[None]]:
        """The tasks of all flushes in progress."""
        return [*self._flushes, *(one.task for one in self._after_calls if one.task is not None)]

    async def flush(self) -> bool:
        """Record and deliver everything; true if the metrics back end has the latest totals, or if no URL for it is set.

        The end of the exporter cancels the flush, even if no thread waits for it.
        """
        flushing = asyncio.get_running_loop().create_task(self._flush())
        self._flushes.add(flushing)
        flushing.add_done_callback(self._flushes.discard)
        try:
            await asyncio.wait([flushing])
        finally:
            flushing.cancel()
        return not flushing.cancelled() and flushing.result()

    def flush_after_call(self) -> None:
        """Begin to deliver the data of a call that has ended. If a back end is down, the usual pace applies after 2 s."""
        self.owes_totals = self._push is not None
        self._gate.expedite_for(_EXPEDITED_SECONDS)
        for one in self._after_calls:
            one.repeat()

    async def _flush(self) -> bool:
        with self._gate.expedite():
            self.owes_totals = self._push is not None
            await self._record_calls()
            others = asyncio.gather(*(deliver() for deliver in self._others))
            pushed, _ = await asyncio.gather(self._push_totals(), others)
            return pushed

    async def _deliver(self, deliver: _Deliver) -> None:
        await self._record_calls()
        await deliver()

    async def _push_totals(self) -> bool:
        if self._push is None:
            return True
        self.owes_totals = True
        self.owes_totals = not await self._push()
        return not self.owes_totals


class Repeatable:
    """Work that runs once more after each request. Requests that come while it runs share the next run."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._is_due = False
        self.task: asyncio.Task[None] | None = None
        """The present run; `None` if nothing is due."""

    def repeat(self) -> None:
        """Begin the work now, or as soon as the present run ends."""
        self._is_due = True
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._is_due:
                self._is_due = False
                try:
                    await self._work()
                except Exception:
                    warn_sparsely("flush", "a flush failed", exc_info=True)
        finally:
            self.task = None

"""Pushes the totals of the host when a push is due, if no other process does.

No process is elected: the first one that takes the lock pushes for all, and releases the lock after the push. It sends
only values that the file contains, and records their sums and the time of the push before it sends them. So even after
a kill at any moment, the next push has a later time and no smaller values. No process takes the lock from another one,
because a stopped process may still send its request when it continues.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from monitored_openai._exporter.delivery.retry import Action, Step
from monitored_openai._exporter.host.merge import merge_gauges
from monitored_openai._exporter.spool.directory import is_damage
from monitored_openai._logging import warn_sparsely

if TYPE_CHECKING:
    from monitored_openai._exporter.delivery.flush_gate import FlushGate
    from monitored_openai._exporter.delivery.metrics_pusher import MetricsPusher
    from monitored_openai._exporter.host.directory import Holder
    from monitored_openai._exporter.host.series import HostSeries
    from monitored_openai._exporter.host.snapshots import HostTotals
    from monitored_openai._exporter.idle import Rest
    from monitored_openai._exporter.ledger import DeliveryLedger
    from monitored_openai._exporter.spool.lock import Lock
    from monitored_openai._exporter.values import CounterSnapshot
    from monitored_openai._metrics.series import Sample

_LOOK_SECONDS = 1.0
"""Seconds until the next attempt while another process pushes."""
_FLUSH_LOOK_SECONDS = 0.02
_MAX_SPREAD_SECONDS = 0.25
"""Seconds over which the processes spread their attempts."""
_MOST_SECONDS_UNTIL_DUE = 600.0
"""A due time further ahead comes from before a reboot, and counts as passed: a system may have no boot id."""
_SECONDS_UNTIL_STOPPED = 60.0
"""A process that holds the lock for two intervals and this time counts as stopped. A push is shorter."""


class HostPusher:
    """Takes turns with the other processes of the host to push the totals of all."""

    def __init__(
        self,
        host: HostTotals,
        series: HostSeries,
        pusher: MetricsPusher,
        ledger: DeliveryLedger,
        flush_gate: FlushGate,
        *,
        phase: float,
        rest: Rest,
        max_label_sets: int,
        seconds_until_stopped: float = _SECONDS_UNTIL_STOPPED,
    ) -> None:
        """`pusher` sends the values that `series` has loaded; `phase`: seconds before the first push of this process.

        `rest` pauses the pushes while nothing can change the values of this process.
        """
        self._host = host
        self._series = series
        self._pusher = pusher
        self._ledger = ledger
        self._flush_gate = flush_gate
        self._phase = phase
        self._rest = rest
        self._max_label_sets = max_label_sets
        self._seconds_until_stopped = 2 * series.interval + seconds_until_stopped
        self._seen: Holder | None = None
        self._reported: Holder | None = None
        self._due = 0.0
        """Earliest next push of this process in monotonic seconds. On a full disk, the file cannot record this time."""
        self._pushing = asyncio.Lock()
        if host.turn is not None:  # the exporter's thread has died during a push
            host.turn.release()
            host.turn = None

    async def run(self) -> None:
        """Push whenever a push is due, unless another process pushes or the handle rests; never return."""
        await self._rest.pause(self._phase)
        while True:
            await self._rest.pause(self._seconds_until_due() + random.uniform(0, self._spread))  # noqa: S311  # no secret
            step = await self._push_if_due()
            if step is not None:
                self._rest.pushed(taken=step.action is Action.DELIVERED and self._host.is_kept)
            elif not self._seconds_until_due():
                await asyncio.sleep(min(_LOOK_SECONDS, self._series.interval))

    @property
    def failure(self) -> str:
        """The reason why totals are not delivered, as text for a log line; empty if nothing was sent."""
        return self._pusher.failure

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pusher.aclose()

    async def flush(self) -> bool:
        """Write the values of this process, and push them, or wait until the push of another process has included them.

        Returns true if the back end has accepted them.
        """
        while not self._host.keep(at_once=True):
            await self._flush_gate.back_off(_LOOK_SECONDS, _LOOK_SECONDS)
        while not self._is_accepted():
            step = await self._push()
            if step is None:
                await asyncio.sleep(_FLUSH_LOOK_SECONDS)
                if not self._host.file.is_in_place():  # this push or another process has set the file aside
                    self._host.keep(at_once=True)
            elif step.action is Action.RETRY:
                await self._flush_gate.back_off(step.wait, step.at_least)
            elif step.action is Action.DROP:
                return False
        return True

    async def push_snapshots(self, snapshots: Sequence[CounterSnapshot]) -> bool:
        """Push the counters of an ended process that did not share its totals (see `MetricsPusher`)."""
        return await self._pusher.push_snapshots(snapshots)

    @property
    def _spread(self) -> float:
        return min(_MAX_SPREAD_SECONDS, self._series.interval / 4)

    def _seconds_until_due(self) -> float:
        try:
            left = self._host.state().due - time.monotonic()
        except (sqlite3.Error, OSError):
            return _LOOK_SECONDS
        return max(0.0, self._due - time.monotonic(), left if left < _MOST_SECONDS_UNTIL_DUE else 0.0)

    def _is_accepted(self) -> bool:
        try:
            return self._host.is_accepted()
        except (sqlite3.Error, OSError):
            return False

    async def _push_if_due(self) -> Step | None:
        self._host.keep()
        return None if self._seconds_until_due() else await self._push(if_due=True)

    async def _push(self, *, if_due: bool = False) -> Step | None:
        """Push the totals of all processes; `None` if another process pushes, or if the disk fails."""
        async with self._pushing:
            try:
                turn = self._host.directory.take_turn()
                if turn is None:
                    self._look_at_holder()
                    return None
                self._seen, self._host.turn = None, turn
                try:
                    if if_due and self._seconds_until_due():
                        return None
                    return await self._push_all()
                finally:
                    self._host.turn = None
                    turn.release()
            except (sqlite3.Error, OSError) as error:
                self._host.fails(error)
                return None

    async def _push_all(self) -> Step:
        gauges = self._load()
        step = Step(Action.RETRY)
        try:
            step = await self._pusher.push()
        finally:
            is_accepted = step.action is Action.DELIVERED
            interval = self._series.interval
            wait = max(min(step.wait, interval), step.at_least) if step.action is Action.RETRY else interval
            self._due = time.monotonic() + wait
            self._note_result(gauges if is_accepted else None, due=self._due)
        if is_accepted:
            await self._push_retired()
        return step

    def _note_result(self, gauges: Sequence[Sample] | None, *, due: float) -> None:
        """Record the result of a push, with its gauges if the back end has accepted it."""
        try:
            with self._host.file.transaction() as file:
                file.forget_births(self._series.unborn)
                file.note_result(accepted=gauges is not None, due=due, now_ns=time.time_ns())
                if gauges is not None:
                    file.show(gauges)
                state = file.state()
            self._host.note_pushed(state)
        except (sqlite3.Error, OSError) as error:
            self._host.fails(error)

    def _load(self) -> list[Sample]:
        """Record the totals of all processes and load them for the push, and return the gauges.

        On a full disk, load the totals that were recorded before.
        """
        try:
            return self._load_present()
        except (sqlite3.Error, OSError) as error:
            if is_damage(error):
                raise
            self._host.fails(error)
        with self._host.file.transaction() as file:
            self._series.load(file.state(), file.totals(file.born()), [], [])
        return []

    def _load_present(self) -> list[Sample]:
        host = self._host
        with self._locks_of_dead() as locks, host.file.transaction(durable=True) as file:
            for _ in range(file.fold(locks)):
                self._ledger.record_refused_snapshot()
            born = file.born()
            file.note_sums(pusher=os.getpid(), due=time.monotonic() + self._series.interval, boot=host.boot)
            shown = file.shown()
            gauges = merge_gauges(file.gauges(), max_label_sets=self._max_label_sets, shown=shown, folded=host.folded)
            file.show({(gauge.name, gauge.labels): gauge for gauge in (*shown, *gauges)}.values())
            self._series.load(file.state(), file.totals(born), gauges, shown)
            now_ms = self._series.plan()
            file.note_time(now_ms)
        return gauges

    @contextmanager
    def _locks_of_dead(self) -> Iterator[dict[str, Lock]]:
        """Take the locks of the processes that have ended, and remove them after the block has added their counters."""
        with self._host.file.transaction() as file:
            processes = file.processes()
        taken = ((process, self._host.directory.lock_of_dead(process)) for process in processes)
        locks = {process: lock for process, lock in taken if lock is not None}
        try:
            yield locks
        except BaseException:
            for lock in locks.values():
                lock.release()
            raise
        for lock in locks.values():
            self._host.directory.forget(lock)

    async def _push_retired(self) -> None:
        with self._host.file.transaction() as file:
            retired = file.retired()
        for epoch, totals in retired.items():
            if await self._pusher.push_snapshots(self._series.retired(epoch, totals)):
                with self._host.file.transaction() as file:
                    file.forget_retired(epoch)

    def _look_at_holder(self) -> None:
        """Warn once of a process that holds the lock for longer than a push takes."""
        holder = self._host.directory.holder()
        seen, self._seen = self._seen, holder
        if holder is None or holder != seen or holder == self._reported:
            return  # a killed process may have left the note: warn only if the next look finds the same one
        age = time.monotonic() - holder.since
        if age < self._seconds_until_stopped:
            return
        self._reported = holder
        if self._ledger.host is not None:
            self._ledger.host = replace(self._ledger.host, stopped_pushers=self._ledger.host.stopped_pushers + 1)
        warn_sparsely(
            "host stopped",
            "process %d holds the lock for the push of this host's totals, and took it %d s ago; if the process is "
            "stopped, continue or end it",
            holder.pid,
            age,
        )

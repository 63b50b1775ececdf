"""Provides waits that a flush, or enough queued data, ends early."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager


class FlushGate:
    """Knows whether a flush is in progress. During a flush, waits end immediately, and backoffs are short."""

    SHORT_BACKOFF = 0.25
    """Longest backoff in seconds while a flush is in progress, unless the back end demands more."""

    def __init__(self) -> None:
        self._holders = 0
        self._flushing = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def flush_in_progress(self) -> bool:
        """True if a flush is in progress."""
        return self._holders > 0

    @contextmanager
    def expedite(self) -> Iterator[None]:
        """Mark a flush as in progress for as long as the block lasts."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    def expedite_for(self, seconds: float) -> None:
        """Mark a flush as in progress for this time from now on."""
        if self._timer is None:
            self._begin()
        else:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._time_out)

    def _time_out(self) -> None:
        self._timer = None
        self._end()

    def _begin(self) -> None:
        self._holders += 1
        self._flushing.set()

    def _end(self) -> None:
        self._holders -= 1
        if not self._holders:
            self._flushing.clear()

    async def wait(self, seconds: float, until: asyncio.Event | None = None) -> None:
        """Wait for `seconds`, or until a flush begins or `until` is set."""
        events = [self._flushing] if until is None else [self._flushing, until]
        waiting = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def back_off(self, seconds: float, at_least: float) -> None:
        """Wait before the next request. A flush shortens this, but not below the `at_least` that the back end demands."""
        started = time.monotonic()
        if not self.flush_in_progress:
            await self.wait(seconds)
        if self.flush_in_progress:
            waited = time.monotonic() - started
            await asyncio.sleep(max(at_least, min(seconds, self.SHORT_BACKOFF)) - waited)

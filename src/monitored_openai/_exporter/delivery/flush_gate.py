"""Waiting that can be cut short: by work that is due early, by a flush, by the end of the process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager


class FlushGate:
    """How pressing it is to deliver. While it is, nobody lingers, and backoffs are short."""

    SHORT_BACKOFF = 0.25

    def __init__(self) -> None:
        self._holders = 0
        self._pressing = asyncio.Event()

    @property
    def pressing(self) -> bool:
        """Whether a flush is under way."""
        return self._holders > 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Press, for as long as the block lasts."""
        self._holders += 1
        self._pressing.set()
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._pressing.clear()

    async def linger(self, seconds: float, until: asyncio.Event | None = None) -> None:
        """Wait for so long, or until it presses or the other event happens."""
        events = [self._pressing] if until is None else [self._pressing, until]
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def back_off(self, seconds: float, at_least: float) -> None:
        """Wait before the next request; a flush shortens this, but not below what the back end demands."""
        started = time.monotonic()
        if not self.pressing:
            await self.linger(seconds)
        if self.pressing:
            waited = time.monotonic() - started
            await asyncio.sleep(max(at_least, min(seconds, self.SHORT_BACKOFF)) - waited)

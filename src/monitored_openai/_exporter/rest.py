"""The pauses between pushes of totals, and the rest after the last client is gone.

Unchanged totals must be pushed again and again while a client lives: without new samples a series ends after five
minutes. Totals that nothing can change any more may end, as those of an ended process do. When a client returns, the
first push after the rest has the old totals, so that `rate` and `increase` see what its calls add.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitored_openai._exporter.clients import Clients
    from monitored_openai._exporter.intake import Intake

PUSHES_BEFORE_REST = 20
"""Pushes of unchanged totals without a client: 5 minutes at the default interval, for clients that come and go."""


class Rest:
    """Counts the pushes that nobody needs, and waits for the next client or call after enough of them."""

    def __init__(self, intake: Intake, clients: Clients) -> None:
        self._intake = intake
        self._clients = clients
        self._stirred = asyncio.Event()
        self._folded = -1
        self._needless = 0

    def end(self) -> None:
        """Push again: a client or a call has come. Call this on the exporter's loop."""
        self._stirred.set()

    async def pause(self, seconds: float) -> None:
        """Wait `seconds` until the next push, or until `end` at rest."""
        if self._needless < PUSHES_BEFORE_REST or not self._is_over():
            await asyncio.sleep(seconds)
            return
        self._stirred.clear()
        await self._stirred.wait()
        self._needless = 0

    def pushed(self, *, taken: bool) -> None:
        """Note a push, and whether the back end has taken it."""
        folded = self._intake.stats().folded
        self._needless = self._needless + 1 if taken and folded == self._folded and self._is_over() else 0
        self._folded = folded

    def _is_over(self) -> bool:
        """Whether no client lives, no call is under way and nothing waits."""
        if self._clients.any or self._intake.active:
            return False
        stats = self._intake.stats()
        return not (stats.queued or stats.in_flight or stats.spooled or stats.metrics_queued or stats.samples.queued)

"""Decides when the exporter pushes totals; the pushes stop some time after the last client is gone.

While a client lives, unchanged totals are pushed repeatedly: without new samples a series ends after 5 minutes. Series
that can no longer change may end, like those of an ended process. This pause of the pushes is the *rest*. A new client
ends the rest, and the next push has the old totals, so that `rate` and `increase` see the growth by the new calls.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitored_openai._exporter.clients import Clients
    from monitored_openai._exporter.ledger import DeliveryLedger

PUSHES_BEFORE_REST = 20
"""Pushes of unchanged totals without a client before the rest: 5 minutes at an interval of 15 s."""


class Rest:
    """Counts pushes of unchanged totals without a client, and after enough of them waits for a client or a call."""

    def __init__(self, ledger: DeliveryLedger, clients: Clients) -> None:
        self._ledger = ledger
        self._clients = clients
        self._stirred = asyncio.Event()
        self._folded = -1
        self._needless = 0

    def end(self) -> None:
        """End the rest, after a new client or call. Call this on the exporter's loop."""
        self._stirred.set()

    async def pause(self, seconds: float) -> None:
        """Wait `seconds` until the next push or, at rest, until `end`."""
        if self._needless < PUSHES_BEFORE_REST or not self._is_over():
            await asyncio.sleep(seconds)
            return
        self._stirred.clear()
        await self._stirred.wait()
        self._needless = 0

    def pushed(self, *, taken: bool) -> None:
        """Note a push, and whether the back end has accepted it."""
        folded = self._ledger.stats().folded
        self._needless = self._needless + 1 if taken and folded == self._folded and self._is_over() else 0
        self._folded = folded

    def _is_over(self) -> bool:
        """True if no client lives, no call is in progress and nothing waits."""
        if self._clients.any or self._ledger.active:
            return False
        stats = self._ledger.stats()
        return not (stats.queued or stats.in_flight or stats.spooled or stats.metrics_queued or stats.samples.queued)

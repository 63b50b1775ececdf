"""Keeps the counters of this process in the spool until the back end has them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitored_openai._exporter.ledger import DeliveryLedger
    from monitored_openai._exporter.spool.file import SpoolFile
    from monitored_openai._exporter.spool.spool import Spool
    from monitored_openai._exporter.values import CounterSnapshot

SECONDS_BETWEEN_SNAPSHOTS = 1.0
_MAX_SHARE = 0.05
"""Largest share of the exporter's time for snapshots, which take long with many series."""


class SnapshotKeeper:
    """Writes a snapshot when calls have changed the counters, and clears it when a push has delivered them."""

    def __init__(
        self, spool: Spool, ledger: DeliveryLedger, take_snapshot: Callable[[], list[CounterSnapshot]]
    ) -> None:
        self._spool = spool
        self._ledger = ledger
        self._take_snapshot = take_snapshot
        self._kept = 0
        """Number of calls in the counters that the spool or the back end has."""
        self._kept_in: SpoolFile | None = None
        """The file that has them; `None` if the back end has them."""
        self._keep_at = 0.0

    def keep(self, *, at_once: bool = False) -> None:
        """Keep the current counters if neither the spool nor the back end has them; at most once a second unless `at_once`."""
        folded, started = self._ledger.stats().folded, time.monotonic()
        self._spool.look()
        has_them = folded == self._kept and (self._kept_in is None or self._kept_in is self._spool.own)
        if has_them or (started < self._keep_at and not at_once):
            return
        if self._spool.keep_totals(self._take_snapshot()):
            self._kept, self._kept_in = folded, self._spool.own
        now = time.monotonic()
        self._keep_at = now + max(SECONDS_BETWEEN_SNAPSHOTS, (now - started) / _MAX_SHARE)

    def on_result(self, folded: int, *, taken: bool) -> None:
        """Note the result of a push that began with `folded` calls in the counters."""
        if not taken:
            self.keep(at_once=True)
        elif folded >= self._kept:  # otherwise the spool has the counters of calls that ended since
            self._spool.keep_totals(())
            self._kept, self._kept_in = folded, None

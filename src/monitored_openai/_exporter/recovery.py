"""Delivers the data that ended processes left in the spool, and repeats failed writes to the disk."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from monitored_openai._exporter.spool.snapshots import SECONDS_BETWEEN_SNAPSHOTS, SnapshotKeeper

if TYPE_CHECKING:
    from monitored_openai._exporter.delivery.log_pusher import LogPusher
    from monitored_openai._exporter.delivery.log_queue import LogQueue
    from monitored_openai._exporter.delivery.metrics_pusher import MetricsPusher
    from monitored_openai._exporter.host.push import HostPusher
    from monitored_openai._exporter.ledger import DeliveryLedger
    from monitored_openai._exporter.spool.file import SpoolFile
    from monitored_openai._exporter.spool.spool import Spool

_LOOK_SECONDS = 60.0
"""Seconds between searches for the files of ended processes."""


class SpoolRecovery:
    """Adopts the files of ended processes, and keeps the counters of this process in the spool."""

    def __init__(
        self,
        spool: Spool,
        log_queue: LogQueue,
        ledger: DeliveryLedger,
        *,
        keeper: SnapshotKeeper | None,
        log_pusher: LogPusher | None,
        metrics_pusher: MetricsPusher | HostPusher | None,
    ) -> None:
        """A pusher is `None` if the settings need none; `keeper` is `None` without a metrics pusher or with `host_dir`."""
        self._spool = spool
        self._log_queue = log_queue
        self._ledger = ledger
        self._keeper = keeper
        self._log_pusher = log_pusher
        self._metrics_pusher = metrics_pusher
        self._look_at = 0.0

    async def run(self) -> None:
        """Adopt files, and spool the entries and counters that are not spooled yet, forever."""
        while True:
            self._log_queue.store()
            if time.monotonic() >= self._look_at:
                self._adopt()
            for file in self._spool.adopted.copy():
                await self._push_snapshots(file)
            self._spool.used_up()
            self.keep()
            self._ledger.spool_bytes = self._spool.bytes
            await asyncio.sleep(SECONDS_BETWEEN_SNAPSHOTS)

    def keep(self, *, at_once: bool = False) -> None:
        """Keep the counters of this process (see `SnapshotKeeper.keep`), and notice a removed file."""
        if self._keeper is not None:
            self._keeper.keep(at_once=at_once)
        else:
            self._spool.look()

    def _adopt(self) -> None:
        adopted, expired = self._spool.adopt()
        for number in (*(file.waiting for file in adopted), expired):
            self._ledger.record_adopted(number)
        if expired:
            self._ledger.record_evicted(expired, "expired")
        if adopted and self._log_pusher is not None:
            self._log_pusher.more()
        self._look_at = time.monotonic() + (0.0 if self._spool.is_full_of_adopted else _LOOK_SECONDS)

    async def _push_snapshots(self, file: SpoolFile) -> None:
        if file.is_of_this_process:  # removed from the directory: its counters are those of a living process
            self._spool.forget_totals(file)
            return
        snapshots, damaged = self._spool.totals(file)
        if not (snapshots or damaged) or self._metrics_pusher is None:
            return
        if await self._metrics_pusher.push_snapshots(snapshots):
            for _ in range(damaged):
                self._ledger.record_refused_snapshot()
            self._spool.forget_totals(file)

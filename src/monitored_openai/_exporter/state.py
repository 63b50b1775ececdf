"""The state that survives if the thread of an exporter dies and a new exporter replaces it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitored_openai._exporter.delivery.log_queue import LogQueue
    from monitored_openai._exporter.delivery.sample_queue import SampleQueue
    from monitored_openai._exporter.delivery.series import PushedSeries
    from monitored_openai._exporter.host.snapshots import HostTotals
    from monitored_openai._exporter.spool.snapshots import SnapshotKeeper
    from monitored_openai._exporter.spool.spool import Spool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterState:
    """The data of one handle on the exporter's thread, without tasks, events or connections of its loop."""

    instance: str
    """The value of the metrics' label `instance`."""
    spool: Spool | None
    log_queue: LogQueue
    series: PushedSeries | None
    keeper: SnapshotKeeper | None
    samples: SampleQueue | None
    host: HostTotals | None

    def on_fork(self) -> None:
        """Close the parent's lock files in a forked child; the parent keeps its locks."""
        if self.spool is not None:
            self.spool.forked()
        if self.host is not None:
            self.host.forked()

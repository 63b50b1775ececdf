"""What an exporter is made of, as the settings ask for it."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from monitored_openai._exporter.backlog import Backlog
from monitored_openai._exporter.keeping import Keeping
from monitored_openai._exporter.log_lane import LogLane
from monitored_openai._exporter.metrics_lane import MetricsLane
from monitored_openai._exporter.protocol import PROTOCOLS
from monitored_openai._exporter.sample_lane import SampleLane
from monitored_openai._exporter.sender import Sender
from monitored_openai._log import warn_sparsely

if TYPE_CHECKING:
    from monitored_openai._endpoints import Lane
    from monitored_openai._exporter.clients import Clients
    from monitored_openai._exporter.intake import Intake
    from monitored_openai._exporter.rest import Rest
    from monitored_openai._exporter.spool import Spool
    from monitored_openai._exporter.totals import Totals
    from monitored_openai._exporter.urgency import Urgency
    from monitored_openai._metrics import Sample
    from monitored_openai._settings import MonitoringSettings


class Parts:
    """Makes each part once; `None` for one that the settings do not ask for."""

    def __init__(
        self,
        settings: MonitoringSettings,
        intake: Intake,
        totals: Totals,
        urgency: Urgency,
        instance: str,
        *,
        clients: Clients,
    ) -> None:
        """`instance` is the metrics' label; senders keep no connection for long without `clients`."""
        self._settings = settings
        self._intake = intake
        self._totals = totals
        self._urgency = urgency
        self._clients = clients
        self._stream = {"job": settings.job, **settings.shared_labels}
        self._labels = {**self._stream, "instance": instance}

    def spool(self) -> Spool | None:
        """Where entries and totals wait on disk."""
        if self._settings.spool_dir is None or not (self._settings.logs_url or self._settings.metrics_url):
            return None
        try:
            from monitored_openai._exporter.spool import open_spool
        except ImportError as missing:
            warn_sparsely("spool", "there can be no spool on this system, everything stays in memory: %s", missing)
            return None
        return open_spool(self._settings, self._stream, self._intake.forgets)

    def backlog(self, spool: Spool | None) -> Backlog:
        """The entries that wait, there or in memory."""
        return Backlog(
            self._intake, stream=self._stream, shards=self._settings.log_shards, spool=spool, now_ns=_steady_ns()
        )

    def keeping(
        self, spool: Spool | None, backlog: Backlog, log_lane: LogLane | None, metrics_lane: MetricsLane | None
    ) -> Keeping | None:
        """What the spool is for besides new entries."""
        return None if spool is None else Keeping(spool, backlog, self._intake, log_lane, metrics_lane)

    def log_lane(self, backlog: Backlog) -> LogLane | None:
        """The sending of entries."""
        sender = self._sender("logs", self._settings.logs_url)
        if sender is None:
            return None
        return LogLane(
            backlog,
            sender,
            self._urgency,
            linger=self._settings.log_linger,
            timed=partial(self._totals.timed, "logs"),
        )

    def metrics_lane(self, samples: Callable[[], list[Sample]], rest: Rest) -> MetricsLane | None:
        """The pushing of every series' present value."""
        sender = self._sender("metrics", self._settings.metrics_url)
        if sender is None:
            return None
        interval = self._settings.push_seconds
        return MetricsLane(
            self._intake,
            sender,
            self._urgency,
            protocol=PROTOCOLS[self._settings.metrics_protocol],
            samples=samples,
            labels=self._labels,
            interval=interval,
            phase=interval * (zlib.crc32(self._labels["instance"].encode()) / 2**32),
            rest=rest,
            timed=partial(self._totals.timed, "metrics"),
        )

    def sample_lane(self) -> SampleLane | None:
        """The sending of samples of single calls."""
        if "grafana_openai" not in self._settings.metric_names:
            return None
        sender = self._sender("metrics", self._settings.metrics_url)
        if sender is None:
            return None
        return SampleLane(
            self._intake.samples,
            sender,
            self._urgency,
            protocol=PROTOCOLS[self._settings.metrics_protocol],
            labels=self._labels,
            max_models=self._settings.max_label_sets,
            interval=self._settings.push_seconds,
            timed=partial(self._totals.timed, "metrics"),
        )

    def _sender(self, lane: Lane, url: str | None) -> Sender | None:
        return None if url is None else Sender(url, lane, self._settings, self._clients)


def _steady_ns() -> Callable[[], int]:
    """Nanoseconds of the epoch, which no later change of the clock moves."""
    offset = time.time_ns() - time.monotonic_ns()
    return lambda: time.monotonic_ns() + offset

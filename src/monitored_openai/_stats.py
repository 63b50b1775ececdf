"""The counts of an exporter, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

DropReason = Literal[
    "queue_full",
    "sampled",
    "fault",
    "rejected",
    "too_large",
    "over_limit",
    "misconfigured",
    "retry_exhausted",
    "unconfirmed",
    "clock",
    "shutdown",
    "closed",
    "spool_full",
    "expired",
    "corrupt",
    "purged",
]
"""Reasons for a loss; the values of the metric label ``reason``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleStats:
    """Counts of the legacy samples, all zero unless the setting `metric_names` includes `grafana_openai`.

    These samples belong to the series of the package `grafana-openai-monitoring`.

    ``produced == delivered + sum(dropped.values()) + queued`` at every instant.
    """

    produced: int = 0
    """Samples created: up to five for each call."""
    delivered: int = 0
    """Samples that the back end accepted."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Number of samples dropped, by reason."""
    queued: int = 0
    """Samples that wait or are in the current request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStats:
    """The common set of series of this host, as this process last saw it."""

    epoch: str = ""
    """The last part of the metrics label ``instance``."""
    pusher: int | None = None
    """Process ID of the process that pushed last; ``None`` before the first push."""
    processes: int = 0
    """Number of living processes at the last push."""
    last_push_ns: int | None = None
    """Time of the last accepted push of any process, in nanoseconds since the epoch; ``None`` before the first."""
    stopped_pushers: int = 0
    """Number of processes that held the lock for a push so long that they were probably stopped."""
    fallbacks: int = 0
    """1 if this process pushes its own set of series, because `host_dir` cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counts of one exporter at one instant, since its handle was created or the process was forked.

    Two equations hold at every instant:

    - log entries: ``produced == delivered + sum(dropped.values()) + queued + in_flight + spooled``
    - metrics: ``calls == folded + sum(metrics_dropped.values()) + metrics_queued``
    """

    calls: int
    """Calls that have ended."""
    active: int
    """Calls that have not ended yet."""
    produced: int
    """Log entries: one for each call if the setting `logs_url` is set, plus the adopted entries."""
    delivered: int
    """Log entries that Loki accepted."""
    dropped: Mapping[str, int]
    """Number of log entries dropped, by reason."""
    queued: int
    """Log entries that wait in memory."""
    in_flight: int
    """Log entries in the current request."""
    spooled: int
    """Log entries that wait on disk."""
    adopted: int
    """Log entries adopted from the spools of ended processes."""
    spool_bytes: int
    """Size of the spool directory in bytes, as this exporter last measured it."""
    cut: int
    """Delivered or waiting log entries that lack the rest of long content, or a part that Loki refused."""
    content_failed: int
    """Log entries without content, because the redaction failed."""
    folded: int
    """Calls added to the counters."""
    metrics_dropped: Mapping[str, int]
    """Number of calls missing from the counters, by reason."""
    metrics_queued: int
    """Calls not yet added to the counters."""
    samples: SampleStats = field(default_factory=SampleStats)
    """Counts of the legacy samples."""
    pushes: int
    """Pushes of metrics that the back end accepted."""
    failed_pushes: int
    """Pushes of metrics that failed; the next push includes their values."""
    totals_refused: int = 0
    """Lost counter snapshots of ended processes, from their spools or from the file of `host_dir`.

    A snapshot is lost if it is damaged, if it is too old for the back end, or if the back end has newer samples.
    """
    host: HostStats | None = None
    """The common set of series of this host; ``None`` without the setting `host_dir`."""
    last_push_ns: int | None
    """Time of the last accepted push of metrics, in nanoseconds since the epoch; ``None`` before the first."""
    last_delivery_ns: int | None
    """Time of the last accepted push of log entries, in nanoseconds since the epoch; ``None`` before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushResult:
    """The result of a flush."""

    complete: bool
    """True if the exporter has delivered or dropped all recorded data, so that none wait; false after a timeout."""
    delivered: int
    """Log entries that Loki has accepted since the handle was created or the process was forked."""
    dropped: int
    """Log entries dropped since the handle was created or the process was forked."""
    left: int
    """Log entries that wait in memory or on disk, or are in the current request."""
    pushed: bool
    """True if the metrics back end has the latest counters; false without the setting `metrics_url`."""

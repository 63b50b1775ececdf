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
"""The reasons for a loss; the values of the metric label ``reason``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleStats:
    """Counts of the samples of single calls, if `metric_names` includes the predecessor's series.

    ``produced == delivered + sum(dropped.values()) + queued`` at every instant.
    """

    produced: int = 0
    """Samples created: up to five for each call."""
    delivered: int = 0
    """Samples that the back end accepted."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Samples dropped, by reason."""
    queued: int = 0
    """Samples waiting or in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counts of one exporter at one instant, since the process started or was forked.

    For the log entries ``produced == delivered + sum(dropped.values()) + queued + in_flight + spooled``, and for the
    metrics ``calls == folded + sum(metrics_dropped.values()) + metrics_queued``, at every instant.
    """

    calls: int
    """Calls that have ended."""
    active: int
    """Calls that have not ended yet."""
    produced: int
    """Log entries: one for each call, if a `logs_url` is set, and the adopted ones."""
    delivered: int
    """Log entries that Loki accepted."""
    dropped: Mapping[str, int]
    """Log entries dropped, by reason."""
    queued: int
    """Log entries waiting in memory."""
    in_flight: int
    """Log entries in the current request."""
    spooled: int
    """Log entries on disk, without those in the current request."""
    adopted: int
    """Log entries adopted from the spools of ended processes."""
    spool_bytes: int
    """Bytes in the spool's directory, when this exporter last measured it."""
    cut: int
    """Log entries, delivered or waiting, that were shortened: their content, or a part that the back end refused."""
    content_failed: int
    """Log entries without content, because the redactor raised."""
    folded: int
    """Calls added to the counters."""
    metrics_dropped: Mapping[str, int]
    """Calls missing from the counters, by reason."""
    metrics_queued: int
    """Calls not yet added to the counters."""
    samples: SampleStats = field(default_factory=SampleStats)
    """The samples of single calls."""
    pushes: int
    """Pushes of metrics that the back end accepted."""
    failed_pushes: int
    """Pushes of metrics that failed; the next push includes their values."""
    totals_refused: int = 0
    """Counter snapshots of ended processes, adopted from their spools, that were damaged or that the back end refused
    (because it has newer samples, or accepts none so old)."""
    last_push_ns: int | None
    """Time of the last accepted push of metrics."""
    last_delivery_ns: int | None
    """Time of the last accepted push of log entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushResult:
    """The result of a flush."""

    complete: bool
    """Whether everything produced before the flush has been delivered or given up for good; false after a timeout."""
    delivered: int
    """Log entries that Loki accepted since the start of the process."""
    dropped: int
    """Log entries dropped since the start of the process."""
    left: int
    """Log entries still waiting or in flight."""
    pushed: bool
    """Whether the metrics' back end has the latest totals; false without a `metrics_url`."""

"""The books of an exporter, as values."""

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
"""Every way to be given up; the values of the metric label ``reason``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleStats:
    """What has become of the samples that calls bring one by one, when `metric_names` asks for such series.

    ``produced == delivered + sum(dropped.values()) + queued`` at every instant.
    """

    produced: int = 0
    """Samples to be: up to five for each call."""
    delivered: int = 0
    """Samples that the back end took."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Samples given up, by reason."""
    queued: int = 0
    """Samples that wait or are on their way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What has become of the calls of one exporter, at one instant, since the process started (or was forked).

    For the log entries ``produced == delivered + sum(dropped.values()) + queued + in_flight + spooled``, and for the
    metrics ``calls == folded + sum(metrics_dropped.values()) + metrics_queued``, at every instant.
    """

    calls: int
    """Calls that ended."""
    active: int
    """Calls that have not ended yet."""
    produced: int
    """Log entries to be: one for each call, when a `logs_url` is set, and those adopted."""
    delivered: int
    """Log entries that Loki took."""
    dropped: Mapping[str, int]
    """Log entries given up, by reason."""
    queued: int
    """Log entries that wait."""
    in_flight: int
    """Log entries in the request that is under way."""
    spooled: int
    """Log entries on disk, but for those in the request that is under way."""
    adopted: int
    """Log entries taken over from the spools of processes that have ended."""
    spool_bytes: int
    """Size of the spool's directory, when this exporter last looked at it."""
    cut: int
    """Log entries delivered or waiting with a part cut off: of their content, or of what the back end refused."""
    content_failed: int
    """Log entries without their content because the redaction of it raised."""
    folded: int
    """Calls added to the counters."""
    metrics_dropped: Mapping[str, int]
    """Calls missing from the counters, by reason."""
    metrics_queued: int
    """Calls on their way to the counters."""
    samples: SampleStats = field(default_factory=SampleStats)
    """The samples of single calls."""
    pushes: int
    """Pushes of metrics that the back end took."""
    failed_pushes: int
    """Pushes of metrics that failed; the next one makes up for it."""
    totals_refused: int = 0
    """Parts of the totals of processes that have ended, taken over from their spools, that the back end refused (it has
    later ones, or takes none so old) or that were damaged."""
    last_push_ns: int | None
    """When the back end last took metrics."""
    last_delivery_ns: int | None
    """When Loki last took entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushResult:
    """What a flush achieved."""

    complete: bool
    """Whether everything produced before the flush has been delivered or given up for good; false after a timeout."""
    delivered: int
    """Log entries that Loki took, since the start of the process."""
    dropped: int
    """Log entries given up, since the start of the process."""
    left: int
    """Log entries that still wait, or are on their way."""
    pushed: bool
    """Whether the metrics' back end has the latest totals; false without a `metrics_url`."""

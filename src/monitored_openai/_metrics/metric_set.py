"""Selects the metrics that a process exposes and the buckets of their histograms, as the settings require."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from monitored_openai._metrics.names import (
    CALL_METRICS,
    COST,
    COST_INCOMPLETE,
    DROPPED,
    DURATION,
    IN_FLIGHT,
    LAST_SUCCESS,
    OWN_METRICS,
    PROCESSING,
    PRODUCED,
    QUEUED,
    RATE_LIMIT_METRICS,
    RETRIES,
    SAVINGS,
    SECONDS,
    SEND_SECONDS,
    SPOOL_BYTES,
    TIME_PER_OUTPUT_CHUNK,
    TIME_TO_FIRST_CHUNK,
    TOKEN_DETAILS,
    TOKEN_USAGE,
    TOKENS_TOTAL,
    UNPRICED,
    USAGE_UNKNOWN,
    Metric,
)

Histograms = Literal["lean", "coarse", "full"]
Bounds = tuple[float, ...]

METRICS = {metric.name: metric for metric in (*CALL_METRICS, *RATE_LIMIT_METRICS, *OWN_METRICS)}

LEAN_SECONDS: Bounds = SECONDS[3:15]
"""0.08 s to 163.84 s by a factor of 2: a subset of the full bounds, so that a sum of both by `le` is correct."""
COARSE_SECONDS: Bounds = SECONDS[2:15:2]
"""0.04 s to 163.84 s by a factor of 4."""

_MEAN_ONLY: dict[Metric, Bounds] = {PROCESSING: (), TIME_PER_OUTPUT_CHUNK: (), SEND_SECONDS: ()}
_READ_BY_NO_DASHBOARD = frozenset({TOKEN_USAGE, IN_FLIGHT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """The changes that one value of the setting `histograms` makes to the definitions of the metrics."""

    bounds: Mapping[Metric, Bounds] = field(default_factory=dict)
    """Without bounds, a histogram has only its sum and its count."""
    left_out: frozenset[Metric] = frozenset()
    labels_without_buckets: frozenset[str] = frozenset()
    """Labels of a pushed histogram's sum and count that its buckets do not have."""


DETAILS: Mapping[Histograms, Detail] = {
    "lean": Detail(
        bounds={DURATION: LEAN_SECONDS, TIME_TO_FIRST_CHUNK: LEAN_SECONDS, **_MEAN_ONLY},
        left_out=_READ_BY_NO_DASHBOARD,
        labels_without_buckets=frozenset({"error_type"}),
    ),
    "coarse": Detail(
        bounds={DURATION: COARSE_SECONDS, TIME_TO_FIRST_CHUNK: COARSE_SECONDS, **_MEAN_ONLY},
        left_out=_READ_BY_NO_DASHBOARD,
        labels_without_buckets=frozenset({"error_type"}),
    ),
    "full": Detail(),
}

SCHEME_BUCKETS: Mapping[str, frozenset[Metric]] = {
    "gen_ai": frozenset({DURATION, TIME_TO_FIRST_CHUNK}),
    "grafana_openai": frozenset(),
}
"""The histograms whose buckets the dashboards of each metric-name scheme read: they have buckets in every detail."""

REQUIRED = frozenset(
    {
        *(DURATION, TOKENS_TOTAL, TOKEN_DETAILS, COST, COST_INCOMPLETE, SAVINGS, UNPRICED, USAGE_UNKNOWN, RETRIES),
        *(PRODUCED, DROPPED, QUEUED, LAST_SUCCESS, SPOOL_BYTES),
    }
)
"""Metrics that cannot be left out: without them, a dashboard, a report or the local page would show zero, or an alert
would fire for no reason or never."""


@dataclass(frozen=True, slots=True)
class MetricSet:
    """The exposed metrics."""

    names: frozenset[str]
    """The names of the metrics, without the suffixes of a histogram's series."""
    bounds: Mapping[Metric, Bounds]
    """The bounds of each exposed histogram; without bounds, it has only its sum and its count."""
    labels_without_buckets: frozenset[str]

    def has(self, metric: Metric) -> bool:
        """Return whether the metric is exposed."""
        return metric.name in self.names

    @property
    def series_names(self) -> frozenset[str]:
        """The names of the series of the exposed metrics."""
        return frozenset(series for name in self.names for series in METRICS[name].series_names)


def metric_set(
    histograms: Histograms = "lean", *, left_out: Iterable[str] = (), schemes: Iterable[str] = ("gen_ai",)
) -> MetricSet:
    """Return the metrics for the settings `histograms`, `metrics_left_out` and `metric_names`."""
    detail = DETAILS[histograms]
    needed = frozenset[Metric]().union(*(SCHEME_BUCKETS[scheme] for scheme in schemes))
    names = METRICS.keys() - {metric.name for metric in detail.left_out - needed} - set(left_out)
    bounds = {
        metric: detail.bounds.get(metric, metric.bounds) or (metric.bounds if metric in needed else ())
        for metric in METRICS.values()
        if metric.type == "histogram" and metric.name in names
    }
    return MetricSet(frozenset(names), bounds, detail.labels_without_buckets)


def bounds_of(grown: Iterable[float]) -> Bounds:
    """Return the bounds of the histogram whose buckets with these upper bounds have grown.

    The counts of buckets are cumulative, so every bucket above a grown one has grown as well. If
    the grown buckets fit no single detail, processes with different settings filled them; the result then has all
    grown bounds, and every full bound below the lowest of them.
    """
    finite = tuple(sorted(bound for bound in grown if bound in _SECONDS))
    for bounds in (LEAN_SECONDS, COARSE_SECONDS, SECONDS):
        if finite == bounds[len(bounds) - len(finite) :]:
            return bounds
    return tuple(bound for bound in SECONDS if bound < finite[0] or bound in finite)


_SECONDS = frozenset(SECONDS)

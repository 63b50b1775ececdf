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
    INPUT_TOKENS,
    LAST_SUCCESS,
    OTEL_GENAI_METRICS,
    OUTPUT_TOKENS,
    OWN_METRICS,
    PROCESSING,
    PRODUCED,
    QUEUED,
    RATE_LIMIT_METRICS,
    REQUESTS,
    RETRIES,
    SAVINGS,
    SECONDS,
    SEND_SECONDS,
    SPOOL_BYTES,
    TIME_PER_OUTPUT_CHUNK,
    TIME_TO_FIRST_CHUNK,
    TIME_TO_FIRST_TOKEN,
    TOKEN_DETAILS,
    TOKEN_USAGE,
    TOKENS,
    TOKENS_TOTAL,
    UNPRICED,
    USAGE_COST,
    USAGE_UNKNOWN,
    Metric,
)

Histograms = Literal["lean", "coarse", "full"]
Bounds = tuple[float, ...]

METRICS = {metric.name: metric for metric in (*CALL_METRICS, *OTEL_GENAI_METRICS, *RATE_LIMIT_METRICS, *OWN_METRICS)}

LEAN_SECONDS: Bounds = SECONDS[3:15]
"""0.08 s to 163.84 s by a factor of 2: a subset of the full bounds, so that a sum of both by `le` is correct."""
COARSE_SECONDS: Bounds = SECONDS[2:15:2]
"""0.04 s to 163.84 s by a factor of 4."""
LEAN_TOKENS: Bounds = TOKENS[1:7]
"""4 to 4,096 by a factor of 4: the bounds that the dashboards of `otel_genai` select."""

_READ_BY_NO_DASHBOARD = frozenset({TOKEN_USAGE, IN_FLIGHT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """The changes that one value of the setting `histograms` makes to the definitions of the metrics."""

    bounds: Mapping[Metric, Bounds] = field(default_factory=dict)
    """Without bounds, a histogram has only its sum and its count."""
    left_out: frozenset[Metric] = frozenset()
    labels_without_buckets: frozenset[str] = frozenset()
    """Labels of a pushed histogram's sum and count that its buckets do not have."""


def _bounds(seconds: Bounds) -> Mapping[Metric, Bounds]:
    return {
        **dict.fromkeys((DURATION, TIME_TO_FIRST_CHUNK, TIME_TO_FIRST_TOKEN), seconds),
        **dict.fromkeys((PROCESSING, TIME_PER_OUTPUT_CHUNK, SEND_SECONDS), ()),
        TOKEN_USAGE: LEAN_TOKENS,
    }


DETAILS: Mapping[Histograms, Detail] = {
    "lean": Detail(
        bounds=_bounds(LEAN_SECONDS),
        left_out=_READ_BY_NO_DASHBOARD,
        labels_without_buckets=frozenset({"error_type"}),
    ),
    "coarse": Detail(
        bounds=_bounds(COARSE_SECONDS),
        left_out=_READ_BY_NO_DASHBOARD,
        labels_without_buckets=frozenset({"error_type"}),
    ),
    "full": Detail(),
}

REQUIRED = frozenset(
    {
        *(DURATION, TOKENS_TOTAL, TOKEN_DETAILS, COST, COST_INCOMPLETE, SAVINGS, UNPRICED, USAGE_UNKNOWN, RETRIES),
        *(PRODUCED, DROPPED, QUEUED, LAST_SUCCESS, SPOOL_BYTES),
    }
)
"""Metrics that cannot be left out: without them, a dashboard, a report or the local page would show zero, or an alert
would fire for no reason or never."""

SCHEME_METRICS: Mapping[str, frozenset[Metric]] = {
    "gen_ai": frozenset({*CALL_METRICS, *RATE_LIMIT_METRICS}),
    "otel_genai": frozenset({*OTEL_GENAI_METRICS, TOKEN_USAGE, *(REQUIRED - {*OWN_METRICS})}),
    "grafana_openai": frozenset(),
}
"""The metrics of calls in each metric-name scheme. Each scheme with metrics of calls includes the required ones, so
that the package's own dashboards show nothing false with it.
"""
SCHEME_BUCKETS: Mapping[str, frozenset[Metric]] = {
    "gen_ai": frozenset({DURATION, TIME_TO_FIRST_CHUNK}),
    "otel_genai": frozenset({DURATION, TIME_TO_FIRST_CHUNK, TIME_TO_FIRST_TOKEN, TOKEN_USAGE, USAGE_COST}),
    "grafana_openai": frozenset(),
}
"""The histograms that have buckets in every detail, by metric-name scheme: the scheme's dashboards read these buckets,
or those of a metric derived from the histogram.
"""
CALL_SCHEMES = frozenset(scheme for scheme, metrics in SCHEME_METRICS.items() if metrics)
"""The schemes with counters and histograms of calls."""

SOURCES: Mapping[Metric, Metric] = {
    REQUESTS: DURATION,
    INPUT_TOKENS: TOKENS_TOTAL,
    OUTPUT_TOKENS: TOKENS_TOTAL,
    TIME_TO_FIRST_TOKEN: TIME_TO_FIRST_CHUNK,
}
"""The metric of the store from which each derived metric comes."""


@dataclass(frozen=True, slots=True)
class MetricSet:
    """The exposed metrics, and those that the store keeps for them."""

    names: frozenset[str]
    """The names of the exposed metrics, without the suffixes of a histogram's series."""
    kept: frozenset[str]
    """The names of the metrics that the store keeps: also the sources of the derived metrics."""
    bounds: Mapping[Metric, Bounds]
    """The bounds of each kept histogram; without bounds, it has only its sum and its count."""
    labels_without_buckets: frozenset[str]
    otel_genai: bool = False
    """Whether the scheme `otel_genai` is on."""

    def has(self, metric: Metric) -> bool:
        """Return whether the store keeps the metric."""
        return metric.name in self.kept

    @property
    def series_names(self) -> frozenset[str]:
        """The names of the series of the exposed metrics."""
        return frozenset(series for name in self.names for series in METRICS[name].series_names)


def metric_set(
    histograms: Histograms = "lean", *, left_out: Iterable[str] = (), schemes: Iterable[str] = ("gen_ai",)
) -> MetricSet:
    """Return the metrics for the settings `histograms`, `metrics_left_out` and `metric_names`."""
    detail = DETAILS[histograms]
    on = frozenset(schemes)
    of_calls = frozenset[Metric]().union(*(SCHEME_METRICS[scheme] for scheme in on)) or SCHEME_METRICS["gen_ai"]
    read = frozenset[Metric]().union(*(SCHEME_BUCKETS[scheme] for scheme in on))
    names = frozenset(metric.name for metric in of_calls.union(OWN_METRICS) - (detail.left_out - read)) - set(left_out)
    kept = names.union(source.name for metric, source in SOURCES.items() if metric.name in names)
    bounds = {
        metric: detail.bounds.get(metric, metric.bounds) or (metric.bounds if metric in read else ())
        for metric in METRICS.values()
        if metric.type == "histogram" and metric.name in kept
    }
    return MetricSet(names, kept, bounds, detail.labels_without_buckets, otel_genai="otel_genai" in on)


def bounds_of(grown: Iterable[float]) -> Bounds:
    """Return the bounds of a histogram, from the upper bounds of those buckets that have grown.

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

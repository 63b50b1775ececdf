"""Counts by model from the API, the metrics and the log, and the differences between them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from monitored_openai._local.ingest import ReceivedEntry
from monitored_openai._local.quantile import histogram_quantile
from monitored_openai._local.remote_write_decoder import Series
from monitored_openai._metrics import names

Kind = Literal[
    "calls",
    "errors",
    "repeated requests",
    "calls without usage",
    "incomplete costs",
    "input tokens",
    "output tokens",
    "cached input tokens",
    "reasoning tokens",
]
Counts: TypeAlias = Counter[tuple[str, Kind]]
"""Numbers by model and kind."""

TOKENS: tuple[Kind, ...] = ("input tokens", "output tokens")
"""The kinds that add up to all tokens; cached and reasoning tokens are parts of these."""
MODEL, FEATURE = "gen_ai_request_model", "feature"
CALLS, COST, UNPRICED = f"{names.DURATION.name}_count", names.COST.name, names.UNPRICED.name

_COUNTERS: Mapping[Kind, tuple[str, str]] = {
    "calls": (CALLS, ""),
    "repeated requests": (names.RETRIES.name, ""),
    "calls without usage": (names.USAGE_UNKNOWN.name, ""),
    "incomplete costs": (names.COST_INCOMPLETE.name, ""),
    "input tokens": (names.TOKENS_TOTAL.name, "input"),
    "output tokens": (names.TOKENS_TOTAL.name, "output"),
    "cached input tokens": (names.TOKEN_DETAILS.name, "input_cached"),
    "reasoning tokens": (names.TOKEN_DETAILS.name, "output_reasoning"),
}
"""Metric and token type of each kind; the log's field is the type with the suffix `_tokens`."""


def total(counts: Counts, *kinds: Kind) -> int:
    """Return the sum of these kinds over all models."""
    return sum(number for (_, kind), number in counts.items() if kind in kinds)


def differences(true: Counts, sides: Mapping[str, Counts]) -> list[str]:
    """Return a sentence for each number of a side that differs from the true one."""
    return [
        f"{side} has {counts[key]:,} {key[1]} of {key[0]} instead of {true[key]:,}"
        for side, counts in sides.items()
        for key in sorted(true.keys() | counts.keys())
        if counts[key] != true[key]
    ]


class Metrics:
    """Queries over the newest sample of each series; every series began at zero, so these are the totals."""

    def __init__(self, series: Iterable[Series]) -> None:
        self._by_name: defaultdict[str, list[Series]] = defaultdict(list)
        for one in series:
            self._by_name[one.labels["__name__"]].append(one)

    def by(self, label: str, name: str, **where: str) -> dict[str, float]:
        """Return `sum by (label) (name{where})`; a missing label counts as the empty text."""
        sums: defaultdict[str, float] = defaultdict(float)
        for series in self._by_name[name]:
            if all(series.labels.get(key, "") == value for key, value in where.items()):
                sums[series.labels.get(label, "")] += series.value
        return dict(sums)

    def quantile(self, share: float, metric: names.Metric, **where: str) -> float:
        """Return `histogram_quantile(share, sum by (le) (metric_bucket{where}))`."""
        buckets = self.by("le", f"{metric.name}_bucket", **where)
        return histogram_quantile(share, {float(bound): count for bound, count in buckets.items()})

    def counts(self, **where: str) -> Counts:
        """Return all kinds of counts, from the series with these labels."""
        counts: Counts = Counter()
        for kind, (name, token_type) in _COUNTERS.items():
            for model, value in self.by(MODEL, name, gen_ai_token_type=token_type, **where).items():
                counts[model, kind] = round(value)
        succeeded = self.by(MODEL, CALLS, error_type="", **where)
        for model, calls in self.by(MODEL, CALLS, **where).items():
            counts[model, "errors"] = round(calls - succeeded.get(model, 0))
        return counts


def log_counts(entries: Iterable[ReceivedEntry]) -> Counts:
    """Return all kinds of counts, from the log alone."""
    counts: Counts = Counter()
    for entry in entries:
        call, model = entry.call, entry.call["request_model"]
        counts[model, "calls"] += 1
        counts[model, "errors"] += "error_type" in call
        counts[model, "repeated requests"] += call.get("retries", 0)
        counts[model, "calls without usage"] += "usage_unknown" in call
        counts[model, "incomplete costs"] += "cost_incomplete" in call
        for kind, (_, token_type) in _COUNTERS.items():
            if token_type:
                counts[model, kind] += call.get("usage", {}).get(f"{token_type}_tokens", 0)
    return counts


def log_cost(entries: Iterable[ReceivedEntry]) -> float:
    """Return the sum of the cost in US dollars over all entries that have one."""
    return math.fsum(entry.call["cost"]["total_usd"] for entry in entries if "cost" in entry.call)

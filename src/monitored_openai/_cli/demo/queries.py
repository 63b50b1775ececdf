"""What the receivers got, in figures: the sums and quantiles that PromQL and LogQL would give."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from monitored_openai._cli.demo.counts import Figures, Kind
from monitored_openai._local.ingest import ReceivedEntry
from monitored_openai._local.quantile import histogram_quantile
from monitored_openai._local.remote_write_decoder import Series
from monitored_openai._metrics import names

DURATION = names.DURATION.name
TIME_TO_FIRST_CHUNK = names.TIME_TO_FIRST_CHUNK.name
TOKENS_TOTAL = names.TOKENS_TOTAL.name
COST = names.COST.name
UNPRICED = names.UNPRICED.name
MODEL = "gen_ai_request_model"
FEATURE = "feature"

_COUNTERS: tuple[tuple[str, str, Kind], ...] = (
    (f"{DURATION}_count", "", "calls"),
    (names.RETRIES.name, "", "repeated requests"),
    (names.USAGE_UNKNOWN.name, "", "calls without usage"),
    (TOKENS_TOTAL, "input", "input tokens"),
    (TOKENS_TOTAL, "output", "output tokens"),
    (names.TOKEN_DETAILS.name, "input_cached", "cached input tokens"),
    (names.TOKEN_DETAILS.name, "output_reasoning", "reasoning tokens"),
)
"""Metric, token type where it has one, and what that is here."""
_USAGE: Mapping[str, Kind] = {
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "input_cached_tokens": "cached input tokens",
    "output_reasoning_tokens": "reasoning tokens",
}


class Metrics:
    """Queries over the newest sample of each series; the series began at zero, so these are the totals."""

    def __init__(self, series: Iterable[Series]) -> None:
        self._by_name: defaultdict[str, list[Series]] = defaultdict(list)
        for one in series:
            self._by_name[one.labels["__name__"]].append(one)

    def by(self, label: str, name: str, **where: str) -> dict[str, float]:
        """`sum by (label) (name{where})`; without the label counts as the empty text."""
        sums: defaultdict[str, float] = defaultdict(float)
        for series in self._by_name[name]:
            if all(series.labels.get(key, "") == value for key, value in where.items()):
                sums[series.labels.get(label, "")] += series.value
        return dict(sums)

    def quantile(self, share: float, name: str, **where: str) -> float:
        """`histogram_quantile(share, sum by (le) (name_bucket{where}))`."""
        buckets = self.by("le", f"{name}_bucket", **where)
        return histogram_quantile(share, {float(bound): count for bound, count in buckets.items()})

    def figures(self) -> Figures:
        """All that can be compared with the other sides."""
        figures: Figures = Counter()
        for name, token_type, kind in _COUNTERS:
            of_type = {"gen_ai_token_type": token_type} if token_type else {}
            for model, value in self.by(MODEL, name, **of_type).items():
                figures[model, kind] = round(value)
        for error_type in self.by("error_type", f"{DURATION}_count"):
            for model, value in self.by(MODEL, f"{DURATION}_count", error_type=error_type).items():
                figures[model, "errors"] += round(value) if error_type else 0
        return figures


def log_figures(entries: Iterable[ReceivedEntry]) -> Figures:
    """What the log says on its own, entry by entry."""
    figures: Figures = Counter()
    for entry in entries:
        call, model = entry.call, entry.call["request_model"]
        figures[model, "calls"] += 1
        figures[model, "errors"] += "error_type" in call
        figures[model, "repeated requests"] += call.get("retries", 0)
        figures[model, "calls without usage"] += "usage_unknown" in call
        for name, kind in _USAGE.items():
            figures[model, kind] += call.get("usage", {}).get(name, 0)
    return figures


def log_cost(entries: Iterable[ReceivedEntry]) -> float:
    """US dollars, over all entries that have a cost."""
    return math.fsum(entry.call["cost"]["total_usd"] for entry in entries if "cost" in entry.call)

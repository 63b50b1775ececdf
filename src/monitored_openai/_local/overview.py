"""The figures of a stretch of time: totals, a row for each group, and how they went over time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitored_openai._local.points import DROPPED, Growth
from monitored_openai._local.quantile import histogram_quantile
from monitored_openai._metrics import (
    COST,
    DURATION,
    RETRIES,
    SECONDS,
    TIME_TO_FIRST_CHUNK,
    TOKENS_TOTAL,
    UNPRICED,
    USAGE_UNKNOWN,
)

STEPS = {900: 15, 3600: 60, 21_600: 360, 86_400: 1800, 604_800: 10_800, 2_592_000: 43_200}
"""Seconds that one can look back, and those of a step on the way."""
NAMES = {
    "gen_ai_request_model": "model",
    "gen_ai_operation_name": "operation",
    "gen_ai_provider_name": "provider",
}
"""How the page and the log name these labels; others keep their name."""
OTHER = "other"

_PARTS = frozenset({"le", "gen_ai_token_type", "kind", "reason", "signal", "error_type"})
"""Labels that tell apart figures, not calls."""
_MOST_GROUPS = 8
_MOST_ROWS = 100
_MOST_VALUES = 200
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_COUNTS = {
    f"{DURATION.name}_count": "calls",
    RETRIES.name: "retries",
    COST.name: "cost",
    UNPRICED.name: "unpriced",
    USAGE_UNKNOWN.name: "usage_unknown",
}
_HISTOGRAMS = {f"{DURATION.name}_bucket": "duration", f"{TIME_TO_FIRST_CHUNK.name}_bucket": "first_chunk"}
_EMPTY = dict.fromkeys((*SECONDS, math.inf), 0.0)


@dataclass(slots=True)
class Figures:
    """Sums and distributions that more growth can be added to."""

    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    buckets: defaultdict[str, defaultdict[float, float]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(float))
    )

    def add(self, grown: Growth) -> None:
        """Add what a counter grew by."""
        if grown.name in _HISTOGRAMS:
            self.buckets[_HISTOGRAMS[grown.name]][_bound(grown.labels.get("le", ""))] += grown.value
        elif grown.name == TOKENS_TOTAL.name:
            self.sums[f"{grown.labels.get('gen_ai_token_type', '')}_tokens"] += grown.value
        elif grown.name in _COUNTS:
            self.sums[_COUNTS[grown.name]] += grown.value
            if grown.name == f"{DURATION.name}_count" and "error_type" in grown.labels:
                self.sums["errors"] += grown.value

    def quantile(self, histogram: str, share: float) -> float | None:
        """In seconds; `None` where nothing was counted."""
        if histogram not in self.buckets:
            return None
        # what has not grown is not kept, and the estimate needs the empty buckets as well
        value = histogram_quantile(share, {**_EMPTY, **self.buckets[histogram]})
        return value if math.isfinite(value) else None

    def shown(self) -> dict[str, Any]:
        """All of it, as the page takes it."""
        quantiles = {
            histogram: {name: self.quantile(histogram, share) for name, share in _SHARES.items()}
            for histogram in _HISTOGRAMS.values()
        }
        names = (*_COUNTS.values(), "errors", "input_tokens", "output_tokens")
        return {**{name: self.sums.get(name, 0) for name in names}, **quantiles}


def first_step(now: float, seconds: int) -> int:
    """When the first step begins of those that cover so many seconds up to now."""
    step = STEPS[seconds]
    return (int(now - seconds) // step + 1) * step


def overview(grown: Iterable[Growth], *, now: float, seconds: int, by: str, where: Mapping[str, str]) -> dict[str, Any]:
    """What the page shows of what grew within so many seconds, grouped by a label, where others have these values."""
    step, start = STEPS[seconds], first_step(now, seconds)
    times = list(range(start, int(now) + 1, step))
    dropped: defaultdict[str, float] = defaultdict(float)
    values: defaultdict[str, set[str]] = defaultdict(set)
    counted: list[tuple[int, str, Growth]] = []
    for growth in grown:
        if growth.name == DROPPED:
            dropped[growth.labels.get("reason", "")] += growth.value
            continue
        labels = {NAMES.get(name, name): value for name, value in growth.labels.items() if name not in _PARTS}
        for name, value in labels.items():
            values[name].add(value)
        if all(labels.get(name, "") == value for name, value in where.items()):
            counted.append((growth.at, labels.get(by, ""), growth))
    return {
        "now": now,
        "step": step,
        "times": times,
        "values": {name: sorted(those)[:_MOST_VALUES] for name, those in sorted(values.items())},
        "dropped": dict(dropped),
        **_grouped(counted, times),
    }


def _grouped(counted: Sequence[tuple[int, str, Growth]], times: Sequence[int]) -> dict[str, Any]:
    total, groups = Figures(), defaultdict[str, Figures](Figures)
    for _, group, growth in counted:
        total.add(growth)
        groups[group].add(growth)
    order = sorted(groups, key=lambda name: (-groups[name].sums["calls"], name))
    named = set(order if len(order) <= _MOST_GROUPS else order[: _MOST_GROUPS - 1])
    return {
        "total": total.shown(),
        "groups": [{"name": name, **groups[name].shown()} for name in order[:_MOST_ROWS]],
        "more_groups": max(0, len(order) - _MOST_ROWS),
        "series": [name for name in order if name in named] + ([OTHER] if len(named) < len(order) else []),
        "charts": _charts(counted, times, named),
    }


def _charts(
    counted: Sequence[tuple[int, str, Growth]], times: Sequence[int], named: set[str]
) -> dict[str, dict[str, list[float | None]]]:
    """By chart and line, a number for each time."""
    at = {time: place for place, time in enumerate(times)}
    cells: defaultdict[tuple[str, int], Figures] = defaultdict(Figures)
    errors: defaultdict[str, list[float | None]] = defaultdict(lambda: [0.0] * len(times))
    for time, group, growth in counted:
        if time not in at:
            continue
        cells[group if group in named else OTHER, at[time]].add(growth)
        if growth.name == f"{DURATION.name}_count" and "error_type" in growth.labels:
            line = errors[growth.labels["error_type"]]
            line[at[time]] = (line[at[time]] or 0) + growth.value
    charts: dict[str, dict[str, list[float | None]]] = {"errors": dict(sorted(errors.items()))}
    for group in sorted({group for group, _ in cells}):
        line_of = {place: cells[group, place] for place in range(len(times)) if (group, place) in cells}
        for name in ("cost", "calls", "input_tokens", "output_tokens"):
            line = [line_of[place].sums.get(name, 0) if place in line_of else 0 for place in range(len(times))]
            charts.setdefault(name, {})[group] = line
        for histogram in _HISTOGRAMS.values():
            for label, share in _SHARES.items():
                charts.setdefault(f"{histogram}_{label}", {})[group] = [
                    line_of[place].quantile(histogram, share) if place in line_of else None
                    for place in range(len(times))
                ]
    return charts


def _bound(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.inf

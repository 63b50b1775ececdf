"""Aggregates a time range for the page: totals, one row per group, and values over time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from monitored_openai._local.counters import Growth
from monitored_openai._local.percentiles import FIRST_CHUNKS, SHARES
from monitored_openai._local.quantile import histogram_quantile
from monitored_openai._local.time_range import TimeRange
from monitored_openai._metrics.metric_set import bounds_of
from monitored_openai._metrics.names import (
    COST,
    COST_INCOMPLETE,
    DROPPED,
    DURATION,
    RETRIES,
    TIME_TO_FIRST_CHUNK,
    TOKENS_TOTAL,
    UNPRICED,
    USAGE_UNKNOWN,
)

NAMES = {
    "gen_ai_request_model": "model",
    "gen_ai_operation_name": "operation",
    "gen_ai_provider_name": "provider",
}
"""Short names of labels on the page and in the log; other labels keep their names."""
OTHER = "other"

_PARTS = frozenset({"le", "gen_ai_token_type", "kind", "reason", "signal", "error_type"})
"""Labels whose values count parts of the same call."""
_MOST_GROUPS = 8
_MOST_ROWS = 100
_MOST_VALUES = 200
_MOST_VALUE_NAMES = 50
_MOST_VALUE_CHARACTERS = 256 * 1024
_MOST_LINES = 20
"""Most error types, and most reasons of drops, that the page shows; the sum of the others is one line."""
_TOKEN_TYPES = frozenset({"input", "output"})
CALLS = DURATION.count
_COUNTS = {
    CALLS: "calls",
    RETRIES.name: "retries",
    COST.name: "cost",
    COST_INCOMPLETE.name: "cost_incomplete",
    UNPRICED.name: "unpriced",
    USAGE_UNKNOWN.name: "usage_unknown",
}
_HISTOGRAMS = {DURATION.bucket: "duration", TIME_TO_FIRST_CHUNK.bucket: "first_chunk"}

Key: TypeAlias = str | tuple[str, float] | int
"""A value's name, a histogram's name with a bucket bound, or a time."""


class Aggregates:
    """Running sums and histogram buckets."""

    def __init__(self) -> None:
        self._sums: defaultdict[Key, float] = defaultdict(float)
        self._grown: defaultdict[str, set[float]] = defaultdict(set)
        """The bounds of the buckets with growth by histogram."""

    def add(self, keys: Iterable[Key], value: float) -> None:
        """Add a value under each key."""
        for key in keys:
            self._sums[key] += value
            if isinstance(key, tuple) and value:
                self._grown[key[0]].add(key[1])

    def __getitem__(self, key: Key) -> float:
        return self._sums.get(key, 0)

    def quantile(self, histogram: str, share: float) -> float | None:
        """Return a quantile in seconds; `None` if the histogram is empty."""
        # the estimate needs all buckets, and the history omits those without growth
        bounds = (*bounds_of(self._grown[histogram]), math.inf)
        return _finite(histogram_quantile(share, {bound: self[histogram, bound] for bound in bounds}))

    def as_json(self) -> dict[str, Any]:
        """Return all values in the page's format."""
        quantiles = {
            histogram: {name: self.quantile(histogram, share) for name, share in SHARES.items()}
            for histogram in _HISTOGRAMS.values()
        }
        names = (*_COUNTS.values(), "errors", "input_tokens", "output_tokens")
        first_chunks = self[_HISTOGRAMS[TIME_TO_FIRST_CHUNK.bucket], math.inf]
        return {**{name: _finite(self[name]) for name in names}, FIRST_CHUNKS: _finite(first_chunks), **quantiles}


def keys_of(growth: Growth) -> tuple[Key, ...]:
    """Return the keys that a counter's growth adds to."""
    if growth.name in _HISTOGRAMS:
        bound = _bound(growth.labels.get("le", ""))
        return () if bound is None else ((_HISTOGRAMS[growth.name], bound),)
    if growth.name == TOKENS_TOTAL.name:
        kind = growth.labels.get("gen_ai_token_type", "")
        return (f"{kind}_tokens",) if kind in _TOKEN_TYPES else ()
    if growth.name == CALLS and "error_type" in growth.labels:
        return ("calls", "errors")
    return (_COUNTS[growth.name],) if growth.name in _COUNTS else ()


def overview(
    read: Callable[[], Iterable[Growth]], *, now: float, over: TimeRange, by: str, where: Mapping[str, str]
) -> dict[str, Any]:
    """Return the page's data for a time range: growth grouped by one label and filtered by others.

    `read` returns the same growth each time: the first pass finds the largest groups, and the second fills their
    charts, so that memory does not grow with the number of label sets times the number of steps.
    """
    times = over.times
    sums = _Sums(by, where)
    for growth in read():
        sums.add(growth)
    groups = sums.groups
    order = sorted(groups, key=lambda name: (-groups[name]["calls"], name))
    named = set(order if len(order) <= _MOST_GROUPS else order[: _MOST_GROUPS - 1])
    rest = len(named) < len(order) or OTHER in named
    return {
        "now": now,
        "step": over.step,
        "end": over.end,
        "times": times,
        "values": sums.values.as_json(),
        "dropped": {reason: _finite(number) for reason, number in _largest(sums.dropped).items()},
        "total": sums.total.as_json(),
        "groups": [{"name": name, **groups[name].as_json()} for name in order[:_MOST_ROWS]],
        "more_groups": max(0, len(order) - _MOST_ROWS),
        "series": [name for name in order if name in named - {OTHER}] + ([OTHER] if rest else []),
        "charts": _charts(sums.selected(read()), times, named, set(_largest(sums.errors))),
    }


class _Values:
    """Values of labels for the page's filters, limited in number and size."""

    def __init__(self) -> None:
        self._values: dict[str, set[str]] = {}
        self._free = _MOST_VALUE_CHARACTERS

    def add(self, labels: Mapping[str, str]) -> None:
        """Add the values of a label set."""
        for name, value in labels.items():
            known = self._values.get(name)
            if known is None and len(self._values) < _MOST_VALUE_NAMES and len(name) <= self._free:
                self._free -= len(name)
                known = self._values[name] = set()
            if known is not None and value not in known and len(known) < _MOST_VALUES and len(value) <= self._free:
                self._free -= len(value)
                known.add(value)

    def as_json(self) -> dict[str, list[str]]:
        """Return the sorted values by name."""
        return {name: sorted(those) for name, those in sorted(self._values.items())}


class _Sums:
    """Sums over a whole time range: the total, by group, by error type and by reason of a drop."""

    def __init__(self, by: str, where: Mapping[str, str]) -> None:
        self.total = Aggregates()
        self.groups: defaultdict[str, Aggregates] = defaultdict(Aggregates)
        self.errors: defaultdict[str, float] = defaultdict(float)
        self.dropped: defaultdict[str, float] = defaultdict(float)
        self.values = _Values()
        self._by = by
        self._where = where

    def add(self, growth: Growth) -> None:
        """Add the growth of one label set."""
        keys, grown = keys_of(growth), sum(growth.steps.values())
        if growth.name == DROPPED.name:
            self.dropped[growth.labels.get("reason", "")] += grown
            return
        self.values.add(_shown_labels(growth))
        for group, _ in self.selected([growth]):
            self.total.add(keys, grown)
            self.groups[group].add(keys, grown)
            if "errors" in keys:
                self.errors[growth.labels["error_type"]] += grown

    def selected(self, grown: Iterable[Growth]) -> Iterator[tuple[str, Growth]]:
        """Yield the group and the growth of each label set that fits the filters."""
        for growth in grown:
            labels = _shown_labels(growth)
            if growth.name != DROPPED.name and all(
                labels.get(name, "") == value for name, value in self._where.items()
            ):
                yield labels.get(self._by, ""), growth


def _shown_labels(growth: Growth) -> dict[str, str]:
    return {NAMES.get(name, name): value for name, value in growth.labels.items() if name not in _PARTS}


def _largest(sums: Mapping[str, float]) -> dict[str, float]:
    """Return the largest sums by name, and the sum of the others under `other`."""
    order = sorted(sums, key=lambda name: (-sums[name], name))
    if len(order) <= _MOST_LINES:
        return {name: sums[name] for name in sums}
    largest = {name: sums[name] for name in order[: _MOST_LINES - 1]}
    return {**largest, OTHER: largest.get(OTHER, 0) + sum(sums[name] for name in order[_MOST_LINES - 1 :])}


def _charts(
    counted: Iterable[tuple[str, Growth]], times: Sequence[int], named: set[str], error_types: set[str]
) -> dict[str, dict[str, list[float | None]]]:
    """Return the values of each line of each chart, one for each time."""
    lines: defaultdict[str, defaultdict[int, Aggregates]] = defaultdict(lambda: defaultdict(Aggregates))
    errors: defaultdict[str, Aggregates] = defaultdict(Aggregates)
    for group, growth in counted:
        keys, line = keys_of(growth), lines[group if group in named else OTHER]
        for time, value in growth.steps.items():
            line[time].add(keys, value)
            if "errors" in keys:
                error = growth.labels["error_type"]
                errors[error if error in error_types else OTHER].add((time,), value)
    charts: dict[str, dict[str, list[float | None]]] = {
        "errors": {name: [_finite(errors[name][time]) for time in times] for name in sorted(errors)}
    }
    nothing = Aggregates()
    for group in sorted(lines):
        steps = [lines[group].get(time, nothing) for time in times]
        for name in ("cost", "calls", "input_tokens", "output_tokens"):
            charts.setdefault(name, {})[group] = [_finite(step[name]) for step in steps]
        for histogram in _HISTOGRAMS.values():
            for label, share in SHARES.items():
                line_of = charts.setdefault(f"{histogram}_{label}", {})
                line_of[group] = [None if step is nothing else step.quantile(histogram, share) for step in steps]
    return charts


def _finite(number: float) -> float | None:
    """Return the number, or `None` for one that JSON cannot represent; the page shows it as unknown."""
    return number if math.isfinite(number) else None


def _bound(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

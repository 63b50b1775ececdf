"""Evaluates the PromQL of `monitored-openai report` and `top` on the history."""

from __future__ import annotations

import json
import math
import re
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from monitored_openai._local.history import RESOLUTIONS, History
from monitored_openai._local.quantile import histogram_quantile
from monitored_openai._local.query.matchers import MATCHERS, Matcher, matchers_in
from monitored_openai._metrics.metric_set import bounds_of

_SERIES = rf"(?P<name>[A-Za-z_]\w*)(?:\{{(?P<matchers>{MATCHERS})\}})?"
_GROWTH = (
    rf"last_over_time\((?P<series>{_SERIES})\[(?P<over>\w+)\]\) - \(last_over_time\((?P=series)\[\w+\] offset (?P=over)\)"
    r" or last_over_time\((?P=series)\[(?P=over)\]\) \* 0\)"
)
_SUM = re.compile(rf"sum(?: by \((?P<by>[\w, ]*)\))? \({_GROWTH}\)", re.DOTALL)
_QUANTILE = re.compile(r"histogram_quantile\((?P<share>[0-9.]{1,20}), (?P<sum>.*)\)", re.DOTALL)
_UNITS = {"y": 365 * 86400.0, "w": 7 * 86400.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile("".join(f"(?:([0-9]{{1,15}}){unit})?" for unit in _UNITS))
_MOST_LABELS = 64
_MOST_LABEL_SETS = 20_000
_NOT_KEPT = {"job", "instance", "gen_ai_response_model"}
_GROWN = """
SELECT labels, sum(value) FROM point JOIN dimension ON dimension.id = point.dimension
WHERE resolution = ? AND slot BETWEEN ? AND ? AND name = ? GROUP BY dimension.id
"""

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Sum:
    """A sum of the growth of counters over a time range."""

    name: str
    matchers: tuple[Matcher, ...]
    by: tuple[str, ...]
    seconds: float


def evaluate(history: History, expression: str, at: float) -> dict[Labels, float]:
    """Return the value of each label set at a time in seconds since the epoch; empty labels are left out.

    Raises:
        ValueError: `report` and `top` send no such expression, the history does not keep a label, or the result has more
            than 20,000 label sets.
    """
    quantile = _QUANTILE.fullmatch(expression)
    if quantile is None:
        return _summed(history, _parsed(expression), at)
    share, buckets_sum = float(quantile["share"]), _parsed(quantile["sum"])
    if not 0 < share <= 1:
        raise ValueError("the quantile must be above 0 and at most 1")
    if "le" not in buckets_sum.by:
        raise ValueError("histogram_quantile needs a sum by the label le")
    buckets: defaultdict[Labels, dict[float, float]] = defaultdict(dict)
    for labels, value in _summed(history, buckets_sum, at).items():
        bound = _bound(dict(labels).get("le", ""))
        if bound is not None:
            buckets[tuple(pair for pair in labels if pair[0] != "le")][bound] = value
    return {labels: histogram_quantile(share, _with_all_bounds(counts)) for labels, counts in buckets.items()}


def _with_all_bounds(grown: Mapping[float, float]) -> dict[float, float]:
    """Return the counts by bound, with 0 for the buckets without growth, which the history omits."""
    bounds = bounds_of(bound for bound, count in grown.items() if count)
    return {bound: grown.get(bound, 0.0) for bound in (*bounds, math.inf)}


def _parsed(expression: str) -> _Sum:
    found = _SUM.fullmatch(expression)
    duration = _DURATION.fullmatch(found["over"]) if found else None
    if found is None or duration is None:
        raise ValueError("this page answers only the queries of `monitored-openai report` and `top`")
    matchers = tuple(matchers_in(found["matchers"] or ""))
    by = tuple(name for name in (found["by"] or "").split(", ") if name)
    if len(by) > _MOST_LABELS:
        raise ValueError(f"more than {_MOST_LABELS} labels")
    if missing := _NOT_KEPT.intersection((*by, *(one.name for one in matchers))):
        raise ValueError(f"the local history does not keep the label {min(missing)}")
    seconds = sum(int(n or 0) * unit for n, unit in zip(duration.groups(), _UNITS.values(), strict=True))
    return _Sum(found["name"], matchers, by, seconds)


def _summed(history: History, query: _Sum, at: float) -> dict[Labels, float]:
    begins = max(at - query.seconds, 0.0)
    age = time.time() - begins
    resolution = next((step for step, kept in RESOLUTIONS.items() if age <= kept), max(RESOLUTIONS))
    slots = (math.ceil(begins / resolution), int(at // resolution))
    sums: defaultdict[Labels, float] = defaultdict(float)
    with history.reading() as connection:
        for text, grown in connection.execute(_GROWN, (resolution, *slots, query.name)):
            labels = json.loads(text)
            if all(one.fits(labels.get(one.name, "")) for one in query.matchers):
                sums[tuple((name, labels[name]) for name in query.by if labels.get(name))] += grown
            if len(sums) > _MOST_LABEL_SETS:
                raise ValueError(f"the result has more than {_MOST_LABEL_SETS} label sets; sum by fewer labels")
    return dict(sums)


def _bound(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

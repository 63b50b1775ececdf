"""Computes percentiles from the stored calls, if the history contains all calls that the metrics count."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from monitored_openai._local.stored_times import StoredTimes, Times
from monitored_openai._local.time_range import TimeRange

SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
FIRST_CHUNKS = "first_chunks"
"""Name of a figure of the overview: the number of counted calls that have a time to the first chunk."""
_COUNTS = {"duration": "calls", "first_chunk": FIRST_CHUNKS}
_LATEST_COUNT_SECONDS = 30
"""Longest time between a call's end and its count in the history: two default push intervals."""
_NO_TIMES = Times([], [])


class _Parts(NamedTuple):
    """The times of the stored calls of a group, or of all groups, in three parts of time."""

    before: Times
    """Calls that ended shortly before the range: their counts may be inside."""
    inside: Times
    late: Times
    """Calls of the last seconds, of the range or until now: their counts may be later than the range, or still missing."""

    def times(self, name: str, counted: float) -> list[float] | None:
        """Return the times of the calls in the range; `None` if their number cannot match that of the counted calls."""
        before, inside, late = (list[float](getattr(part, name)) for part in self)
        if len(inside) <= counted <= len(before) + len(inside) + len(late):
            return inside + late
        return None


def from_stored_calls(
    stored: StoredTimes, found: dict[str, Any], *, over: TimeRange, by: str, where: Mapping[str, str]
) -> dict[str, Any]:
    """Return an overview with the percentiles of the stored calls in the total and in each group.

    A total or group whose numbers of counted and stored calls differ keeps the estimates, and its `estimated` is true;
    calls near the ends of the range may differ, since the count of a call arrives later. `stored` is the number of
    calls behind the percentiles.
    """
    late = max(over.start, min(over.end, found["now"]) - _LATEST_COUNT_SECONDS)
    bounds = (over.start - _LATEST_COUNT_SECONDS, over.start, late, over.end)
    parts = stored.between([int(bound * 10**9) for bound in bounds], by, where)
    return {
        **found,
        "total": _exact(found["total"], _Parts(*(_joined(groups.values()) for groups in parts))),
        "groups": [
            _exact(figures, _Parts(*(groups.get(figures["name"], _NO_TIMES) for groups in parts)))
            for figures in found["groups"]
        ],
    }


def _joined(times: Collection[Times]) -> Times:
    """Return the times of several groups as those of one."""
    return Times(*(list(chain.from_iterable(lists)) for lists in zip(*times, strict=True))) if times else _NO_TIMES


def _exact(figures: Mapping[str, Any], stored: _Parts) -> dict[str, Any]:
    """Return the figures with the percentiles of the stored calls if these can be the counted ones."""
    kept = {name: value for name, value in figures.items() if name != FIRST_CHUNKS}
    times = {name: stored.times(name, figures[count]) for name, count in _COUNTS.items()}
    exact = {name: _percentiles(those) for name, those in times.items() if those is not None}
    if not times["duration"] or len(exact) < len(times):
        return {**kept, "estimated": bool(figures["calls"]), "stored": None}
    return {**kept, **exact, "estimated": False, "stored": len(times["duration"])}


def _percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """Return the nearest-rank percentile of the values for each share."""
    ordered = sorted(values)
    if not ordered:
        return dict.fromkeys(SHARES)
    return {name: ordered[max(0, math.ceil(share * len(ordered)) - 1)] for name, share in SHARES.items()}

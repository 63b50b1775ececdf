"""Percentiles of the stored calls. They replace estimates from buckets if all counted calls are stored."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from monitored_openai._local.history import History
from monitored_openai._local.time_range import TimeRange

SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
FIRST_CHUNKS = "first_chunks"
"""Name of the number of counted calls with a time to the first chunk in the figures of an overview."""
Both: TypeAlias = Sequence[float | None]
_COUNTS = {"duration": "calls", "first_chunk": FIRST_CHUNKS}
_LATEST_COUNT_SECONDS = 30
"""Longest time between a call's end and its count in the history: two default push intervals."""
_SQL = """
SELECT at_ns, coalesce(json_extract(labels, ?), ''), duration, first_chunk FROM call WHERE at_ns >= ? AND at_ns < ?
"""


@dataclass(slots=True)
class _Group:
    """The stored calls of a group: duration and time to the first chunk of each, in seconds."""

    before: list[Both] = field(default_factory=list)
    """Calls that ended shortly before the range: their counts may be inside."""
    inside: list[Both] = field(default_factory=list)
    late: list[Both] = field(default_factory=list)
    """Calls of the last seconds of the range, or before now: their counts may be later than the range, or still missing."""

    def times(self, name: str, counted: float) -> list[float] | None:
        """Return the times of the calls in the range; `None` if their number cannot be that of the counted calls."""
        before, inside, late = (_present(calls, name) for calls in (self.before, self.inside, self.late))
        if len(inside) <= counted <= len(before) + len(inside) + len(late):
            return inside + late
        return None

    def add(self, other: _Group) -> None:
        """Add the calls of another group."""
        self.before += other.before
        self.inside += other.inside
        self.late += other.late


def from_stored_calls(
    history: History, found: dict[str, Any], *, over: TimeRange, by: str, where: Mapping[str, str]
) -> dict[str, Any]:
    """Return an overview with the percentiles of the stored calls in the total and in each group.

    A total or group whose numbers of counted and stored calls differ keeps the estimates, and its `estimated` is true;
    calls near the ends of the range may differ, since the count of a call arrives later. `stored` is the number of
    calls behind the percentiles.
    """
    late = min(over.end, found["now"]) - _LATEST_COUNT_SECONDS
    groups = _groups(history, over, late, by, where)
    everything = _Group()
    for group in groups.values():
        everything.add(group)
    return {
        **found,
        "total": _exact(found["total"], everything),
        "groups": [_exact(figures, groups.get(figures["name"], _Group())) for figures in found["groups"]],
    }


def _groups(history: History, over: TimeRange, late: float, by: str, where: Mapping[str, str]) -> dict[str, _Group]:
    start_ns, late_ns = over.start * 10**9, int(late * 10**9)
    conditions, values = "", list[object]([f'$."{by}"', start_ns - _LATEST_COUNT_SECONDS * 10**9, over.end * 10**9])
    for name, value in where.items():
        conditions += " AND coalesce(json_extract(labels, ?), '') = ?"
        values += [f'$."{name}"', value]
    groups: defaultdict[str, _Group] = defaultdict(_Group)
    with history.reading() as connection:
        for at_ns, name, *both in connection.execute(_SQL + conditions, values):
            group = groups[name]
            (group.before if at_ns < start_ns else group.late if at_ns >= late_ns else group.inside).append(both)
    return groups


def _present(calls: Sequence[Both], name: str) -> list[float]:
    place = list(_COUNTS).index(name)
    return [value for both in calls if (value := both[place]) is not None]


def _exact(figures: Mapping[str, Any], group: _Group) -> dict[str, Any]:
    """Return the figures with the percentiles of the stored calls if these can be the counted ones."""
    kept = {name: value for name, value in figures.items() if name != FIRST_CHUNKS}
    times = {name: group.times(name, figures[count]) for name, count in _COUNTS.items()}
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

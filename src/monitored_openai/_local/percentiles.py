"""Percentiles of the stored calls. They replace estimates from buckets where the history contains all calls."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from monitored_openai._local.history import History
from monitored_openai._local.time_range import TimeRange

SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_FIELDS = ("duration", "first_chunk")
_FEWEST_SHARE = 0.99
"""Share of the counted calls that the history must have: near the ends of a range, a call and its count differ in time."""
_SQL = """
SELECT coalesce(json_extract(labels, ?), ''), duration, first_chunk FROM call WHERE at_ns >= ? AND at_ns < ?
"""


def from_stored_calls(
    history: History, found: dict[str, Any], *, over: TimeRange, by: str, where: Mapping[str, str]
) -> dict[str, Any]:
    """Return an overview with the percentiles of the stored calls, in the total and in each group that has all calls.

    `estimated` in a total or group is true if its percentiles are still those of the buckets.
    """
    times = _times(history, over, by, where)
    everything = {name: [value for those in times.values() for value in those[name]] for name in _FIELDS}
    return {
        **found,
        "total": _exact(found["total"], everything),
        "groups": [_exact(group, times.get(group["name"], _nothing())) for group in found["groups"]],
    }


def _nothing() -> dict[str, list[float]]:
    return {name: [] for name in _FIELDS}


def _times(history: History, over: TimeRange, by: str, where: Mapping[str, str]) -> dict[str, dict[str, list[float]]]:
    """Return the durations and the times to the first chunk of each group's calls."""
    conditions, values = "", list[object]([f'$."{by}"', over.start * 10**9, over.end * 10**9])
    for name, value in where.items():
        conditions += " AND coalesce(json_extract(labels, ?), '') = ?"
        values += [f'$."{name}"', value]
    times: defaultdict[str, dict[str, list[float]]] = defaultdict(_nothing)
    with history.reading() as connection:
        for group, *both in connection.execute(_SQL + conditions, values):
            for name, value in zip(_FIELDS, both, strict=True):
                if value is not None:
                    times[group][name].append(value)
    return times


def _exact(figures: Mapping[str, Any], times: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return the figures with the percentiles of the times if these are of all counted calls."""
    counted = figures["calls"]
    if not counted or len(times["duration"]) < _FEWEST_SHARE * counted:
        return {**figures, "estimated": bool(counted)}
    return {**figures, **{name: _percentiles(times[name]) for name in _FIELDS}, "estimated": False}


def _percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """Return for each share the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    if not ordered:
        return dict.fromkeys(SHARES)
    return {name: ordered[max(0, math.ceil(share * len(ordered)) - 1)] for name, share in SHARES.items()}

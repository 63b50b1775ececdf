"""Merges the values of a host's processes. Does no I/O."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from monitored_openai._metrics.names import ACTIVE, LAST_SUCCESS, PRICES_DATE, RATE_LIMIT_METRICS, SPOOL_BYTES
from monitored_openai._metrics.series import Labels, Sample

_LARGEST = frozenset({LAST_SUCCESS.name, PRICES_DATE.name, SPOOL_BYTES.name})
"""Gauges whose sum has no meaning: times, and the size of a directory that the processes share."""
_NEWEST = frozenset(metric.name for metric in RATE_LIMIT_METRICS)
_COUNTER = struct.Struct("<Id")
_ROUNDING = 1e-9
"""Largest relative difference between two sums of the same values, added in different orders."""

Counters = Mapping[int, float]
"""Values by the id of their series."""


def pack_counters(counters: Counters) -> bytes:
    """Return the counters of a process as bytes."""
    return b"".join(_COUNTER.pack(*counter) for counter in sorted(counters.items()))


def unpack_counters(packed: bytes) -> dict[int, float]:
    """Return the counters in these bytes.

    Raises:
        struct.error: the bytes have the wrong length.
    """
    return dict(_COUNTER.iter_unpack(packed))


def pack_gauges(gauges: Iterable[Sample]) -> str:
    """Return the gauges of a process as text."""
    return json.dumps([[gauge.name, gauge.labels, gauge.value, gauge.at] for gauge in gauges])


def unpack_gauges(packed: str) -> list[Sample]:
    """Return the gauges in this text.

    Raises:
        ValueError: the text is damaged.
    """
    return [
        Sample(name, labels_of(labels), value, cumulative=False, at=at)
        for name, labels, value, at in json.loads(packed)
    ]


def labels_of(decoded: Iterable[Sequence[str]]) -> Labels:
    """Return labels that were decoded from JSON."""
    return tuple((name, value) for name, value in decoded)


def checksum(*parts: object) -> int:
    """Return the checksum of the stored values of a process."""
    return zlib.crc32(repr(parts).encode())


def add_counters(parts: Iterable[Counters]) -> dict[int, float]:
    """Return the sum of each series."""
    sums: dict[int, float] = {}
    for part in parts:
        for series, value in part.items():
            sums[series] = sums.get(series, 0.0) + value
    return sums


def is_below(total: float, before: float) -> bool:
    """True if a counter has decreased by more than rounding."""
    return total < before * (1 - _ROUNDING)


def merge_gauges(
    of_processes: Sequence[Sequence[Sample]],
    *,
    max_label_sets: int,
    shown: Iterable[Sample],
    folded: Callable[[Labels], Labels],
) -> list[Sample]:
    """Return the gauges of all living processes.

    Rate limits are those of the newest response. Beyond `max_label_sets` label sets, further rate limits are left out,
    and further active calls have the labels that `folded` returns. Active calls that were `shown` before come first.
    """
    newest: dict[Labels, float] = {}
    for gauge in (gauge for gauges in of_processes for gauge in gauges if gauge.name in _NEWEST):
        if gauge.labels in newest or len(newest) < max_label_sets:
            newest[gauge.labels] = max(newest.get(gauge.labels, gauge.at), gauge.at)
    merged: dict[tuple[str, Labels], Sample] = {}
    for gauge in (gauge for gauges in of_processes for gauge in gauges):
        key = (gauge.name, gauge.labels)
        before = merged.get(key)
        if gauge.name in _NEWEST:
            if newest.get(gauge.labels) == gauge.at:
                merged[key] = gauge
        elif before is None:
            merged[key] = gauge
        elif gauge.name in _LARGEST:
            merged[key] = max(before, gauge, key=lambda one: one.value)
        else:
            merged[key] = before._replace(value=before.value + gauge.value)
    before_keys = {(gauge.name, gauge.labels) for gauge in shown}
    active = sorted((key for key in merged if key[0] == ACTIVE.name), key=lambda key: key not in before_keys)
    for key in active[max_label_sets:]:
        gauge = merged.pop(key)
        other = gauge._replace(labels=folded(gauge.labels))
        same = merged.get((other.name, other.labels))
        merged[other.name, other.labels] = other if same is None else other._replace(value=other.value + same.value)
    return list(merged.values())

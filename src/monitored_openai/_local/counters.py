"""Converts cumulative counters to their growth in each time slot.

Each series begins at zero and belongs to one process or, with `host_dir`, to one host. The sum of all growth therefore
equals the sum of the last values over all of them, and the history does not need to keep them apart.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter

from monitored_openai._local.history import RESOLUTIONS, History
from monitored_openai._local.remote_write_decoder import Oversized, Series
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

KEPT = frozenset(
    {
        *(name for metric in (DURATION, TIME_TO_FIRST_CHUNK) for name in metric.series_names),
        *(metric.name for metric in (TOKENS_TOTAL, COST, COST_INCOMPLETE, UNPRICED, USAGE_UNKNOWN, RETRIES, DROPPED)),
    }
)
"""The series that the page needs; the history ignores others."""
_NOT_KEPT = frozenset({"__name__", "instance", "job", "gen_ai_response_model"})
_MOST_LABEL_CHARACTERS = 1024
_MOST_DIMENSIONS = 50_000
_MOST_DIMENSION_CHARACTERS = 16 * 1024 * 1024
_FOLDED = {"gen_ai_request_model": "other"}
_KEPT_IF_FOLDED = ("error_type", "gen_ai_token_type", "kind", "le", "reason", "signal")
"""Labels that separate values of the same call; without them a sum would mix input with output tokens."""
_GROWN = """
SELECT dimension, slot * resolution / ?1 * ?1 AS at, sum(value) FROM point
WHERE resolution = ?2 AND slot >= ?3 AND slot < ?4 GROUP BY dimension, at ORDER BY dimension, at
"""
_FIRST = "SELECT min(slot) * ?1 FROM point WHERE resolution = ?1"
_MOST_KEPT_VALUES, _VALUES_OF_LABEL_SET = 100_000, 10
"""Growth that stays in memory between two readings: about 10 MB; a label set takes as much memory as some values."""
_REWRITE_MS = 3_600_000
"""Interval at which an unchanged series is written again, because pruning deletes series without writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """The growth of the counters with these labels in each step."""

    name: str
    labels: Mapping[str, str]
    steps: Mapping[int, float]
    """Growth by the step's start in seconds since the epoch; steps without growth are left out."""


def keep(history: History, received: Iterable[Series]) -> None:
    """Add the growth of each series since its last sample.

    Raises:
        sqlite3.OperationalError: the history cannot be written now; nothing was added.
        Oversized: the history would have too many label sets; nothing was added.
    """
    now_ms = time.time_ns() // 1_000_000
    with history.writing() as connection:
        dimensions = _Dimensions(connection)
        for series in received:
            if series.labels.get("__name__") in KEPT and 0 <= series.value < math.inf:
                _keep(connection, series, now_ms, dimensions)


@contextmanager
def growth(history: History, *, since: int, until: int, step: int) -> Iterator[Callable[[], Iterator[Growth]]]:
    """Open a snapshot of the growth in each step from `since` to before `until`, which can be read more than once.

    All arguments are multiples of a stored resolution, in seconds. Memory holds all growth if it is small, for the next
    reading, else one label set at a time.
    """
    resolution = max(seconds for seconds in RESOLUTIONS if step % seconds == 0)
    with history.snapshot() as connection:
        yield _Reader(connection, (step, resolution, since // resolution, until // resolution)).read


def oldest(history: History) -> int | None:
    """Return a time from which on the history has all growth, in seconds since the epoch; `None` without any growth.

    The first growth is somewhere in the oldest long slot. A shorter slot inside it shows the time more exactly; without
    one, only the end of the long slot is certain.
    """
    with history.reading() as connection:
        firsts = {width: connection.execute(_FIRST, (width,)).fetchone()[0] for width in RESOLUTIONS}
    found: tuple[int, int] | None = None
    for width in sorted(RESOLUTIONS, reverse=True):
        first = firsts.get(width)
        if first is not None and (found is None or found[0] <= first < sum(found)):
            found = first, width
    if found is None:
        return None
    return found[0] if found[1] == min(RESOLUTIONS) else sum(found)


class _Reader:
    """Reads the growth, from the history or, if it is small, from memory after the first time."""

    def __init__(self, connection: sqlite3.Connection, bounds: tuple[int, int, int, int]) -> None:
        self._connection = connection
        self._bounds = bounds
        self._kept: list[Growth] | None = None

    def read(self) -> Iterator[Growth]:
        if self._kept is not None:
            yield from self._kept
            return
        kept, values = list[Growth](), 0
        for growth in _growth(self._connection, self._bounds):
            values += len(growth.steps) + _VALUES_OF_LABEL_SET
            if values <= _MOST_KEPT_VALUES:
                kept.append(growth)
            yield growth
        self._kept = kept if values <= _MOST_KEPT_VALUES else None


def _growth(connection: sqlite3.Connection, bounds: tuple[int, int, int, int]) -> Iterator[Growth]:
    rows = connection.execute(_GROWN, bounds)
    for dimension, steps in groupby(rows, key=itemgetter(0)):
        found = connection.execute("SELECT name, labels FROM dimension WHERE id = ?", (dimension,)).fetchone()
        if found:
            yield Growth(name=found[0], labels=json.loads(found[1]), steps={at: value for _, at, value in steps})


def _keep(connection: sqlite3.Connection, series: Series, now_ms: int, dimensions: _Dimensions) -> None:
    key = blake2b(repr(sorted(series.labels.items())).encode("utf-8", "replace"), digest_size=16).digest()
    at_ms = max(0, min(series.timestamp_ms, now_ms))
    known = connection.execute("SELECT value, at_ms FROM series WHERE key = ?", (key,)).fetchone()
    before, last_ms = known or (0.0, 0)
    if at_ms < last_ms or (series.value == before and at_ms - last_ms < _REWRITE_MS):
        return
    connection.execute("INSERT OR REPLACE INTO series VALUES (?, ?, ?)", (key, series.value, at_ms))
    # A lower value means that the counter was reset.
    grown = series.value - before if series.value >= before else series.value
    if grown <= 0:
        return
    dimension = dimensions.identity(series.labels)
    connection.executemany(
        "INSERT INTO point VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
        [(seconds, at_ms // (1000 * seconds), dimension, grown) for seconds in RESOLUTIONS],
    )


class _Dimensions:
    """The label sets in the history, within one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._number: int | None = None
        """Counted before the first new label set, because few pushes have one."""
        self._characters = 0

    def identity(self, labels: Mapping[str, str]) -> int:
        """Return the id of a label set; beyond the bounds, of one that several share, so that the sums stay correct.

        Raises:
            Oversized: no space is left for shared label sets either.
        """
        name = labels["__name__"]
        kept = {label: labels[label][:_MOST_LABEL_CHARACTERS] for label in sorted(labels) if label not in _NOT_KEPT}
        folded = _FOLDED | {label: kept[label] for label in _KEPT_IF_FOLDED if label in kept}
        for times, text in enumerate((json.dumps(kept), json.dumps(folded)), start=1):
            found = self._execute("SELECT id FROM dimension WHERE name = ? AND labels = ?", (name, text)).fetchone()
            if found or self._has_room(times):
                return int(found[0]) if found else self._new(name, text)
        raise Oversized("the history has too many different label sets")

    def _has_room(self, times: int) -> bool:
        """Return true if the history may get another label set; `times` multiplies the bounds, for shared ones."""
        if self._number is None:
            counted = self._execute("SELECT count(*), total(length(labels)) FROM dimension").fetchone()
            self._number, self._characters = counted
        number = self._number or 0
        return number < times * _MOST_DIMENSIONS and self._characters < times * _MOST_DIMENSION_CHARACTERS

    def _new(self, name: str, text: str) -> int:
        self._number = (self._number or 0) + 1
        self._characters += len(text)
        return int(self._execute("INSERT INTO dimension (name, labels) VALUES (?, ?)", (name, text)).lastrowid or 0)

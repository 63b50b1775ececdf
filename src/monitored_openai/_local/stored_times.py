"""Keeps the times of all stored calls in memory, so that an answer reads only the calls that are new in the history."""

from __future__ import annotations

import sqlite3
from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import nan
from typing import Any, NamedTuple, TypeAlias

from monitored_openai._json import decode
from monitored_openai._local.history import History

_SIZE = "SELECT (SELECT count(*) FROM call), (SELECT coalesce(min(at_ns), 0) FROM call)"
_NEW = "SELECT rowid, at_ns, labels, duration, first_chunk FROM call WHERE rowid > ?"
_MOST_LABEL_SETS, _MOST_LABEL_CHARACTERS = 50_000, 8 * 1024 * 1024
"""Most label sets, and most of their characters, that stay in memory from one answer to the next."""


class Times(NamedTuple):
    """The known times of some calls in seconds, in ascending order."""

    duration: list[float]
    first_chunk: list[float]


TimesByGroup: TypeAlias = Mapping[str, Times]
"""The times of the calls of each group; a group without calls may be missing."""


class StoredTimes:
    """Durations and times to the first chunk of all calls, by time: 28 bytes for a call, and each label set once."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._connection: sqlite3.Connection | None = None
        self._forget()

    def between(self, bounds_ns: Sequence[int], by: str, where: Mapping[str, str]) -> list[TimesByGroup]:
        """Return the times of the calls from each bound to before the next, grouped by one label and filtered by others.

        Raises:
            sqlite3.Error: the history cannot be read.
        """
        with self._history.snapshot() as connection:
            self._update(connection)
            names = [_group(decode(text.encode()), by, where) for text in self._labels]
            places = [bisect_left(self._at, bound) for bound in bounds_ns]
            found = [self._grouped(names, slice(*both)) for both in pairwise(places)]
            if len(self._labels) > _MOST_LABEL_SETS or self._characters > _MOST_LABEL_CHARACTERS:
                self._forget()
        return found

    def _grouped(self, names: Sequence[str | None], part: slice) -> TimesByGroup:
        groups: defaultdict[str, Times] = defaultdict(lambda: Times([], []))
        targets = [None if name is None else groups[name] for name in names]
        calls = zip(self._label_set[part], self._duration[part], self._first_chunk[part], strict=True)
        for label_set, duration, first_chunk in calls:
            if (target := targets[label_set]) is not None:
                if duration == duration:  # noqa: PLR0124  # false for NaN, and faster than a function
                    target.duration.append(duration)
                if first_chunk == first_chunk:  # noqa: PLR0124  # as above
                    target.first_chunk.append(first_chunk)
        for times in groups.values():
            times.duration.sort()
            times.first_chunk.sort()
        return groups

    def _forget(self) -> None:
        self._rowid = 0
        self._at, self._label_set = array("q"), array("I")
        self._duration, self._first_chunk = array("d"), array("d")
        """NaN stands for an unknown time."""
        self._labels: dict[str, int] = {}
        self._characters = 0

    @property
    def _columns(self) -> tuple[array[Any], ...]:
        return self._at, self._label_set, self._duration, self._first_chunk

    def _update(self, connection: sqlite3.Connection) -> None:
        """Drop the calls that the history has deleted, which are the oldest, and add the new ones."""
        if connection is not self._connection:  # the history has replaced a damaged file
            self._connection = connection
            self._forget()
        number, oldest_ns = connection.execute(_SIZE).fetchone()
        deleted = bisect_left(self._at, oldest_ns) if number else len(self._at)
        for column in self._columns:
            del column[:deleted]
        self._add_new(connection)
        if len(self._at) != number:  # SQLite has given the id of a deleted row to a new one
            self._forget()
            self._add_new(connection)

    def _add_new(self, connection: sqlite3.Connection) -> None:
        rows = sorted(self._new(connection))
        if not rows:
            return
        columns = self._columns
        place = bisect_right(self._at, rows[0][0])
        if place < len(self._at):  # a call arrives up to minutes late, after newer ones
            rows = sorted([*zip(*(column[place:] for column in columns), strict=True), *rows])
        for column, values in zip(columns, zip(*rows, strict=True), strict=True):
            del column[place:]
            column.extend(values)

    def _new(self, connection: sqlite3.Connection) -> Iterator[tuple[int, int, float, float]]:
        for rowid, at_ns, labels, duration, first_chunk in connection.execute(_NEW, (self._rowid,)):
            self._rowid = max(self._rowid, rowid)
            label_set = self._labels.get(labels)
            if label_set is None:
                label_set = self._labels[labels] = len(self._labels)
                self._characters += len(labels)
            yield at_ns, label_set, nan if duration is None else duration, nan if first_chunk is None else first_chunk


def _group(labels: Mapping[str, str], by: str, where: Mapping[str, str]) -> str | None:
    """Return the group of the calls with these labels; `None` if the filter excludes them."""
    return labels.get(by, "") if all(labels.get(name, "") == value for name, value in where.items()) else None

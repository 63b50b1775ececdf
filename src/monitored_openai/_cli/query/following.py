"""New entries of a log, each of them once: pages from the last entry on, and a second look for late ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from monitored_openai._cli.query.loki_log import Entry
from monitored_openai._cli.query.replies import Oversized

_SECOND = 10**9
TRAIL_NS = 5 * _SECOND
"""Each look begins so long before the newest entry: an entry carries its call's end and is pushed some seconds later."""
LATE_NS = 120 * _SECOND
"""How late an entry may arrive and still be shown."""
_CHECK_NS = 15 * _SECOND
"""How often Loki's count of the last `LATE_NS` is compared with the entries that were read."""
BEHIND_NS = 60 * _SECOND
_PATIENCE_NS = 20 * _SECOND
"""A look that has taken so long, with the next entry older than `BEHIND_NS`, goes on with the last `TRAIL_NS`."""
PAGE, LARGEST_PAGE = 1000, 5000
"""Entries of a request; Loki's default limit is 5,000."""


class Log(Protocol):
    """What entries are read from."""

    def page(self, start: int, end: int, *, limit: int) -> list[Entry]:
        """The `limit` oldest entries with start <= time < end, in the order of time; may raise `Oversized`."""
        ...

    def count(self, start: int, end: int) -> int:
        """The number of entries with start <= time < end."""
        ...


@dataclass(frozen=True, slots=True)
class Skipped:
    """Entries that were not read."""

    number: int


class Follower:
    """Reads the entries of a log from a time on."""

    def __init__(self, log: Log, *, clock: Callable[[], int] = time.time_ns) -> None:
        """The entries that are in the log already are left out, however late others arrive; `clock` in nanoseconds.

        Raises:
            Mistake: the log cannot be read.
        """
        self._log = log
        self._clock = clock
        self._checked = self._newest = clock()
        self._since = self._newest - TRAIL_NS
        self._seen: set[tuple[int, int]] = set()
        for _ in self._read(self._since, self._newest):
            pass

    def know(self, entries: Iterable[Entry]) -> None:
        """Leave these out as well."""
        self._seen.update(entry.key for entry in entries)

    def look(self) -> Iterator[Entry | Skipped]:
        """Every entry that has arrived since the look before, and how many had to be skipped."""
        now = self._clock()
        start = max(self._since, min(self._newest, now) - TRAIL_NS, now - LATE_NS)
        yield from self._read(start, None)
        now = self._clock()
        if now - self._checked >= _CHECK_NS:
            self._checked = now
            yield from self._late_entries(now)
            oldest = now - LATE_NS - TRAIL_NS
            self._seen = {key for key in self._seen if key[0] >= oldest}

    def _late_entries(self, now: int) -> Iterator[Entry | Skipped]:
        """Entries of the last `LATE_NS` that arrived too late for `_read`; they are read only if Loki counts more."""
        start, end = max(self._since, now - LATE_NS), now - TRAIL_NS
        if self._log.count(start, end) > self._seen_within(start, end):
            yield from self._read(start, end)

    def _read(self, start: int, end: int | None) -> Iterator[Entry | Skipped]:
        """New entries up to `end`, or up to the present; only the latter skips any for lack of time."""
        limit, most, began = PAGE, LARGEST_PAGE, self._clock()
        while True:
            now = self._clock()
            try:
                page = self._log.page(start, now + 1 if end is None else end, limit=limit)
            except Oversized:
                if limit == 1:
                    raise
                limit = most = limit // 2
                continue
            yield from self._new(page)
            if len(page) < limit:
                return
            last, full_size, limit = page[-1].at_ns, limit, most
            if last > start:
                start = last  # its other entries may be on the next page
            elif full_size == most:  # no request can read the rest of this one timestamp
                yield from self._skipped(start, start + 1)
                start += 1
            if end is None and now - start > BEHIND_NS and now - began > _PATIENCE_NS:
                yield from self._skipped(start, now - TRAIL_NS)
                start = now - TRAIL_NS

    def _new(self, page: Iterable[Entry]) -> Iterator[Entry]:
        for entry in page:
            if entry.key not in self._seen:
                self._seen.add(entry.key)
                self._newest = max(self._newest, entry.at_ns)
                yield entry

    def _skipped(self, start: int, end: int) -> Iterator[Skipped]:
        number = self._log.count(start, end) - self._seen_within(start, end)
        if number > 0:
            self._since = max(self._since, end)
            yield Skipped(number)

    def _seen_within(self, start: int, end: int) -> int:
        return sum(start <= at < end for at, _ in self._seen)

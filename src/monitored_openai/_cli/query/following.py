"""Follows a log and yields each new entry once, including entries that arrive late."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from monitored_openai._cli.query.loki_log import Entry
from monitored_openai._cli.query.replies import Oversized

_SECOND = 10**9
TRAIL_NS = 5 * _SECOND
"""Each poll starts this long before the newest entry: an entry has the time of its call's end, and arrives later."""
LATE_NS = 120 * _SECOND
"""Maximum delay of an entry that is still shown."""
_CHECK_NS = 15 * _SECOND
"""Interval for comparing Loki's count of the last `LATE_NS` with the entries read."""
BEHIND_NS = 60 * _SECOND
_MAX_POLL_NS = 20 * _SECOND
"""After this time, a poll that still reads entries older than `BEHIND_NS` skips to the last `TRAIL_NS`."""
PAGE, MAX_PAGE = 1000, 5000
"""Entries per request; Loki's default limit is 5,000."""


class Log(Protocol):
    """A log that can be read in pages."""

    def page(self, start: int, end: int, *, limit: int) -> list[Entry]:
        """Return the `limit` oldest entries with start <= time < end, in time order; may raise `Oversized`."""
        ...

    def count(self, start: int, end: int) -> int:
        """Return the number of entries with start <= time < end; too high if some were sent twice."""
        ...


@dataclass(frozen=True, slots=True)
class Skipped:
    """An upper bound of the number of unread entries: Loki may count an entry twice if a client sent it twice."""

    number: int


class Follower:
    """Yields each new entry of a log once."""

    def __init__(self, log: Log, *, clock: Callable[[], int] = time.time_ns) -> None:
        """Read the present entries, so that later polls omit them; `clock` returns nanoseconds.

        Raises:
            UserError: the log cannot be read.
        """
        self._log = log
        self._clock = clock
        self._last_check = self._newest = clock()
        self._since = self._newest - TRAIL_NS
        self._seen: set[tuple[int, int]] = set()
        for _ in self._read(self._since, self._newest):
            pass

    def mark_seen(self, entries: Iterable[Entry]) -> None:
        """Omit these entries from later polls."""
        self._seen.update(entry.key for entry in entries)

    def poll(self) -> Iterator[Entry | Skipped]:
        """Yield the entries that arrived since the last poll, and the number of skipped ones."""
        now = self._clock()
        start = max(self._since, min(self._newest, now) - TRAIL_NS, now - LATE_NS)
        yield from self._read(start, None)
        now = self._clock()
        if now - self._last_check >= _CHECK_NS:
            self._last_check = now
            yield from self._late_entries(now)
            oldest = now - LATE_NS - TRAIL_NS
            self._seen = {key for key in self._seen if key[0] >= oldest}

    def _late_entries(self, now: int) -> Iterator[Entry | Skipped]:
        """Yield entries of the last `LATE_NS` that `_read` missed; read only if Loki counts more than were seen."""
        start, end = max(self._since, now - LATE_NS), now - TRAIL_NS
        if self._log.count(start, end) > self._seen_within(start, end):
            yield from self._read(start, end)

    def _read(self, start: int, end: int | None) -> Iterator[Entry | Skipped]:
        """Yield new entries up to `end`; without `end`, read up to now, and skip entries to catch up."""
        limit, max_limit, began = PAGE, MAX_PAGE, self._clock()
        while True:
            now = self._clock()
            try:
                page = self._log.page(start, now + 1 if end is None else end, limit=limit)
            except Oversized:
                if limit == 1:
                    raise
                limit = max_limit = limit // 2
                continue
            yield from self._new(page)
            if len(page) < limit:
                return
            last, full_size, limit = page[-1].at_ns, limit, max_limit
            if last > start:
                start = last  # other entries with this timestamp may be on the next page
            elif full_size == max_limit:  # no request can read the rest of this timestamp
                yield from self._skip(start, start + 1)
                start += 1
            if end is None and now - start > BEHIND_NS and now - began > _MAX_POLL_NS:
                yield from self._skip(start, now - TRAIL_NS)
                start = now - TRAIL_NS

    def _new(self, page: Iterable[Entry]) -> Iterator[Entry]:
        for entry in page:
            if entry.key not in self._seen:
                self._seen.add(entry.key)
                self._newest = max(self._newest, entry.at_ns)
                yield entry

    def _skip(self, start: int, end: int) -> Iterator[Skipped]:
        number = self._log.count(start, end) - self._seen_within(start, end)
        if number > 0:
            self._since = max(self._since, end)
            yield Skipped(number)

    def _seen_within(self, start: int, end: int) -> int:
        return sum(start <= at < end for at, _ in self._seen)

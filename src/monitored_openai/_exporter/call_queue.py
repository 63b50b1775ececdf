"""The way in: a bounded queue between the callers' threads and the exporter's, and the books, which always balance.

Callers may come from any thread, from a signal handler, or from a finalizer that the garbage collector runs in the
middle of anything, even of this. So the lock is re-entrant, held for moments, and nothing is waited for under it; and
what belongs together is changed without a call or an allocation in between, where a finalizer could come in.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from monitored_openai._exporter.ledger import SampleBooks
from monitored_openai._exporter.runtime import gevent
from monitored_openai._stats import DropReason, Stats

if TYPE_CHECKING:
    from monitored_openai._calls.call import Call
    from monitored_openai._calls.finished_call import FinishedCall

_MOST_CALLS = 200_000
"""Calls kept, the most of them without content, while the exporter's thread cannot run; one more is lost and counted."""


class Intake:
    """Ended calls on their way in, log entries on their way out, and the count of both."""

    def __init__(
        self, *, most_entries: int, most_bytes: int, logs: bool, wake: Callable[[], None], forked: Callable[[], None]
    ) -> None:
        """`logs`: whether calls become log entries; `wake` is called when something comes in and nothing was there;
        `forked` is called by the first call in a forked child that ran no fork hooks, and resets this.
        """
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self._logs = logs
        self._wake = wake
        self._forked = forked
        self.reset()

    def reset(self) -> None:
        """Start from nothing, as a forked child must: not even the lock is usable there."""
        self._lock = gevent.reentrant_lock()
        self._pid = os.getpid()
        self._asleep = True
        self._closed = False
        self._calls: deque[tuple[FinishedCall, int, bool]] = deque()
        self.active: set[Call] = set()
        self._bytes = 0
        self._ended = 0
        self._folded = 0
        self._metrics_dropped: defaultdict[str, int] = defaultdict(int)
        self._queued = 0
        self._in_flight = 0
        self._in_flight_spooled = 0
        self._spooled = 0
        self._adopted = 0
        self.spool_bytes = 0
        self._delivered = 0
        self._dropped: defaultdict[str, int] = defaultdict(int)
        self._cut = 0
        self._content_failed = 0
        self.samples = SampleBooks()
        self._pushes = 0
        self._failed_pushes = 0
        self._totals_refused = 0
        self._last_push_ns: int | None = None
        self._last_delivery_ns: int | None = None

    # On the callers' threads

    def opened(self, call: Call) -> None:
        """A call has started."""
        if os.getpid() != self._pid:
            self._forked()  # uWSGI forks without running Python's hooks
        self.active.add(call)

    def stirs(self) -> None:
        """Wake the other side though nothing has come in yet."""
        with self._lock:
            wakes, self._asleep = self._asleep and not self._closed, False
        if wakes:
            self._wake()

    def ended(self, call: Call) -> None:
        """A call has ended. One that another process opened, before this one was forked from it, is that one's."""
        try:
            self.active.remove(call)
        except KeyError:
            return
        with self._lock:
            if self._closed or len(self._calls) >= _MOST_CALLS:
                self._lose("closed" if self._closed else "queue_full")
                return
            try:
                size = call.result.size()
                sheds = self._bytes + size > self._most_bytes or self._queued + self._in_flight >= self._most_entries
                if sheds:
                    call.result.discard_content()
                    size = 0
            except Exception:  # the texts of a stream need not be texts
                self._lose("fault")
                raise
            enters = self._logs and not sheds
            item = (call.result, size, enters)
            self._ended += 1
            self._bytes += size
            self._queued += enters
            if self._logs and sheds:
                self._dropped["queue_full"] += 1
            self._calls.append(item)
            wakes, self._asleep = self._asleep, False
        if wakes:
            self._wake()

    def lost(self, reason: DropReason) -> None:
        """A call could not even be observed."""
        with self._lock:
            self._lose(reason)

    def _lose(self, reason: DropReason) -> None:
        self._ended += 1
        self._metrics_dropped[reason] += 1
        if self._logs:
            self._dropped[reason] += 1

    def sleeps(self) -> None:
        """The wake came to nothing; the next call to end wakes again."""
        self._asleep = True

    # On the exporter's thread

    def next_call(self) -> FinishedCall | None:
        """The oldest call, which stays where it is until `folded`; `None`, and sleep until the next wake, if none."""
        with self._lock:
            if self._calls:
                return self._calls[0][0]
            self._asleep = True
            return None

    def folded(
        self, entry: int | None, *, reason: DropReason = "fault", cut: bool = False, failed: bool = False
    ) -> bool:
        """The oldest call is in the counters, and has become an entry of so many bytes or, for `reason`, none.

        False when there is no room for the entry: the back end is behind by as much as may be kept in memory.
        """
        with self._lock:
            if self._closed:
                return False
            self._folded += 1
            return self._leaves(entry, reason=reason, cut=cut, failed=failed)

    def faulty(self) -> None:
        """The oldest call could not be read."""
        with self._lock:
            if not self._closed:
                self._metrics_dropped["fault"] += 1
                self._leaves(None, reason="fault", cut=False, failed=False)

    def _leaves(self, entry: int | None, *, reason: DropReason, cut: bool, failed: bool) -> bool:
        _, size, enters = self._calls.popleft()
        self._bytes -= size
        if not enters:
            return False
        if entry is not None and self._bytes + entry <= self._most_bytes:
            self._bytes += entry
            self._cut += cut
            self._content_failed += failed
            return True
        self._queued -= 1
        self._dropped["queue_full" if entry is not None else reason] += 1
        return False

    def sends(self, entries: int, *, spooled: bool = False) -> None:
        """Entries leave the queue, or the spool, for a request."""
        with self._lock:
            if self._closed:
                return
            self._moves_in_flight(entries, spooled=spooled)
            if spooled:
                self._spooled -= entries
            else:
                self._queued -= entries

    def returns(self, entries: int, *, spooled: bool = False) -> None:
        """Entries come back from a request that failed, to be sent again."""
        with self._lock:
            if self._closed:
                return
            self._moves_in_flight(-entries, spooled=spooled)
            if spooled:
                self._spooled += entries
            else:
                self._queued += entries

    def delivers(self, entries: int, size: int, *, spooled: bool = False) -> None:
        """Entries have arrived."""
        with self._lock:
            if self._closed:
                return
            self._moves_in_flight(-entries, spooled=spooled)
            self._bytes -= size
            self._delivered += entries
            self._last_delivery_ns = time.time_ns()

    def cuts(self, entries: int) -> None:
        """Entries have arrived in a smaller form, because the back end refused the whole one."""
        with self._lock:
            if not self._closed:
                self._cut += entries

    def drops(self, entries: int, size: int, reason: DropReason, *, spooled: bool = False) -> None:
        """Entries of a request are given up."""
        with self._lock:
            if self._closed:
                return
            self._moves_in_flight(-entries, spooled=spooled)
            self._bytes -= size
            self._dropped[reason] += entries

    def _moves_in_flight(self, entries: int, *, spooled: bool) -> None:
        self._in_flight += entries
        if spooled:
            self._in_flight_spooled += entries

    def spools(self, entries: int, size: int) -> None:
        """Entries leave the queue for the spool, and the memory they took is free."""
        with self._lock:
            if self._closed:
                return
            self._queued -= entries
            self._bytes -= size
            self._spooled += entries

    def adopts(self, entries: int) -> None:
        """Entries of another process that has ended are in the spool."""
        with self._lock:
            if not self._closed:
                self._adopted += entries
                self._spooled += entries

    def forgets(self, entries: int, reason: DropReason) -> None:
        """Entries in the spool are given up."""
        with self._lock:
            if not self._closed:
                self._spooled -= entries
                self._dropped[reason] += entries

    def pushed(self) -> None:
        """The metrics' back end has taken a push."""
        self._pushes += 1
        self._last_push_ns = time.time_ns()

    def failed_to_push(self) -> None:
        """The metrics' back end has not taken a push."""
        self._failed_pushes += 1

    def refused_totals(self) -> None:
        """The metrics' back end does not want a part of the totals of a process that has ended."""
        self._totals_refused += 1

    # From anywhere

    def close(self, reason: DropReason, homeless: int = 0) -> None:
        """Take nothing more in, and give up, for `reason`, what is neither delivered nor in the spool; so many of those
        that count as spooled are not.
        """
        with self._lock:
            self._closed = True
            calls, entries = len(self._calls), self._queued + self._in_flight - self._in_flight_spooled
            self._spooled += self._in_flight_spooled
            homeless = min(homeless, self._spooled)
            self._spooled -= homeless
            entries += homeless
            if entries:
                self._dropped[reason] += entries
            if calls:
                self._metrics_dropped[reason] += calls
            self._calls.clear()
            self._queued = self._in_flight = self._in_flight_spooled = self._bytes = 0
        self.samples.close(reason)

    def stats(self) -> Stats:
        """The books at this instant."""
        with self._lock:
            stats = self._stats()
            while stats.calls != self._ended:  # a finalizer has ended a call in the middle of the reading
                stats = self._stats()
            return stats

    def _stats(self) -> Stats:
        return Stats(
            calls=self._ended,
            active=len(self.active),
            produced=(self._ended if self._logs else 0) + self._adopted,
            delivered=self._delivered,
            dropped=dict(self._dropped),
            queued=self._queued,
            in_flight=self._in_flight,
            spooled=self._spooled,
            adopted=self._adopted,
            spool_bytes=self.spool_bytes,
            cut=self._cut,
            content_failed=self._content_failed,
            folded=self._folded,
            metrics_dropped=dict(self._metrics_dropped),
            metrics_queued=len(self._calls),
            samples=self.samples.stats(),
            pushes=self._pushes,
            failed_pushes=self._failed_pushes,
            totals_refused=self._totals_refused,
            last_push_ns=self._last_push_ns,
            last_delivery_ns=self._last_delivery_ns,
        )

"""The counts of calls, log entries, pushes and legacy samples, and the memory that they use.

At every instant the counts balance (see `Stats`). A finalizer or a signal handler can interrupt any thread at any call
or allocation, and may then count here too. So the lock is re-entrant, and changes that belong together follow each
other without a call or an allocation in between.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING

from monitored_openai._exporter.runtime import gevent
from monitored_openai._stats import DropReason, HostStats, SampleStats, Stats

if TYPE_CHECKING:
    from monitored_openai._calls.call import Call


class DeliveryLedger:
    """Counts everything that one exporter handles.

    After `close` it counts calls as dropped, and ignores log entries and legacy samples.
    """

    def __init__(self, *, max_entries: int, max_bytes: int, logs: bool) -> None:
        """`max_entries` and `max_bytes` bound what waits in memory; `logs`: each call becomes a log entry."""
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._logs = logs
        self.reset()

    def reset(self) -> None:
        """Start from zero with a new lock, as a forked child must."""
        self.lock = gevent.reentrant_lock()
        self.is_closed = False
        self.active: set[Call] = set()
        """Calls that have started and not ended."""
        self._ended = 0
        self._folded = 0
        self._calls_queued = 0
        self._metrics_dropped: defaultdict[str, int] = defaultdict(int)
        self._call_bytes = 0
        self.entry_bytes = 0
        """Bytes of log entries in memory."""
        self._queued = 0
        self._in_flight = 0
        self._in_flight_spooled = 0
        self._spooled = 0
        self._adopted = 0
        self.spool_bytes = 0
        """Size of the spool's directory when it was last measured, in bytes."""
        self._delivered = 0
        self._dropped: defaultdict[str, int] = defaultdict(int)
        self._cut = 0
        self._content_failed = 0
        self._samples_produced = 0
        self._samples_delivered = 0
        self._samples_dropped: defaultdict[str, int] = defaultdict(int)
        self._pushes = 0
        self._failed_pushes = 0
        self._totals_refused = 0
        self.host: HostStats | None = None
        """The common series of this host, as last seen."""
        self._last_push_ns: int | None = None
        self._last_delivery_ns: int | None = None

    @property
    def memory_bytes(self) -> int:
        """Bytes of content in memory: of queued calls and of log entries."""
        return self._call_bytes + self.entry_bytes

    # Calls

    def record_ended(self, size: int) -> bool:
        """Count a call that enters the queue with `size` bytes of content; false if its content must be discarded.

        The content must fit in `max_bytes`, and its log entry in `max_entries`.

        The caller holds `lock`, here and in the other methods for queued calls.
        """
        fits = self.memory_bytes + size <= self._max_bytes and self._queued + self._in_flight < self._max_entries
        self._ended += 1
        self._calls_queued += 1
        if fits:
            self._call_bytes += size
            self._queued += self._logs
        elif self._logs:
            self._dropped["queue_full"] += 1
        return fits

    def record_untracked(self, reason: DropReason) -> None:
        """Count a call that does not enter the queue."""
        with self.lock:
            self._ended += 1
            self._metrics_dropped[reason] += 1
            if self._logs:
                self._dropped[reason] += 1

    def record_folded(
        self, size: int, entry: int | None, *, fits: bool, reason: DropReason, cut: bool, failed: bool
    ) -> bool:
        """Count a queued call as added to the counters; true if its log entry has room in memory.

        `size`: bytes of content that the call held; `entry`: bytes of its log entry, or `None` if it has none; `reason`:
        why it has none; `fits`: the result of `record_ended`.
        """
        self._calls_queued -= 1
        self._folded += 1
        return self._record_entry(size, entry, fits=fits, reason=reason, cut=cut, failed=failed)

    def record_unreadable(self, size: int, *, fits: bool) -> None:
        """Count a queued call that could not become a record, as dropped for `fault`."""
        self._calls_queued -= 1
        self._metrics_dropped["fault"] += 1
        self._record_entry(size, None, fits=fits, reason="fault", cut=False, failed=False)

    def _record_entry(
        self, size: int, entry: int | None, *, fits: bool, reason: DropReason, cut: bool, failed: bool
    ) -> bool:
        self._call_bytes -= size
        if not (fits and self._logs):
            return False
        if entry is not None and self.memory_bytes + entry <= self._max_bytes:
            self.entry_bytes += entry
            self._cut += cut
            self._content_failed += failed
            return True
        self._queued -= 1
        self._dropped["queue_full" if entry is not None else reason] += 1
        return False

    # Log entries

    def record_in_flight(self, entries: int, *, spooled: bool = False) -> None:
        """Count entries that leave the queue, or the spool, for a request."""
        with self.lock:
            if self.is_closed:
                return
            self._move_in_flight(entries, spooled=spooled)
            if spooled:
                self._spooled -= entries
            else:
                self._queued -= entries

    def record_requeued(self, entries: int, *, spooled: bool = False) -> None:
        """Count entries of a failed request that wait again."""
        with self.lock:
            if self.is_closed:
                return
            self._move_in_flight(-entries, spooled=spooled)
            if spooled:
                self._spooled += entries
            else:
                self._queued += entries

    def record_delivered(self, entries: int, size: int, *, spooled: bool = False) -> None:
        """Count entries that the back end accepted, and free their `size` bytes of memory."""
        with self.lock:
            if self.is_closed:
                return
            self._move_in_flight(-entries, spooled=spooled)
            self.entry_bytes -= size
            self._delivered += entries
            self._last_delivery_ns = time.time_ns()

    def record_cut(self, entries: int) -> None:
        """Count delivered entries that the back end accepted only in a smaller form."""
        with self.lock:
            if not self.is_closed:
                self._cut += entries

    def record_dropped(self, entries: int, size: int, reason: DropReason, *, spooled: bool = False) -> None:
        """Count entries of a request that are dropped, and free their `size` bytes of memory."""
        with self.lock:
            if self.is_closed:
                return
            self._move_in_flight(-entries, spooled=spooled)
            self.entry_bytes -= size
            self._dropped[reason] += entries

    def _move_in_flight(self, entries: int, *, spooled: bool) -> None:
        self._in_flight += entries
        if spooled:
            self._in_flight_spooled += entries

    def record_spooled(self, entries: int, size: int) -> None:
        """Count entries that moved from the queue to the spool, and free their `size` bytes of memory."""
        with self.lock:
            if self.is_closed:
                return
            self._queued -= entries
            self.entry_bytes -= size
            self._spooled += entries

    def record_adopted(self, entries: int) -> None:
        """Count entries that an ended process left in the spool."""
        with self.lock:
            if not self.is_closed:
                self._adopted += entries
                self._spooled += entries

    def record_evicted(self, entries: int, reason: DropReason) -> None:
        """Count entries of the spool that are dropped."""
        with self.lock:
            if not self.is_closed:
                self._spooled -= entries
                self._dropped[reason] += entries

    # Metrics and legacy samples

    def record_push(self, *, taken: bool) -> None:
        """Count a push of metrics."""
        if taken:
            self._pushes += 1
            self._last_push_ns = time.time_ns()
        else:
            self._failed_pushes += 1

    def record_refused_snapshot(self) -> None:
        """Count a lost counter snapshot of an ended process: refused by the back end, or damaged."""
        self._totals_refused += 1

    def record_samples_produced(self, samples: int) -> None:
        """Count new legacy samples, which wait for a push."""
        with self.lock:
            if not self.is_closed:
                self._samples_produced += samples

    def record_samples_delivered(self, samples: int) -> None:
        """Count legacy samples that the back end accepted."""
        with self.lock:
            if not self.is_closed:
                self._samples_delivered += samples

    def record_samples_dropped(self, samples: int, reason: DropReason) -> None:
        """Count legacy samples that are dropped."""
        with self.lock:
            if not self.is_closed:
                self._samples_dropped[reason] += samples

    # The end, and the counts

    def close(self, reason: DropReason, missing_on_disk: int = 0) -> None:
        """Count everything undelivered as dropped for `reason`, except what waits in the spool.

        `missing_on_disk`: spooled entries whose file is gone, so that no other process can send them.
        """
        with self.lock:
            self.is_closed = True
            waiting = self._queued + self._in_flight - self._in_flight_spooled
            self._spooled += self._in_flight_spooled
            missing_on_disk = min(missing_on_disk, self._spooled)
            self._spooled -= missing_on_disk
            if waiting + missing_on_disk:
                self._dropped[reason] += waiting + missing_on_disk
            if self._calls_queued:
                self._metrics_dropped[reason] += self._calls_queued
            self._calls_queued = self._queued = self._in_flight = self._in_flight_spooled = 0
            self._call_bytes = self.entry_bytes = 0
            if samples := self._samples_queued():
                self._samples_dropped[reason] += samples

    def stats(self) -> Stats:
        """Return the counts at this instant."""
        with self.lock:
            stats = self._stats()
            while stats.calls != self._ended:  # a finalizer has ended a call while this thread read the counts
                stats = self._stats()
            return stats

    def _samples_queued(self) -> int:
        return self._samples_produced - self._samples_delivered - sum(self._samples_dropped.values())

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
            metrics_queued=self._calls_queued,
            samples=SampleStats(
                produced=self._samples_produced,
                delivered=self._samples_delivered,
                dropped=dict(self._samples_dropped),
                queued=self._samples_queued(),
            ),
            pushes=self._pushes,
            failed_pushes=self._failed_pushes,
            totals_refused=self._totals_refused,
            host=self.host,
            last_push_ns=self._last_push_ns,
            last_delivery_ns=self._last_delivery_ns,
        )

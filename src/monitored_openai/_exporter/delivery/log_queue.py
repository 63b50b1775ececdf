"""Queues log entries for Loki: decides which batch goes next, and what each reply means for its batch.

Entries wait in memory or, with a spool, in files: the file of this process or adopted ones. Batches taken out for
sending wait in `_taken`; the first one that is not put aside goes next. An entry stays on disk until the back end has
accepted or refused it, so that after a crash the next process sends it again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from monitored_openai._exporter.delivery.aside import LONGEST_WAIT, goes_untried, return_smaller, turn_of
from monitored_openai._exporter.delivery.batch import Batch
from monitored_openai._exporter.delivery.reduced_entries import few_labels
from monitored_openai._exporter.delivery.refusals import Acceptance
from monitored_openai._exporter.delivery.retry import Action, Failure, Reply, Step, is_limited, is_untouched
from monitored_openai._exporter.values import Entry
from monitored_openai._logging import warn_sparsely

if TYPE_CHECKING:
    from monitored_openai._exporter.ledger import DeliveryLedger
    from monitored_openai._exporter.spool.spool import Spool

MAX_ENTRIES = 500
MAX_BYTES = 1024 * 1024
"""Stays well below Loki's burst limit for a tenant, 6 MB by default. The pacer learns lower limits."""
REPLAY_SECONDS = 30 * 60
"""Older entries get a separate stream: Loki refuses an entry more than an hour behind the newest of its stream."""


class LogQueue:
    """Log entries in the order of delivery, with their state."""

    def __init__(
        self,
        ledger: DeliveryLedger,
        *,
        stream: Mapping[str, str],
        shards: int,
        spool: Spool | None,
        now_ns: Callable[[], int],
    ) -> None:
        """`stream`: labels of every entry; `shards`: number of streams; `now_ns`: clock in ns since the epoch."""
        self._ledger = ledger
        self._stream = stream
        self._shards = shards
        self._spool = spool
        self._now_ns = now_ns
        self._memory: deque[Entry] = deque()
        self._next_shard = 0 if shards > 1 else None
        self._taken: deque[Batch] = deque()
        self._in_flight: Batch | None = None
        self._delivered = 0
        self._turn = 0
        self._acceptance = Acceptance(MAX_BYTES)
        self._last_request_at = -math.inf
        self.wait = LONGEST_WAIT
        """Seconds until the next call of `next`, after it returned `None` although entries wait."""

    def add(self, encoded: bytes, at_ns: int) -> None:
        """Queue an entry that the ledger has admitted."""
        self._memory.append(Entry(self._next_shard, encoded, at_ns))
        if self._next_shard is not None:
            self._next_shard = (self._next_shard + 1) % self._shards

    def store(self) -> None:
        """Move entries from memory to the spool, if the spool accepts them.

        Batches that Loki may have stored stay in memory, because a retry must use the same labels.
        """
        if self._spool is None:
            return
        taken = [one for one in self._taken if one.file is None and one.sent_as_replay is None]
        taken = [one for one in taken if one is not self._in_flight]
        entries = [*(entry for one in taken for entry in one.entries), *self._memory] if taken else self._memory
        if entries and self._spool.write(entries):
            self._ledger.record_spooled(len(entries), sum(len(entry.encoded) for entry in entries))
            if taken:
                self._taken = deque(one for one in self._taken if not any(one is other for other in taken))
            self._memory.clear()

    @property
    def is_empty(self) -> bool:
        """True if no entry of this process waits, not even in a file that was removed from the directory."""
        files = self._spool.files() if self._spool is not None else []
        return not (self._taken or self._memory or any(file.waiting for file in files if file.is_of_this_process))

    @property
    def has_any(self) -> bool:
        """True if any entry waits, also in adopted files."""
        return not self.is_empty or (self._spool is not None and any(file.waiting for file in self._spool.adopted))

    @property
    def is_enough(self) -> bool:
        """True if enough entries wait for a full request."""
        spooled = self._spool.files() if self._spool is not None else []
        waiting = len(self._memory) + sum(file.waiting for file in spooled)
        size = self._ledger.entry_bytes + sum(file.waiting_bytes for file in spooled)
        return (
            any(batch.due_at is None for batch in self._taken)
            or waiting >= MAX_ENTRIES
            or size >= self._acceptance.most_bytes
        )

    @property
    def missing_on_disk(self) -> int:
        """Number of spooled entries whose file was removed, so that no other process can send them."""
        files = self._spool.files() if self._spool is not None else []
        taken = sum(
            len(batch.entries) for batch in self._taken if batch.file is not None and not batch.file.is_in_place()
        )
        return taken + sum(file.waiting for file in files if not file.is_in_place())

    def next(self, now: float) -> Batch | None:
        """Return the batch to send now, in flight until `settle`; `None` if none can go. `now`: monotonic seconds."""
        self.give_up()
        while (batch := self._choose(now)) is not None:
            self._expire(batch)
            if not batch.entries:
                self._taken.remove(batch)
                continue
            batch = self._as_limited(batch)
            if goes_untried(batch, self._taken, self._acceptance):
                batch.due_at = now
                continue
            self._acceptance.prepare(batch, now)
            self._choose_labels(batch)
            self._ledger.record_in_flight(len(batch.entries), spooled=batch.file is not None)
            self._in_flight = batch
            return batch
        return None

    def give_up(self) -> None:
        """Requeue the batch in flight, because its reply will not arrive."""
        batch, self._in_flight = self._in_flight, None
        if batch is not None:
            batch.sent_as_replay = batch.as_replay
            self._ledger.record_requeued(len(batch.entries), spooled=batch.file is not None)

    def settle(self, outcome: Reply | Failure, now: float) -> Step:
        """Apply the outcome to the batch in flight, and return the step with the wait before the next request."""
        batch, self._in_flight = self._in_flight, None
        assert batch is not None, "no batch is in flight"  # noqa: S101
        number, spooled = len(batch.entries), batch.file is not None
        if not (isinstance(outcome, Reply) and outcome.is_success):
            rested = self._acceptance.has_rested(batch, now - self._last_request_at)
            batch.retry = batch.retry.after(now, self._delivered, rested=rested)
        self._last_request_at = now
        if not is_untouched(outcome):
            batch.sent_as_replay = batch.as_replay
        step = self._acceptance.next_step(batch, outcome, now)
        match step.action:
            case Action.DELIVERED:
                self._delivered += 1
                return_smaller(self._taken, batch.size)
                self._ledger.record_delivered(number, 0 if spooled else batch.size, spooled=spooled)
                self._ledger.record_cut(batch.cuts(loses_labels=self._loses_labels(batch)))
                self._finish(batch)
            case Action.DROP:
                reason = step.reason or "fault"
                warn_sparsely(f"loki {reason}", "%d log entries dropped (%s): %s", number, reason, outcome)
                self._ledger.record_dropped(number, 0 if spooled else batch.size, reason, spooled=spooled)
                self._finish(batch)
            case _:
                warn_sparsely("loki retry", "log entries could not be delivered yet: %s", outcome)
                self._ledger.record_requeued(number, spooled=spooled)
                self._requeue(batch, step, outcome, now)
        return step

    def labels(self, batch: Batch, shard: int | None) -> Mapping[str, str]:
        """Return the stream labels for the entries of a batch."""
        labels = self._labels_of_all(batch)
        if shard is not None:
            labels = {**labels, "shard": str(shard)}
        if batch.as_replay and batch.file is not None:
            labels = {**labels, "replay": batch.file.slot}
        return few_labels(labels) if batch.few_labels else labels

    def _labels_of_all(self, batch: Batch) -> Mapping[str, str]:
        return self._stream if batch.file is None else batch.file.stream

    def _loses_labels(self, batch: Batch) -> bool:
        labels = self._labels_of_all(batch)
        return batch.few_labels and few_labels(labels) != labels

    def purge(self) -> None:
        """Drop everything in the spool except the batch in flight, which may still arrive."""
        for batch in [batch for batch in self._taken if batch.file is not None and batch is not self._in_flight]:
            self._taken.remove(batch)
            self._ledger.record_evicted(len(batch.entries), "purged")
        if self._spool is not None:
            self._spool.purge()

    def _as_limited(self, batch: Batch) -> Batch:
        """Return the part of the batch that the rate limit allows, and queue the rest behind it."""
        first, rest = batch.cut(self._acceptance.most_bytes)
        if rest is not None:
            index = self._taken.index(batch)
            self._taken[index] = first
            self._taken.insert(index + 1, rest)
        return first

    def _choose(self, now: float) -> Batch | None:
        """Return the next batch: one put aside that is due, otherwise the next in order."""
        self.wait = LONGEST_WAIT
        waiting = next((batch for batch in self._taken if batch.due_at is None), None)
        if waiting is None and self._take():
            waiting = self._taken[-1]
        aside = [batch for batch in self._taken if batch.due_at is not None]
        if aside and (waiting is None or self._acceptance.is_passing):
            turn = turn_of(aside, self._acceptance, now, self._last_request_at)
            self.wait = turn.wait
            if turn.batch is not None or turn.rests:
                return turn.batch
        return waiting

    def _finish(self, batch: Batch) -> None:
        self._taken.remove(batch)
        if batch.file is not None and self._spool is not None:
            self._spool.remove(batch.file, batch.entries[0].id, batch.entries[-1].id)

    def _requeue(self, batch: Batch, step: Step, outcome: Reply | Failure, now: float) -> None:
        if batch.file is not None and self._spool is not None and batch.sent_as_replay is None:
            possibly_stored = self._possibly_stored(batch)
            through = max((other.entries[-1].id for other in possibly_stored), default=0)
            self._spool.mark(batch.file, through, as_replay=bool(possibly_stored and possibly_stored[0].as_replay))
        if step.action is Action.SPLIT:
            self._taken.remove(batch)
            self._taken.extendleft(reversed(batch.halves()))
        elif step.lets_next_go_first and is_limited(outcome):
            batch.due_at = now + max(step.wait, self._acceptance.aside_seconds(batch))
        elif step.lets_next_go_first and (len(self._taken) > 1 or self._take()):
            self._taken.rotate(-1)

    def _choose_labels(self, batch: Batch) -> None:
        """Repeat the labels of an earlier attempt; without one, choose them by age. Record the choice in the file."""
        if batch.file is None or self._spool is None:
            return
        possibly_stored = self._possibly_stored(batch)
        if batch.sent_as_replay is not None:
            batch.as_replay = batch.sent_as_replay
        elif possibly_stored:
            batch.as_replay = possibly_stored[0].as_replay
        else:
            batch.as_replay = self._now_ns() - batch.entries[0].at_ns > REPLAY_SECONDS * 1_000_000_000
        through = max(one.entries[-1].id for one in (batch, *possibly_stored))
        # Recorded before the request, so that the next process knows the labels after a crash.
        self._spool.mark(batch.file, through, as_replay=batch.as_replay)

    def _possibly_stored(self, batch: Batch) -> list[Batch]:
        """Return the other batches of the same file that the back end may have stored already."""
        return [
            other
            for other in self._taken
            if other is not batch and other.file is batch.file and other.sent_as_replay is not None
        ]

    def _expire(self, batch: Batch) -> None:
        if batch.file is None or self._spool is None:
            return
        before_ns = self._spool.oldest_ns(self._now_ns())
        number = sum(entry.at_ns < before_ns for entry in batch.entries)
        if number:
            self._spool.remove(batch.file, batch.entries[0].id, batch.entries[number - 1].id)
            batch.entries = batch.entries[number:]
            self._ledger.record_evicted(number, "expired")

    def _take(self) -> bool:
        """Take out the next batch; false if none waits. Files take turns, so that an old one delays no new entries."""
        batch = self._from_spool() or self._from_memory()
        if batch is None:
            return False
        self._taken.append(batch)
        return True

    def _from_spool(self) -> Batch | None:
        if self._spool is None:
            return None
        files = self._spool.files()
        for index in range(self._turn, self._turn + len(files)):
            file = files[index % len(files)]
            found = self._spool.read(file, self._now_ns(), MAX_ENTRIES, self._acceptance.most_bytes)
            if found:
                self._turn = index + 1
                return Batch(found, file, bool(file.sent_as_replay) if found[-1].id <= file.sent else None)
        return None

    def _from_memory(self) -> Batch | None:
        entries: list[Entry] = []
        size = 0
        while self._memory and len(entries) < MAX_ENTRIES:
            size += len(self._memory[0].encoded)
            if entries and size > self._acceptance.most_bytes:
                break
            entries.append(self._memory.popleft())
        if not entries:
            return None
        return Batch(entries, None)

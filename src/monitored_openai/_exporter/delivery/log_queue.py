"""The log entries that wait, and what becomes of them: everything about their delivery but the sending.

They wait in memory, or in the spool where there is one: in one's own file, or in one that was adopted. Batches that
have been taken out to be sent wait in `_taken`, the first of which is the one that is tried. What is on disk stays
there until its fate is known, so that whoever finds the file after a crash sends it again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from monitored_openai._exporter.delivery.acceptance import Acceptance
from monitored_openai._exporter.delivery.batch import Batch
from monitored_openai._exporter.delivery.entry_forms import few_labels
from monitored_openai._exporter.delivery.retry import Action, Failure, Reply, Step, is_limited, is_untouched
from monitored_openai._exporter.encoders.loki import Entry
from monitored_openai._logging import warn_sparsely

if TYPE_CHECKING:
    from monitored_openai._exporter.call_queue import Intake
    from monitored_openai._exporter.spool.spool import Spool

MOST_ENTRIES = 500
MOST_BYTES = 1024 * 1024
"""Stays well below Loki's burst limit for a tenant, 6 MB by default. The pacer learns lower limits."""
REPLAY_SECONDS = 30 * 60
"""Loki refuses what is more than an hour behind the newest entry of its stream; what is this old gets one of its own."""


class LogQueue:
    """What waits, in the order in which it is to go."""

    def __init__(
        self, intake: Intake, *, stream: Mapping[str, str], shards: int, spool: Spool | None, now_ns: Callable[[], int]
    ) -> None:
        """`stream`: the labels of all entries."""
        self._intake = intake
        self._stream = stream
        self._shards = shards
        self._spool = spool
        self._now_ns = now_ns
        self._memory: deque[Entry] = deque()
        self._memory_bytes = 0
        self._next_shard = 0 if shards > 1 else None
        self._taken: deque[Batch] = deque()
        self._under_way: Batch | None = None
        self._delivered = 0
        self._turn = 0
        self._acceptance = Acceptance(MOST_BYTES)

    def add(self, encoded: bytes, at_ns: int) -> None:
        """Queue an entry that the books have let in."""
        self._memory.append(Entry(self._next_shard, encoded, at_ns))
        if self._next_shard is not None:
            self._next_shard = (self._next_shard + 1) % self._shards
        self._memory_bytes += len(encoded)

    def store(self) -> None:
        """Bring what is in memory to the spool, if there is one and it can; not what may have arrived already, which is
        to be sent again as it was.
        """
        if self._spool is None:
            return
        taken = [one for one in self._taken if one.file is None and one.sent_as_replay is None]
        taken = [one for one in taken if one is not self._under_way]
        entries = [*(entry for one in taken for entry in one.entries), *self._memory] if taken else self._memory
        if entries and self._spool.write(entries):
            self._intake.spools(len(entries), self._memory_bytes + sum(one.size for one in taken))
            if taken:
                self._taken = deque(one for one in self._taken if not any(one is other for other in taken))
            self._memory.clear()
            self._memory_bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing of one's own waits, in files that somebody has removed from the directory neither."""
        files = self._spool.files() if self._spool is not None else []
        return not (self._taken or self._memory or any(file.waiting for file in files if file.is_of_this_process))

    @property
    def has_any(self) -> bool:
        """Whether anything waits, adopted files included."""
        return not self.is_empty or (self._spool is not None and any(file.waiting for file in self._spool.adopted))

    @property
    def is_enough(self) -> bool:
        """Whether there is so much that it need not wait for more."""
        spooled = self._spool.files() if self._spool is not None else []
        waiting = len(self._memory) + sum(file.waiting for file in spooled)
        size = self._memory_bytes + sum(file.waiting_bytes for file in spooled)
        return bool(self._taken) or waiting >= MOST_ENTRIES or size >= self._acceptance.most_bytes

    @property
    def homeless(self) -> int:
        """Entries that count as spooled but have no file in the directory any more: they end with this process."""
        files = self._spool.files() if self._spool is not None else []
        taken = sum(
            len(batch.entries) for batch in self._taken if batch.file is not None and not batch.file.is_in_place()
        )
        return taken + sum(file.waiting for file in files if not file.is_in_place())

    def next(self) -> Batch | None:
        """The batch to send now, which counts as under way until `settle`; `None` if none can be had."""
        self.give_up()
        while self._taken or self._take():
            batch = self._taken[0]
            self._expire(batch)
            if batch.entries:
                batch = self._as_limited(batch)
                self._acceptance.prepare(batch)
                self._labels_again(batch)
                self._intake.sends(len(batch.entries), spooled=batch.file is not None)
                self._under_way = batch
                return batch
            self._taken.popleft()
        return None

    def give_up(self) -> None:
        """Nobody waits for the answer to what is under way any more: it goes again."""
        batch, self._under_way = self._under_way, None
        if batch is not None:
            batch.sent_as_replay = batch.as_replay
            self._intake.returns(len(batch.entries), spooled=batch.file is not None)

    def settle(self, outcome: Reply | Failure, now: float) -> Step:
        """What the answer means for what is under way; the step says how long to wait before the next."""
        batch, self._under_way = self._under_way, None
        assert batch is not None, "an answer to nothing"  # noqa: S101
        number, spooled = len(batch.entries), batch.file is not None
        if not (isinstance(outcome, Reply) and outcome.is_success):
            batch.trouble = batch.trouble.after(now, self._delivered)
        if not is_untouched(outcome):
            batch.sent_as_replay = batch.as_replay
        step = self._acceptance.next_step(batch, outcome, now)
        match step.action:
            case Action.DELIVERED:
                self._delivered += 1
                self._intake.delivers(number, 0 if spooled else batch.size, spooled=spooled)
                self._intake.cuts(batch.cuts)
                self._ends(batch)
            case Action.DROP:
                reason = step.reason or "fault"
                warn_sparsely(f"loki {reason}", "%d log entries given up (%s): %s", number, reason, outcome)
                self._intake.drops(number, 0 if spooled else batch.size, reason, spooled=spooled)
                self._ends(batch)
            case _:
                warn_sparsely("loki retry", "log entries could not be delivered yet: %s", outcome)
                self._intake.returns(number, spooled=spooled)
                self._stays(batch, step, outcome)
        return step

    def labels(self, batch: Batch, shard: int | None) -> Mapping[str, str]:
        """The stream that entries of a batch go to."""
        labels = self._stream if batch.file is None else batch.file.stream
        if shard is not None:
            labels = {**labels, "shard": str(shard)}
        if batch.as_replay and batch.file is not None:
            labels = {**labels, "replay": batch.file.slot}
        return few_labels(labels) if batch.few_labels else labels

    def purge(self) -> None:
        """Give up what is in the spool; what is under way there may still arrive."""
        for batch in [batch for batch in self._taken if batch.file is not None and batch is not self._under_way]:
            self._taken.remove(batch)
            self._intake.forgets(len(batch.entries), "purged")
        if self._spool is not None:
            self._spool.purge()

    def _as_limited(self, batch: Batch) -> Batch:
        """Make the first batch as small as the back end's limit asks for, and leave the rest behind it."""
        first, rest = batch.cut(self._acceptance.most_bytes)
        if rest is not None:
            self._taken[0] = first
            self._taken.insert(1, rest)
        return first

    def _ends(self, batch: Batch) -> None:
        self._taken.remove(batch)
        if batch.file is not None and self._spool is not None:
            self._spool.remove(batch.file, batch.entries[0].id, batch.entries[-1].id)

    def _stays(self, batch: Batch, step: Step, outcome: Reply | Failure) -> None:
        if batch.file is not None and self._spool is not None and batch.sent_as_replay is None:
            doubtful = self._doubtful(batch)
            through = max((other.entries[-1].id for other in doubtful), default=0)
            self._spool.mark(batch.file, through, as_replay=bool(doubtful and doubtful[0].as_replay))
        if step.action is Action.SPLIT:
            self._taken.remove(batch)
            self._taken.extendleft(reversed(batch.halves()))
        elif step.lets_next_go_first and is_limited(outcome):
            self._let_one_pass(batch)
        elif step.lets_next_go_first and (len(self._taken) > 1 or self._take()):
            self._taken.rotate(-1)

    def _let_one_pass(self, batch: Batch) -> None:
        """Put one small batch that has not failed by itself before this one."""
        others = (index for index, other in enumerate(self._taken) if other is not batch and not other.is_stuck)
        index = next(others, None)
        if index is None:
            if not self._take():
                return
            index = len(self._taken) - 1
        first, rest = self._taken[index].cut(self._acceptance.most_bytes)
        del self._taken[index]
        if rest is not None:
            self._taken.insert(index, rest)
        self._taken.appendleft(first)

    def _labels_again(self, batch: Batch) -> None:
        """Those of its first sending, or else those that its age asks for; the file remembers them from before the
        sending on, lest a crash leave it unknown.
        """
        if batch.file is None or self._spool is None:
            return
        doubtful = self._doubtful(batch)
        if batch.sent_as_replay is not None:
            batch.as_replay = batch.sent_as_replay
        elif doubtful:
            batch.as_replay = doubtful[0].as_replay
        else:
            batch.as_replay = self._now_ns() - batch.entries[0].at_ns > REPLAY_SECONDS * 1_000_000_000
        through = max(one.entries[-1].id for one in (batch, *doubtful))
        self._spool.mark(batch.file, through, as_replay=batch.as_replay)

    def _doubtful(self, batch: Batch) -> list[Batch]:
        """The others from the same file of which it is not known whether they are stored already."""
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
            self._intake.forgets(number, "expired")

    def _take(self) -> bool:
        """Take out the next batch; the files take turns, so that an old one does not hold up what is new."""
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
            found = self._spool.read(file, self._now_ns(), MOST_ENTRIES, self._acceptance.most_bytes)
            if found:
                self._turn = index + 1
                return Batch(found, file, bool(file.sent_as_replay) if found[-1].id <= file.sent else None)
        return None

    def _from_memory(self) -> Batch | None:
        entries: list[Entry] = []
        size = 0
        while self._memory and len(entries) < MOST_ENTRIES:
            size += len(self._memory[0].encoded)
            if entries and size > self._acceptance.most_bytes:
                break
            entries.append(self._memory.popleft())
        if not entries:
            return None
        batch = Batch(entries, None)
        self._memory_bytes -= batch.size
        return batch

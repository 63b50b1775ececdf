"""Any sequence of events leaves each entry with one outcome, and a crash loses no entry on disk."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from monitored_openai import Stats
from monitored_openai._exporter.delivery.batch import Batch
from monitored_openai._exporter.delivery.log_queue import REPLAY_SECONDS, LogQueue
from monitored_openai._exporter.delivery.retry import Failure, Reply
from monitored_openai._exporter.spool.directory import SpoolDirectory
from monitored_openai._exporter.spool.spool import Spool
from tests.exporter.test_call_queue import Pair, end, opened
from tests.support.handles import imbalance

STREAM = {"job": "test"}
AGE = 86_400.0
LOG_BYTES = 2 * 1024 * 1024
ROOM = 40_000
SECOND = 1_000_000_000

STORED: dict[str, tuple[Reply | Failure, bool]] = {
    "taken": (Reply(204), True),
    "taken, answer lost": (Failure.LOST, True),
    "lost": (Failure.LOST, False),
    "no connection": (Failure.CONNECT, False),
    "taken, but 503": (Reply(503), True),
    "503": (Reply(503), False),
    "429": (Reply(429, 1.0), False),
    "taken, but 429": (Reply(429), True),
    "401": (Reply(401), False),
    "413": (Reply(413), False),
    "400": (Reply(400), False),
}
"""What a back end may answer, and whether it has stored the entries all the same."""
KEPT, NOT_KEPT = 10, 11
"""How a forked child ends that could, or could not, keep its entry on disk."""


class Life:
    """One process: its books, its spool, its backlog."""

    def __init__(self, directory: Path | None, now_ns: Callable[[], int]) -> None:
        self.books = Pair()
        self.spool = None
        if directory is not None:
            self.spool = Spool(
                SpoolDirectory(directory, "d"),
                most_bytes=LOG_BYTES + ROOM,
                most_seconds=AGE,
                stream=STREAM,
                on_evicted=self.books.ledger.record_evicted,
            )
        self.backlog = LogQueue(self.books.ledger, stream=STREAM, shards=1, spool=self.spool, now_ns=now_ns)
        self.batch: Batch | None = None

    def adopt(self) -> None:
        assert self.spool is not None
        adopted, expired = self.spool.adopt()
        for number in (*(file.waiting for file in adopted), expired):
            self.books.ledger.record_adopted(number)
        self.books.ledger.record_evicted(expired, "expired")

    def dies(self) -> None:
        """As by SIGKILL: nothing is written any more, and the kernel lets go of the locks."""
        for file in self.spool.files() if self.spool is not None else []:
            file._db.close()
            file._lock.let_go()

    @property
    def stats(self) -> Stats:
        return self.books.stats()


class Deliveries(RuleBasedStateMachine):
    """A spool, a back end that answers anything, time that passes, processes that die."""

    @initialize(spooled=st.booleans())
    def begin(self, spooled: bool) -> None:
        self.directory = Path(tempfile.mkdtemp()) if spooled else None
        self.now_ns = 1_760_000_000 * SECOND
        self.clock = 0.0
        self.number = 0
        self.stored: dict[bytes, tuple[tuple[str, str], ...]] = {}
        self.in_order: list[bytes] = []
        self.committed: set[bytes] = set()
        self.sent: dict[bytes, bytes] = {}
        self.reasons: Counter[str] = Counter()
        self.life = Life(self.directory, lambda: self.now_ns)

    @rule(number=st.integers(1, 20), size=st.integers(0, 4000))
    def calls_end(self, number: int, size: int) -> None:
        for _ in range(number):
            end(opened(self.life.books))
            self.number += 1
            encoded = b"%06d" % self.number + b"x" * size
            assert self.life.books.queue.pop_folded(len(encoded))
            self.now_ns += 1
            self.life.backlog.add(encoded, self.now_ns)

    @precondition(lambda self: self.directory is not None)
    @rule()
    def stores(self) -> None:
        pending = [entry.encoded for entry in self.life.backlog._memory]
        self.life.backlog.store()
        if not self.life.backlog._memory:
            self.committed.update(pending)

    @rule()
    def sends(self) -> None:
        self.life.batch = self.life.backlog.next(self.clock)

    @precondition(lambda self: self.life.batch is not None)
    @rule(answer=st.sampled_from(sorted(STORED)))
    def answers(self, answer: str) -> None:
        batch, self.life.batch = self.life.batch, None
        assert batch is not None
        outcome, is_stored = STORED[answer]
        labels = tuple(sorted(self.life.backlog.labels(batch, None).items()))
        for entry in batch.entries if is_stored else ():
            # Loki knows an entry again by its labels, time and line.
            assert self.stored.setdefault(entry.encoded, labels) == labels
            self.in_order.append(entry.encoded)
        self.clock += 1
        step = self.life.backlog.settle(outcome, self.clock)
        self.clock += step.wait

    @rule(seconds=st.sampled_from([1.0, REPLAY_SECONDS + 1.0, AGE / 2, AGE + 1]))
    def time_passes(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND)

    @precondition(lambda self: self.directory is not None)
    @rule()
    def crashes(self) -> None:
        self.reasons.update(self.life.stats.dropped)
        self.life.dies()
        self.life = Life(self.directory, lambda: self.now_ns)
        self.life.adopt()

    @precondition(lambda self: self.directory is not None and hasattr(os, "fork"))
    @rule()
    def forks(self) -> None:
        """The child keeps an entry of its own and dies; everything else is still the parent's."""
        self.number += 1
        encoded = b"%06d of a child" % self.number
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads that other tests have left
            child = os.fork()
        if not child:
            os._exit(self._lives_as_a_child(encoded))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (KEPT, NOT_KEPT)
        if code == KEPT:
            self.committed.add(encoded)

    def _lives_as_a_child(self, encoded: bytes) -> int:
        try:
            assert self.life.spool is not None
            self.life.spool.forked()
            mine = {file.path for file in self.life.spool.files()}
            self.life.books.ledger.reset()
            self.life.books.queue.reset()
            life = Life(self.directory, lambda: self.now_ns)
            life.adopt()
            assert life.spool is not None
            assert mine.isdisjoint(file.path for file in life.spool.files())
            end(opened(life.books))
            assert life.books.queue.pop_folded(len(encoded))
            life.backlog.add(encoded, self.now_ns)
            life.backlog.store()
            assert imbalance(life.stats) == imbalance(self.life.stats) == (0, 0)
            return NOT_KEPT if life.backlog._memory else KEPT
        except BaseException:
            traceback.print_exc()
            return 1

    @precondition(lambda self: self.directory is not None)
    @rule()
    def closes(self) -> None:
        if self.life.batch is not None:
            self.life.batch = None
            self.life.backlog.give_up()
        self.life.books.queue.close("closed")
        stats = self.life.stats
        assert (stats.queued, stats.in_flight) == (0, 0)
        self.reasons.update(stats.dropped)
        assert self.life.spool is not None
        self.life.spool.close()
        self.life = Life(self.directory, lambda: self.now_ns)
        self.life.adopt()

    @invariant()
    def balances(self) -> None:
        stats = self.life.stats
        assert imbalance(stats) == (0, 0)
        assert min(stats.queued, stats.in_flight, stats.spooled) >= 0

    @invariant()
    def keeps_the_bound(self) -> None:
        if self.directory is not None:
            size = sum(path.stat().st_size for path in self.directory.iterdir())
            assert size <= LOG_BYTES + ROOM + 1024 * 1024

    def teardown(self) -> None:
        """In the end the back end takes everything: what was on disk has arrived, or is counted."""
        if not hasattr(self, "life"):
            return
        self._drains()
        while self.life.spool is not None:
            self.life.spool.used_up()
            self.life.adopt()
            if not self.life.spool.adopted:
                break
            self._drains()
        stats = self.life.stats
        assert (stats.queued, stats.in_flight, stats.spooled, imbalance(stats)) == (0, 0, 0, (0, 0))
        assert "corrupt" not in self.reasons.keys() | stats.dropped.keys()
        lost = self.committed - self.stored.keys()
        assert len(lost) <= sum(self.reasons.values()) + sum(stats.dropped.values())
        if self.life.spool is not None and self.directory is not None:
            self.life.spool.close()
            assert list(self.directory.iterdir()) == []
            shutil.rmtree(self.directory)

    def _drains(self) -> None:
        while self.life.backlog.has_any:
            if (batch := self.life.backlog.next(self.clock)) is None:
                self.clock += self.life.backlog.wait
                continue
            self.stored.update({entry.encoded: () for entry in batch.entries})
            self.life.backlog.settle(Reply(204), self.clock)


STEPS = 30
"""Of an example."""
Deliveries.TestCase.settings = settings(max_examples=40, stateful_step_count=STEPS, deadline=None)
TestDeliveries = Deliveries.TestCase


def add(life: Life, *texts: str, at_ns: int = 1) -> None:
    for text in texts:
        end(opened(life.books))
        assert life.books.queue.pop_folded(len(text))
        life.backlog.add(text.encode(), at_ns)


def texts(batch: Batch | None) -> list[str]:
    return [] if batch is None else [entry.encoded.decode() for entry in batch.entries]


@pytest.mark.skipif(os.name != "posix", reason="the spool needs POSIX")
def test_entries_put_aside_survive_a_crash_and_arrive_once(tmp_path: Path) -> None:
    life = Life(tmp_path, lambda: 1_760_000_000 * SECOND)
    made = [f"{number} ".ljust(2000 if number % 10 == 0 else 20, "x") for number in range(40)]
    add(life, *made, at_ns=1_760_000_000 * SECOND)
    life.backlog.store()
    arrived: list[str] = []
    now = 0.0
    while len(arrived) < 20:
        batch = life.backlog.next(now)
        large = any(len(text) > 1000 for text in texts(batch))
        arrived += [] if large else texts(batch)
        now += life.backlog.settle(Reply(429) if large else Reply(204), now).wait if batch else life.backlog.wait
    life.dies()

    life = Life(tmp_path, lambda: 1_760_000_000 * SECOND)
    life.adopt()
    assert life.stats.spooled == 40 - len(arrived)
    while life.backlog.has_any:
        batch = life.backlog.next(now)
        arrived += texts(batch)
        now += life.backlog.settle(Reply(204), now).wait if batch else life.backlog.wait

    assert sorted(arrived) == sorted(made)
    assert not any(life.stats.dropped.values())
    assert life.spool is not None
    life.spool.close()


def test_one_entry_that_always_fails_is_isolated_and_the_others_are_delivered() -> None:
    life = Life(None, lambda: 1)
    add(life, *(f"good {number}" for number in range(20)), "poison", *(f"fine {number}" for number in range(20)))

    now, delivered = 0.0, 0
    while (batch := life.backlog.next(now)) is not None:
        bad = "poison" in texts(batch)
        delivered += 0 if bad else len(batch.entries)
        now += life.backlog.settle(Reply(500) if bad else Reply(204), now).wait
        if delivered == 40 and not life.stats.dropped:
            add(life, "more")
            delivered -= 1

    assert life.stats.dropped == {"rejected": 1}
    assert life.stats.queued == 0

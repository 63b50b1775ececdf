from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from monitored_openai._calls.call import Call
from monitored_openai._calls.tracker import CallTracker
from monitored_openai._endpoints.base import Endpoint
from monitored_openai._endpoints.chat import CHAT, ChatAccumulator
from monitored_openai._exporter.call_queue import CallQueue
from monitored_openai._exporter.ledger import DeliveryLedger
from monitored_openai._stats import DropReason
from tests.support.handles import imbalance

URL = httpx.URL("http://api.test/v1/")
CLIENT = SimpleNamespace(_base_url=URL, _client_kind=None, _attributes={})
BODY = {"model": "gpt-4o", "messages": []}
DEADLINE = 30


class Pair:
    """A queue of calls and the ledger that counts for it."""

    def __init__(
        self,
        *,
        max_entries: int = 10**6,
        max_bytes: int = 10**9,
        logs: bool = True,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.ledger = DeliveryLedger(max_entries=max_entries, max_bytes=max_bytes, logs=logs)
        self.queue = CallQueue(self.ledger, wake=wake, forked=lambda: None)
        self.stats = self.ledger.stats


def opened(books: Pair, endpoint: Endpoint = CHAT) -> Call:
    tracker = CallTracker(
        emit=books.queue.put,
        on_start=books.queue.on_start,
        on_untracked=books.queue.on_untracked,
        inject_usage=False,
        keeps_content=True,
        provider=None,
    )
    call = tracker.open(endpoint, CLIENT, {"body": BODY})
    assert call is not None
    return call


def end(call: Call, size: int = 10) -> None:
    """The call gets an answer, and holds so many bytes of content from then on."""
    request = httpx.Request("POST", URL, content=b"q" * (size // 2))
    with call:
        call.on_response(httpx.Response(200, content=b"a" * (size - size // 2), request=request), 0)


class Books(RuleBasedStateMachine):
    """Whatever happens to calls and entries in whatever order, the books balance and the bounds hold."""

    @initialize(entries=st.integers(1, 12), size=st.integers(50, 600), logs=st.booleans())
    def begin(self, entries: int, size: int, logs: bool) -> None:
        self.most_entries, self.most_bytes = entries, size
        self.books = Pair(max_entries=entries, max_bytes=size, logs=logs)
        self.open: list[Call] = []
        self.over: list[Call] = []
        self.waiting: list[int] = []
        self.flying: list[int] = []

    @rule()
    def opens(self) -> None:
        self.open.append(opened(self.books))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), size=st.integers(0, 120))
    def ends(self, data: Any, size: int) -> None:
        call = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        end(call, size)
        self.over.append(call)

    @precondition(lambda self: self.over)
    @rule(data=st.data())
    def ends_again(self, data: Any) -> None:
        before = self.books.stats()
        call = data.draw(st.sampled_from(self.over))
        call.on_closed()
        self.books.queue.put(call)
        assert self.books.stats() == before

    @rule(reason=st.sampled_from(["fault", "closed"]))
    def is_lost(self, reason: DropReason) -> None:
        self.books.queue.on_untracked(reason)

    @precondition(lambda self: self.books.queue.peek() is not None)
    @rule(entry=st.none() | st.integers(1, 200), cut=st.booleans(), failed=st.booleans())
    def folds(self, entry: int | None, cut: bool, failed: bool) -> None:
        if self.books.queue.pop_folded(entry, reason="sampled", cut=cut, failed=failed):
            assert entry is not None
            self.waiting.append(entry)

    @precondition(lambda self: self.books.queue.peek() is not None)
    @rule()
    def cannot_read(self) -> None:
        self.books.queue.pop_unreadable()

    @precondition(lambda self: self.waiting and not self.flying)
    @rule(data=st.data())
    def sends(self, data: Any) -> None:
        number = data.draw(st.integers(1, len(self.waiting)))
        self.flying, self.waiting = self.waiting[:number], self.waiting[number:]
        self.books.ledger.record_in_flight(number)

    @precondition(lambda self: self.flying)
    @rule()
    def returns(self) -> None:
        self.books.ledger.record_requeued(len(self.flying))
        self.flying, self.waiting = [], self.flying + self.waiting

    @precondition(lambda self: self.flying)
    @rule()
    def delivers(self) -> None:
        self.books.ledger.record_delivered(len(self.flying), sum(self.flying))
        self.flying = []

    @precondition(lambda self: self.flying)
    @rule(reason=st.sampled_from(["rejected", "too_large"]))
    def drops(self, reason: DropReason) -> None:
        self.books.ledger.record_dropped(len(self.flying), sum(self.flying), reason)
        self.flying = []

    @rule(reason=st.sampled_from(["closed", "shutdown"]))
    def closes(self, reason: DropReason) -> None:
        self.books.queue.close(reason)
        stats = self.books.stats()
        assert (stats.queued, stats.in_flight, stats.metrics_queued) == (0, 0, 0)

    @rule()
    def is_forked(self) -> None:
        self.books.ledger.reset()
        self.books.queue.reset()
        self.open, self.waiting, self.flying = [], [], []
        assert self.books.stats() == Pair(logs=True).stats()

    @invariant()
    def balances(self) -> None:
        assert imbalance(self.books.stats()) == (0, 0)

    @invariant()
    def keeps_the_bounds(self) -> None:
        stats = self.books.stats()
        assert 0 <= stats.queued + stats.in_flight <= self.most_entries
        assert 0 <= self.books.ledger.memory_bytes <= self.most_bytes
        assert min(stats.queued, stats.in_flight, stats.metrics_queued) >= 0
        assert stats.active == len(self.open)


Books.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBooks = Books.TestCase


def test_a_call_over_the_bounds_loses_its_content_and_its_entry_but_still_counts() -> None:
    books = Pair(max_bytes=100)

    for _ in range(3):
        end(opened(books), 60)

    calls = [call for call, _, _ in books.queue._calls]
    assert [call.size() for call in calls] == [60, 0, 0]
    assert books.stats().dropped == {"queue_full": 2}
    assert (books.stats().calls, books.stats().metrics_queued, books.stats().metrics_dropped) == (3, 3, {})


def test_what_comes_in_first_wakes_and_what_follows_does_not_until_all_is_taken() -> None:
    wakes: list[int] = []
    books = Pair(max_entries=9, max_bytes=999, wake=lambda: wakes.append(len(wakes)))

    for _ in range(3):
        end(opened(books))
    assert len(wakes) == 1
    while books.queue.peek() is not None:
        books.queue.pop_folded(1)
    end(opened(books))
    assert len(wakes) == 2


def test_every_snapshot_balances_while_eight_threads_end_calls_and_another_folds_and_delivers_them() -> None:
    books, over = Pair(max_entries=500, max_bytes=50_000), threading.Event()
    crooked: list[tuple[int, int]] = []
    snapshots = 0

    def produce() -> None:
        for number in range(1500):
            end(opened(books), number % 100)

    def consume() -> None:
        entries: list[int] = []
        while not over.is_set() or books.queue.peek() is not None:
            while books.queue.peek() is not None and len(entries) < 50:
                if books.queue.pop_folded(20):
                    entries.append(20)
            books.ledger.record_in_flight(len(entries))
            books.ledger.record_delivered(len(entries), sum(entries))
            entries.clear()

    def watch() -> None:
        nonlocal snapshots
        while not over.is_set():
            crooked.extend({imbalance(books.stats())} - {(0, 0)})
            snapshots += 1

    producers = [threading.Thread(target=produce) for _ in range(8)]
    others = [threading.Thread(target=consume), threading.Thread(target=watch)]
    for thread in producers + others:
        thread.start()
    for thread in producers:
        thread.join(DEADLINE)
    over.set()
    for thread in others:
        thread.join(DEADLINE)

    assert not any(thread.is_alive() for thread in producers + others)
    stats = books.stats()
    assert (crooked, snapshots > 50) == ([], True)
    assert (stats.calls, stats.folded, stats.active) == (12_000, 12_000, 0)
    assert stats.delivered + stats.dropped.get("queue_full", 0) == 12_000
    assert books.ledger.memory_bytes == 0


class Garbage:
    """Does something when the garbage collector finds it, which reference counting alone would not."""

    def __init__(self, finalize: Callable[[], object]) -> None:
        self._finalize = finalize
        self._itself = self

    def __del__(self) -> None:
        self._finalize()


@pytest.fixture
def eager_collector() -> Iterator[None]:
    """The garbage collector comes at every allocation (from Python 3.12 on: as soon as it may afterwards)."""
    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(1)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def in_a_thread(work: Callable[[], None]) -> None:
    """Run it, and fail instead of waiting for ever when it is caught in a deadlock."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_a_finalizer_may_end_a_call_inside_of_the_locked_section() -> None:
    books = Pair()
    call = opened(books)

    def collect_inside() -> None:
        with books.ledger.lock:
            Garbage(lambda: end(call))
            gc.collect()

    in_a_thread(collect_inside)

    assert (books.stats().calls, imbalance(books.stats())) == (1, (0, 0))


def test_the_books_of_samples_may_be_read_by_whoever_interrupts_their_reading() -> None:
    books = DeliveryLedger(max_entries=1, max_bytes=1, logs=True)

    def collect_inside() -> None:
        with books.lock:
            Garbage(books.stats)
            gc.collect()

    in_a_thread(collect_inside)


class Unmeasurable(ChatAccumulator):
    """Chunks that do not tell their size."""

    __slots__ = ()

    def size(self) -> int:
        raise TypeError("odd")


def test_a_call_whose_content_cannot_be_measured_is_lost_and_counted() -> None:
    books = Pair()
    call = opened(books, replace(CHAT, accumulator=Unmeasurable))
    call.start_stream()
    call.on_stream_end(0.0)
    stats = books.stats()
    assert (stats.calls, stats.active, stats.metrics_dropped, stats.dropped) == (1, 0, {"fault": 1}, {"fault": 1})
    assert imbalance(stats) == (0, 0)


@pytest.mark.usefixtures("eager_collector")
def test_books_balance_when_finalizers_end_calls_in_the_middle_of_everything() -> None:
    books = Pair(max_entries=40, max_bytes=2000)
    crooked: list[tuple[int, int]] = []
    rounds = 150

    def work() -> None:
        for number in range(rounds):
            Garbage(partial(end, opened(books), 30))
            crooked.extend({imbalance(books.stats())} - {(0, 0)})
            end(opened(books), number % 60)
            reason = cast("DropReason", f"reason {number}")  # more of them than there are
            if number % 3 == 0 and books.queue.peek() is not None:
                books.queue.pop_folded(None, reason=reason)
            books.queue.on_untracked(reason)
        gc.collect()

    in_a_thread(work)

    assert crooked == []
    assert imbalance(books.stats()) == (0, 0)
    assert (books.stats().calls, books.stats().active) == (3 * rounds, 0)

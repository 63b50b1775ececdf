"""Delivery of log entries to Loki: order, size, retries and bounds."""

from __future__ import annotations

import gzip
import json
import threading
import time
import tracemalloc

import pytest

from monitored_openai import Monitoring
from tests.support.handles import MANUAL, call, flush_until, handle, imbalance, settled
from tests.support.servers._steps import Gate
from tests.support.servers.loki import FakeLoki, Hold, NeverAnswer, Status
from tests.support.servers.remote_write import RemoteWriteProxy

CALLS = "gen_ai_client_operation_duration_seconds_count"


def test_entries_go_in_order_five_hundred_at_a_time_and_one_request_after_the_other(loki: FakeLoki) -> None:
    gate = Gate()
    loki.refuse()
    with handle(logs_url=loki.push_url, log_linger=0.05) as monitoring:
        call(monitoring, 1200)
        loki.wait_until(lambda: monitoring.stats().metrics_queued == 0)
        loki.fail_next(Hold(gate))
        loki.listen()
        flush_until(monitoring, lambda: gate.reached)
        monitoring.flush(0.2)
        assert len(loki.requests) == 1
        gate.set()
        settled(monitoring)

    stamps = [entry.ts for entry in loki.entries]
    assert stamps == sorted(set(stamps))
    assert (len(stamps), loki.rejected, len(loki.streams)) == (1200, [], 1)
    sizes = [len(json.loads(gzip.decompress(request.body))["streams"][0]["values"]) for request in loki.requests]
    assert max(sizes) <= 500
    assert len(sizes) <= 5


def test_a_request_holds_no_more_than_a_megabyte(loki: FakeLoki, logs: Monitoring) -> None:
    call(logs, 60, "x" * 50_000)
    settled(logs)

    assert len(loki.entries) == 60
    assert max(len(gzip.decompress(request.body)) for request in loki.requests) < 1_100_000


def test_entries_are_spread_over_as_many_streams_as_there_are_shards(loki: FakeLoki) -> None:
    with handle(logs_url=loki.push_url, log_shards=3, **MANUAL) as monitoring:
        call(monitoring, 30)
        settled(monitoring)

    assert sorted(len(entries) for entries in loki.streams.values()) == [10, 10, 10]
    assert loki.rejected == []


def test_an_entry_waits_for_others_as_long_as_it_may_linger_and_no_longer(loki: FakeLoki) -> None:
    with handle(logs_url=loki.push_url, log_linger=1.5) as monitoring:
        call(monitoring, 7)
        loki.wait_until(lambda: len(loki.entries) == 7)

    assert len(loki.requests) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 407, 302])
def test_entries_are_kept_while_the_back_end_says_that_the_settings_are_wrong(
    loki: FakeLoki, logs: Monitoring, status: int
) -> None:
    loki.always = Status(status)
    call(logs, 5)
    result = logs.flush(0.6)
    assert (result.complete, result.left, result.dropped) == (False, 5, 0)

    loki.always = None
    settled(logs)
    assert (len(loki.entries), logs.stats().delivered) == (5, 5)


def test_a_parked_batch_is_not_tried_again_within_seconds_unless_a_flush_presses(loki: FakeLoki) -> None:
    loki.always = Status(401)
    with handle(logs_url=loki.push_url, log_linger=0.01) as monitoring:
        call(monitoring)
        loki.wait_until(lambda: loki.faulted == 1)
        over = threading.Event()
        assert not over.wait(1.0)

    assert loki.faulted <= 2  # closing the handle is a last try


def test_a_batch_that_is_too_large_goes_in_halves(loki: FakeLoki, logs: Monitoring) -> None:
    loki.fail_next(Status(413))
    call(logs, 10)
    settled(logs)

    sizes = [len(json.loads(gzip.decompress(request.body))["streams"][0]["values"]) for request in loki.requests]
    assert sizes == [10, 5, 5]
    assert len(loki.entries) == 10


def test_an_entry_that_is_too_large_by_itself_is_dropped_and_counted(loki: FakeLoki, logs: Monitoring) -> None:
    loki.always = Status(413)
    call(logs, 4)
    settled(logs)

    assert logs.stats().dropped == {"too_large": 4}
    assert len(loki.requests) == 7


def test_three_answers_of_5xx_split_a_batch(loki: FakeLoki, logs: Monitoring) -> None:
    loki.fail_next(Status(500), times=3)
    call(logs, 8)
    settled(logs)

    sizes = [len(json.loads(gzip.decompress(request.body))["streams"][0]["values"]) for request in loki.requests]
    assert sizes == [8, 8, 8, 4, 4]
    assert (len(loki.entries), logs.stats().dropped) == (8, {})


def test_what_was_refused_is_not_sent_again_but_counted(loki: FakeLoki, logs: Monitoring) -> None:
    loki.fail_next(Status(400))
    call(logs, 5)
    settled(logs)
    call(logs, 2)
    settled(logs)

    assert logs.stats().dropped == {"rejected": 5}
    assert (len(loki.requests), len(loki.entries)) == (2, 2)


def test_the_pause_that_loki_asks_for_is_kept_even_while_a_flush_presses(loki: FakeLoki, logs: Monitoring) -> None:
    loki.fail_next(Status(429, {"Retry-After": "1"}))
    call(logs, 3)
    started = time.monotonic()
    settled(logs)

    assert time.monotonic() - started >= 1.0
    assert len(loki.entries) == 3


def test_a_lost_answer_doubles_no_entry(loki: FakeLoki, logs: Monitoring) -> None:
    loki.fail_next(NeverAnswer(store=True))
    call(logs, 3)
    flush_until(logs, lambda: len(loki.entries) == 3)
    assert logs.flush(0).left == 3
    loki.refuse()
    loki.listen()
    settled(logs)

    assert (len(loki.entries), loki.duplicates, logs.stats().delivered) == (3, 3, 3)


def test_a_loki_slower_than_its_own_limit_gets_no_entry_twice(loki: FakeLoki, logs: Monitoring) -> None:
    """Loki waits 5 s for its ingesters."""
    gate = Gate()
    loki.fail_next(Hold(gate))
    call(logs, 3)
    flush_until(logs, lambda: gate.reached)
    threading.Timer(5.5, gate.set).start()
    settled(logs)

    assert (len(loki.samples), loki.duplicates, logs.stats().delivered) == (3, 0, 3)


def test_with_a_dead_loki_the_oldest_entries_are_kept_up_to_the_bound_and_the_metrics_stay_exact(
    loki: FakeLoki, proxy: RemoteWriteProxy
) -> None:
    loki.refuse()
    with handle(logs_url=loki.push_url, metrics_url=proxy.write_url, queue_size=50, **MANUAL) as monitoring:
        call(monitoring, 300, "question")
        flush_until(monitoring, lambda: proxy.total(CALLS) == 300)
        stats = monitoring.stats()
        assert (stats.queued + stats.in_flight, stats.dropped) == (50, {"queue_full": 250})
        assert imbalance(stats) == (0, 0)
        assert proxy.total("monitored_openai_dropped_total", signal="logs", reason="queue_full") == 250

        loki.listen()
        settled(monitoring)

    asked = [json.loads(entry.line)["request"]["messages"][0]["content"] for entry in loki.entries]
    assert asked == [f"question {number}" for number in range(50)]


def test_with_a_dead_loki_no_more_memory_is_taken_than_the_settings_allow(loki: FakeLoki) -> None:
    loki.refuse()
    with handle(logs_url=loki.push_url, queue_bytes=2 * 2**20, **MANUAL) as monitoring:
        call(monitoring, 5)
        tracemalloc.start()
        try:
            call(monitoring, 500, "x" * 30_000)
            loki.wait_until(lambda: monitoring.stats().folded == 505)
            added, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        stats = monitoring.stats()
        assert monitoring._runner.ledger.memory_bytes <= 2 * 2**20
        assert stats.dropped["queue_full"] > 400
        assert (stats.calls, imbalance(stats)) == (505, (0, 0))
    assert added < 8 * 2**20


@pytest.mark.parametrize("fault", [Status(503), NeverAnswer(), None], ids=["refuses", "never answers", "is gone"])
def test_a_dead_loki_does_not_hold_up_the_metrics(
    loki: FakeLoki, proxy: RemoteWriteProxy, fault: Status | NeverAnswer | None
) -> None:
    loki.always = fault
    if fault is None:
        loki.refuse()
    with handle(logs_url=loki.push_url, metrics_url=proxy.write_url, push_interval=0.05) as monitoring:
        call(monitoring, 20)
        proxy.wait_until(lambda: proxy.total(CALLS) == 20)
        call(monitoring, 20)
        proxy.wait_until(lambda: proxy.total(CALLS) == 40)
        assert monitoring.stats().delivered == 0


@pytest.mark.parametrize("fault", [Status(503), NeverAnswer(), None], ids=["refuses", "never answers", "is gone"])
def test_a_dead_prometheus_does_not_hold_up_the_log(
    loki: FakeLoki, proxy: RemoteWriteProxy, fault: Status | NeverAnswer | None
) -> None:
    proxy.always = fault
    if fault is None:
        proxy.refuse()
    with handle(logs_url=loki.push_url, metrics_url=proxy.write_url, push_interval=0.05, log_linger=0.05) as monitoring:
        for total in (20, 40):
            call(monitoring, 20)
            loki.wait_until(lambda total=total: len(loki.entries) == total)  # type: ignore[misc]
        assert monitoring.stats().pushes == 0

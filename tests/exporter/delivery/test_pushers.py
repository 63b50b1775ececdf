from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import gzip
import json
import logging
import threading
import time
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from monitored_openai import CallRecord, MonitoredOpenAI, Monitoring, _logging, attributes
from monitored_openai._exporter.delivery.metrics_pusher import MetricsPusher
from monitored_openai._exporter.delivery.series import PushedSeries
from monitored_openai._exporter.encoders.loki import following
from monitored_openai._exporter.runtime.process import PROCESS
from monitored_openai._exporter.runtime.thread import ExporterThread
from monitored_openai._exporter.values import CounterSnapshot
from tests.support.handles import ask, flush_until, handle, http, imbalance, in_process
from tests.support.servers._steps import Gate
from tests.support.servers.loki import FakeLoki, Hold, NeverAnswer, Status
from tests.support.servers.remote_write import Rate, RemoteWriteProxy, Reset, Series

CALLS = "gen_ai_client_operation_duration_seconds_count"
A_MOMENT = 4.0
"""Seconds beyond its timeout that a flush may take on a machine under load; the back end keeps it waiting for 5 at least."""
MANUAL = {"push_interval": 60, "log_linger": 30}
"""Settings with which nothing is sent but by a flush, for half a minute."""


@pytest.fixture
def proxy() -> Iterator[RemoteWriteProxy]:
    with RemoteWriteProxy() as running:
        yield running


@pytest.fixture
def loki() -> Iterator[FakeLoki]:
    with FakeLoki() as running:
        yield running


@pytest.fixture
def metrics(proxy: RemoteWriteProxy) -> Iterator[Monitoring]:
    with handle(metrics_url=proxy.write_url, **MANUAL) as made:
        yield made


@pytest.fixture
def logs(loki: FakeLoki) -> Iterator[Monitoring]:
    with handle(logs_url=loki.push_url, **MANUAL) as made:
        yield made


def call(monitoring: Monitoring, times: int = 1, text: str = "hello", **fields: Any) -> None:
    with in_process(monitoring, **fields) as client:
        for number in range(times):
            ask(client, f"{text} {number}")


def pusher(monitoring: Monitoring) -> MetricsPusher:
    assert monitoring._runner._exporter is not None
    found = monitoring._runner._exporter._metrics_pusher
    assert found is not None
    return found


def series_of(monitoring: Monitoring) -> PushedSeries:
    return pusher(monitoring)._series


def newest(batch: list[Series]) -> int:
    return max(ts for series in batch for ts, _ in series.samples)


def births(batch: list[Series]) -> list[Series]:
    return [series for series in batch if len(series.samples) == 2]


def settled(monitoring: Monitoring, timeout: float = 30) -> None:
    result = monitoring.flush(timeout)
    assert (result.complete, result.left, imbalance(monitoring.stats())) == (True, 0, (0, 0))


# How series are born, and at what time samples are said to be


def test_a_counter_is_born_with_a_zero_at_the_time_of_the_push_before(
    metrics: Monitoring, proxy: RemoteWriteProxy
) -> None:
    call(metrics)
    settled(metrics)
    call(metrics, model="gpt-4o-mini")
    settled(metrics)

    first, second = proxy.stored[-2:]
    born = births(second)
    assert {dict(series.labels)["gen_ai_response_model"] for series in born} == {"gpt-4o-mini"}
    assert {series.samples[0] for series in born} == {(newest(first), 0.0)}
    assert {series.samples[1][0] for series in born} == {newest(second)}


def test_the_first_push_has_its_zeros_one_interval_back(metrics: Monitoring, proxy: RemoteWriteProxy) -> None:
    call(metrics)
    settled(metrics)

    born = births(proxy.stored[0])
    assert len(born) > 50
    assert {series.samples[0] for series in born} == {(newest(proxy.stored[0]) - 60_000, 0.0)}


def test_a_zero_is_never_more_than_a_minute_back(metrics: Monitoring, proxy: RemoteWriteProxy) -> None:
    call(metrics)
    settled(metrics)
    series_of(metrics)._last_ms -= 600_000  # as if the last push had been ten minutes ago
    call(metrics, model="gpt-4o-mini")
    settled(metrics)

    last = proxy.stored[-1]
    assert {newest(last) - series.samples[0][0] for series in births(last)} == {60_000}


def test_a_series_is_born_once_and_gauges_never(metrics: Monitoring, proxy: RemoteWriteProxy) -> None:
    for _ in range(3):
        call(metrics)
        settled(metrics)

    born = [series.labels for batch in proxy.stored for series in births(batch)]
    assert len(born) == len(set(born))
    gauges = ("active_requests", "queued", "in_flight", "_timestamp_seconds")
    every = {series.name for batch in proxy.stored for series in batch}
    assert {name for name in every if name.endswith(gauges)}.isdisjoint(dict(one)["__name__"] for one in born)
    assert {name for name in every if not name.endswith(gauges)} == {dict(one)["__name__"] for one in born}


def test_pushes_in_the_same_millisecond_have_timestamps_that_go_on(
    metrics: Monitoring, proxy: RemoteWriteProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    for _ in range(5):
        call(metrics)
        settled(metrics)

    stamps = [newest(batch) for batch in proxy.stored]
    assert stamps == list(range(stamps[0], stamps[0] + len(stamps)))
    assert proxy.violations == []


def test_a_clock_that_goes_back_a_little_does_not_take_the_timestamps_with_it(
    metrics: Monitoring, proxy: RemoteWriteProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(metrics)
    settled(metrics)
    earlier = time.time_ns() - 300 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: earlier)
    call(metrics)
    settled(metrics)

    first, second = proxy.stored[-2:]
    assert newest(second) == newest(first) + 1
    assert proxy.total(CALLS) == 2


def test_nothing_is_pushed_that_is_more_than_ten_minutes_ahead_of_the_clock(
    metrics: Monitoring, proxy: RemoteWriteProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(metrics)
    settled(metrics)
    pushed = len(proxy.received)
    earlier = time.time_ns() - 1200 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: earlier)

    assert metrics.flush(0.5).pushed is False
    assert len(proxy.received) == pushed


# What a failed push leads to


def test_after_two_lost_answers_the_next_payload_leaves_the_zeros_out(
    metrics: Monitoring, proxy: RemoteWriteProxy
) -> None:
    proxy.fail_next(Reset(), times=2)
    call(metrics)
    settled(metrics)

    first, second, third = proxy.received
    assert proxy.requests[0].body == proxy.requests[1].body
    assert births(first) == births(second) != []
    assert births(third) == []
    assert newest(third) > newest(second)


def test_a_flush_that_runs_out_of_time_in_the_middle_of_a_push_leaves_the_zeros_out_afterwards(
    metrics: Monitoring, proxy: RemoteWriteProxy
) -> None:
    proxy.fail_next(NeverAnswer(store=True))
    call(metrics)
    flush_until(metrics, lambda: len(proxy.received) > 0)
    settled(metrics)

    assert births(proxy.received[-1]) == []
    assert (proxy.statuses[-1], proxy.violations) == (204, [])


def test_what_is_kept_for_others_while_a_push_is_under_way_has_no_zeros_that_it_brings(
    metrics: Monitoring, proxy: RemoteWriteProxy
) -> None:
    gate = Gate()
    proxy.fail_next(Hold(gate))
    call(metrics)
    flush = metrics._runner.begin_flush()
    gate.wait_reached()
    (kept,) = series_of(metrics).snapshot()
    gate.set()
    assert flush is not None
    assert flush.result(30)
    assert kept.without_births is None


@pytest.mark.parametrize("status", [401, 503])
def test_a_push_that_was_certainly_not_stored_keeps_its_zeros_for_the_next(
    metrics: Monitoring, proxy: RemoteWriteProxy, status: int
) -> None:
    proxy.fail_next(Status(status))
    call(metrics)
    settled(metrics)

    first, second = proxy.received
    assert [series.labels for series in births(second)][: len(births(first))] == [s.labels for s in births(first)]
    assert proxy.violations == []


def test_a_refused_payload_goes_once_more_as_the_newest_values_alone(
    metrics: Monitoring, proxy: RemoteWriteProxy
) -> None:
    proxy.fail_next(Status(400))
    call(metrics)
    settled(metrics)

    first, second = proxy.received
    assert births(first) != []
    assert births(second) == []
    assert newest(second) > newest(first)


def test_a_payload_without_births_that_is_refused_is_not_sent_again(
    metrics: Monitoring, proxy: RemoteWriteProxy
) -> None:
    call(metrics)
    settled(metrics)
    sent = len(proxy.received)
    proxy.fail_next(Status(400))

    assert metrics.flush(20).pushed is False
    assert len(proxy.received) == sent + 1


def test_an_older_payload_never_follows_a_newer_one(proxy: RemoteWriteProxy) -> None:
    faults = [Reset(), None, Status(503), Status(400), None, Reset(), Reset(), None] * 3
    for fault in faults:
        proxy.fail_next(fault)
    with handle(metrics_url=proxy.write_url, push_interval=0.02) as monitoring:
        stop = threading.Event()

        def flush() -> None:
            while not stop.is_set():
                monitoring.flush(0.05)

        others = [threading.Thread(target=flush) for _ in range(3)]
        call(monitoring, 20)
        for thread in others:
            thread.start()
        try:
            proxy.wait_until(lambda: len(proxy.received) > 60, 40)
        finally:
            stop.set()
            for thread in others:
                thread.join(10)

    for (before, earlier), (after, later) in pairwise(zip(proxy.requests, proxy.received, strict=False)):
        assert newest(later) > newest(earlier) or after.body == before.body
    assert proxy.total(CALLS) == 20


@pytest.mark.parametrize("fault", [Status(401), Status(429, {"Retry-After": "300"})])
def test_totals_of_a_dead_process_are_not_tried_again_and_again_while_nobody_takes_them(
    metrics: Monitoring, proxy: RemoteWriteProxy, fault: Status
) -> None:
    call(metrics)
    settled(metrics)
    proxy.requests.clear()
    proxy.fail_next(fault, 3)
    for _ in range(3):
        assert metrics._runner._thread is not None
        assert not metrics._runner._thread.submit(
            pusher(metrics).push_snapshots([CounterSnapshot(b"of the dead", None)])
        ).result(30)
    assert len(proxy.requests) == 1


def test_more_than_two_thousand_series_go_in_several_requests_of_which_none_repeats_a_series(
    proxy: RemoteWriteProxy,
) -> None:
    with handle(metrics_url=proxy.write_url, label_names=("team",), **MANUAL) as monitoring:
        with in_process(monitoring) as client:
            for number in range(80):
                with attributes(team=f"team {number}"):
                    ask(client)
        settled(monitoring)

        sizes = [len(batch) for batch in proxy.stored]
        keys = [series.labels for batch in proxy.stored for series in batch]
        assert sizes[:-1] == [2000] * (len(sizes) - 1)
        assert len(sizes) > 1
        assert len(keys) == len(set(keys))
        assert proxy.total(CALLS) == 80


def test_a_push_beyond_a_limit_of_samples_goes_in_parts_that_pass() -> None:
    with (
        RemoteWriteProxy(rate=Rate(8000, 700)) as proxy,
        handle(metrics_url=proxy.write_url, label_names=("team",), **MANUAL) as monitoring,
    ):
        with in_process(monitoring) as client:
            for number in range(40):
                with attributes(team=f"team {number}"):
                    ask(client)
        settled(monitoring)

        assert max(sum(len(series.samples) for series in batch) for batch in proxy.stored) <= 700
        keys = [series.labels for batch in proxy.stored for series in batch]
        assert len(keys) == len(set(keys)) > 2000
        assert (proxy.total(CALLS), proxy.violations) == (40, [])
        assert monitoring.stats().failed_pushes == 0


def test_a_push_that_the_limit_makes_too_long_is_gone_on_with_by_the_next() -> None:
    with (
        RemoteWriteProxy(rate=Rate(2000, 400)) as proxy,
        handle(metrics_url=proxy.write_url, label_names=("team",), push_interval=0.3) as monitoring,
    ):
        with in_process(monitoring) as client:
            for number in range(20):
                with attributes(team=f"team {number}"):
                    ask(client)
        proxy.wait_until(lambda: proxy.total(CALLS) == 20)

        assert (proxy.violations, proxy.statuses.count(400)) == ([], 0)
        assert proxy.statuses.count(429) > 0


def test_a_push_of_which_a_part_fails_is_made_good_as_a_whole(proxy: RemoteWriteProxy) -> None:
    with handle(metrics_url=proxy.write_url, label_names=("team",), **MANUAL) as monitoring:
        proxy.fail_next(None)
        proxy.fail_next(Status(503))
        with in_process(monitoring) as client:
            for number in range(80):
                with attributes(team=f"team {number}"):
                    ask(client)
        settled(monitoring)

        assert (proxy.total(CALLS), proxy.violations) == (80, [])
        assert monitoring.stats().failed_pushes == 1


def test_what_was_active_is_shown_as_none_when_it_has_ended(metrics: Monitoring, proxy: RemoteWriteProxy) -> None:
    def active() -> list[float]:
        assert metrics.flush(20).pushed
        return list(proxy.latest("gen_ai_client_active_requests").values())

    call(metrics)
    unread = http.MockTransport(lambda request: http.Response(200, content=iter([b"{}"])))
    with http.Client(transport=unread) as connection:
        client = MonitoredOpenAI(api_key="sk-test", http_client=connection, monitoring=metrics)
        with client.chat.completions.with_streaming_response.create(model="gpt-4o", messages=[]):
            assert active() == [1]
    assert active() == [0]


# How entries get to Loki


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


# Bounds, independence, flush and close


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


@pytest.mark.parametrize("timeout", [0, 0.3])
def test_a_flush_ends_in_time_and_says_what_is_left(loki: FakeLoki, proxy: RemoteWriteProxy, timeout: float) -> None:
    loki.always = proxy.always = NeverAnswer()
    with handle(logs_url=loki.push_url, metrics_url=proxy.write_url, **MANUAL) as monitoring:
        call(monitoring, 3)
        started = time.monotonic()
        result = monitoring.flush(timeout)

        assert time.monotonic() - started < timeout + A_MOMENT
        assert (result.complete, result.pushed, result.delivered, result.dropped) == (False, False, 0, 0)
        assert result.left == 3


def test_a_flush_of_nothing_is_complete_at_once(metrics: Monitoring, proxy: RemoteWriteProxy) -> None:
    assert metrics.flush(20).complete
    assert proxy.requests == []


async def test_aflush_leaves_the_callers_loop_free_and_ends_in_time(loki: FakeLoki) -> None:
    loki.always = NeverAnswer()
    with handle(logs_url=loki.push_url, **MANUAL) as monitoring:
        call(monitoring, 3)
        ticks: list[float] = []

        async def tick() -> None:
            while True:
                ticks.append(time.monotonic())
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        started = time.monotonic()
        result = await monitoring.aflush(1)
        took = time.monotonic() - started
        ticking.cancel()

        assert (result.complete, result.left) == (False, 3)
        assert took < 1 + A_MOMENT
        assert len(ticks) > 10


async def test_aflush_delivers_what_was_recorded(loki: FakeLoki, proxy: RemoteWriteProxy) -> None:
    with handle(logs_url=loki.push_url, metrics_url=proxy.write_url, **MANUAL) as monitoring:
        call(monitoring, 3)
        result = await monitoring.aflush(20)

        assert (result.complete, result.delivered, result.left) == (True, 3, 0)
        assert (len(loki.entries), proxy.total(CALLS)) == (3, 3)


async def test_an_aflush_that_is_cancelled_harms_nothing(loki: FakeLoki) -> None:
    gate = Gate()
    loki.fail_next(Hold(gate))
    with handle(logs_url=loki.push_url, **MANUAL) as monitoring:
        call(monitoring, 3)
        flushing = asyncio.create_task(monitoring.aflush(30))
        await asyncio.to_thread(gate.wait_reached)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flushing
        gate.set()
        result = await monitoring.aflush(20)

    assert (result.complete, len(loki.entries)) == (True, 3)


def test_what_a_loop_is_told_when_it_has_stopped_is_cancelled_and_waited_for_by_nobody() -> None:
    thread = ExporterThread(lambda: None)
    stopped, told = threading.Event(), threading.Event()

    def stop() -> None:
        thread._loop.stop()
        stopped.set()
        told.wait(30)

    thread.call(stop)
    assert stopped.wait(30)
    late = thread.submit(asyncio.sleep(60))
    told.set()
    thread._thread.join(30)
    too_late = thread.submit(asyncio.sleep(60))
    done, _ = concurrent.futures.wait([late, too_late], timeout=30)
    assert done == {late, too_late}
    assert late.cancelled()
    assert too_late.cancelled()


def test_whatever_a_loop_is_told_while_it_ends_comes_to_an_end() -> None:
    for _ in range(30):
        thread = ExporterThread(lambda: None)
        told = [thread.submit(asyncio.sleep(60))]
        thread.call(thread._loop.stop)
        while thread.is_alive:
            told.append(thread.submit(asyncio.sleep(60)))
        assert not concurrent.futures.wait(told, timeout=30).not_done


async def test_an_aflush_during_which_the_exporters_thread_dies_cancels_nobody(loki: FakeLoki) -> None:
    gate = Gate()
    loki.fail_next(Hold(gate))
    with handle(logs_url=loki.push_url, **MANUAL) as monitoring:
        call(monitoring, 3)
        flushing = asyncio.create_task(monitoring.aflush(30))
        await asyncio.to_thread(gate.wait_reached)
        assert monitoring._runner._thread is not None
        monitoring._runner._thread.call(monitoring._runner._thread._loop.stop)
        result = await flushing
        gate.set()

        assert (result.complete, result.pushed, result.left) == (False, False, 3)


async def test_a_fault_in_a_flush_is_nobody_elses(
    metrics: Monitoring, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    call(metrics)
    settled(metrics)
    monkeypatch.setattr(metrics._runner.metrics, "samples", None)  # a defect of ours
    assert not metrics.flush(20).pushed
    assert not (await metrics.aflush(20)).pushed
    assert sum("a flush" in message for message in caplog.messages) == 1


flushed: list[Any] = []


def flush_the_handle(record: CallRecord) -> None:
    flushed.append(flushed[0].flush(5))


def test_a_flush_from_on_record_does_not_wait_for_itself(loki: FakeLoki) -> None:
    with handle(logs_url=loki.push_url, on_record=flush_the_handle) as monitoring:
        flushed[:] = [monitoring]
        call(monitoring)
        settled(monitoring)

    assert [result.complete for result in flushed[1:]] == [False]


def test_after_close_the_client_goes_on_and_its_calls_count_as_closed(loki: FakeLoki, proxy: RemoteWriteProxy) -> None:
    with handle(logs_url=loki.push_url, metrics_url=proxy.write_url, **MANUAL) as monitoring:
        with in_process(monitoring) as client:
            ask(client)
            assert monitoring.close(20).complete
            assert ask(client).choices[0].message.content == "fine"
            assert monitoring.flush(20).complete

        stats = monitoring.stats()
        assert (stats.calls, stats.dropped, stats.metrics_dropped) == (2, {"closed": 1}, {"closed": 1})
        assert imbalance(stats) == (0, 0)
        assert (len(loki.entries), proxy.total(CALLS)) == (1, 1)


def test_closing_what_cannot_be_delivered_ends_in_time_and_counts_it(loki: FakeLoki) -> None:
    loki.always = NeverAnswer()
    with handle(logs_url=loki.push_url, **MANUAL) as monitoring:
        call(monitoring, 3)
        started = time.monotonic()
        monitoring.close(0.3)

        assert time.monotonic() - started < 0.3 + A_MOMENT
        stats = monitoring.stats()
        assert (stats.dropped, stats.queued, stats.in_flight, imbalance(stats)) == ({"closed": 3}, 0, 0, (0, 0))


def test_a_flush_that_nobody_waits_for_ends_when_its_handle_is_closed(loki: FakeLoki) -> None:
    loki.always = NeverAnswer()
    with handle(logs_url=loki.push_url, **MANUAL) as monitoring:
        call(monitoring, 3)
        flush = monitoring._runner.begin_flush()
        assert flush is not None
        loki.wait_until(lambda: loki.faulted == 1)
        monitoring.close(0)
        assert flush.result(30) is False


def test_a_handle_that_is_closed_while_its_exporter_starts_does_nothing_more(proxy: RemoteWriteProxy) -> None:
    async def all_tasks() -> int:
        return len(asyncio.all_tasks())

    def tasks() -> int:
        return PROCESS.thread().submit(all_tasks()).result(30)

    before = tasks()
    with PROCESS.importing, handle(metrics_url=proxy.write_url, push_interval=0.01) as monitoring:
        call(monitoring)
        monitoring.close(0)
    proxy.wait_until(lambda: tasks() == before)
    assert proxy.requests == []


def test_a_closed_handle_makes_room_for_a_new_one_with_an_instance_of_its_own(proxy: RemoteWriteProxy) -> None:
    for _ in range(2):
        with handle(metrics_url=proxy.write_url, **MANUAL) as monitoring:
            call(monitoring, 2)
            settled(monitoring)

    assert len(proxy.latest(CALLS)) == 2
    assert proxy.total(CALLS) == 4


def test_with_flush_on_call_a_call_has_delivered_when_it_returns(loki: FakeLoki, proxy: RemoteWriteProxy) -> None:
    with (
        handle(logs_url=loki.push_url, metrics_url=proxy.write_url, flush_on_call=True, **MANUAL) as monitoring,
        in_process(monitoring) as client,
    ):
        ask(client)
        settled(monitoring)  # the exporter may have taken longer to start than a call waits
        for number in range(2, 5):
            ask(client)
            assert (len(loki.entries), proxy.total(CALLS)) == (number, number)


async def test_with_flush_on_call_an_event_loop_is_not_held_up(loki: FakeLoki) -> None:
    gate = Gate()
    loki.fail_next(Hold(gate))
    with (
        handle(logs_url=loki.push_url, flush_on_call=True, **MANUAL) as monitoring,
        in_process(monitoring) as client,
    ):
        ask(client)
        assert monitoring.stats().delivered == 0
        await asyncio.to_thread(gate.wait_reached)  # it is on its way without anybody's waiting for it
        gate.set()
        await monitoring.aflush(20)
        assert monitoring.stats().delivered == 1


async def test_with_flush_on_call_and_a_dead_back_end_an_event_loops_calls_pile_no_flushes_up(loki: FakeLoki) -> None:
    with (
        handle(logs_url=loki.push_url, flush_on_call=True, **MANUAL) as monitoring,
        in_process(monitoring) as client,
    ):
        ask(client)
        await monitoring.aflush(30)
        loki.refuse()
        for _ in range(50):
            ask(client)
        await monitoring.aflush(0.5)
        assert monitoring._runner._exporter is not None
        assert len(monitoring._runner._exporter._flushes) <= 3
        loki.listen()
        await monitoring.aflush(30)
        assert (len(loki.entries), imbalance(monitoring.stats())) == (51, (0, 0))


def test_an_exporter_whose_thread_has_died_is_started_again_by_the_next_call(loki: FakeLoki) -> None:
    with handle(logs_url=loki.push_url) as monitoring:
        call(monitoring)
        settled(monitoring)
        assert monitoring._runner._thread is not None
        monitoring._runner._thread.call(monitoring._runner._thread._loop.stop)
        monitoring._runner._thread._thread.join(10)
        call(monitoring, 3)
        settled(monitoring)
    assert len(loki.entries) == 4


def test_an_exporter_whose_thread_has_died_with_work_in_hand_is_started_again_by_the_next_call(loki: FakeLoki) -> None:
    with handle(logs_url=loki.push_url) as monitoring:
        call(monitoring)
        settled(monitoring)
        assert monitoring._runner._thread is not None
        monitoring._runner.calls.wake_if_idle()
        monitoring._runner._thread.call(monitoring._runner._thread._loop.stop)
        monitoring._runner._thread._thread.join(10)
        call(monitoring, 3)
        loki.wait_until(lambda: len(loki.entries) == 4)


SECRETS = {
    "password": "pa55word-in-the-url",
    "metrics token": "glc_metricstoken00112233",
    "logs token": "logs-token-4455",
    "header": "x-secret-header-6677",
    "proxy": "proxy-pass-8899",
    "api key": "sk-test-abcdefgh12345678",
}


SENT = ("password", "metrics token", "header", "api key")


def test_no_secret_shows_up_in_logs_reprs_or_books(
    loki: FakeLoki, proxy: RemoteWriteProxy, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_logging, "_said", {})  # what other tests have led to hushes nothing here
    caplog.set_level(logging.DEBUG)
    basic = base64.b64encode(f"someone:{SECRETS['password']}".encode()).decode()
    echo = f"you sent Authorization: Basic {basic}, or {' '.join(SECRETS[name] for name in SENT)}".encode()
    for back_end in (loki, proxy):
        back_end.fail_next(Status(503, body=echo))
        back_end.fail_next(Reset())
        back_end.fail_next(Status(400, body=echo))
    with handle(
        logs_url=loki.push_url.replace("://", f"://someone:{SECRETS['password']}@"),
        metrics_url=proxy.write_url,
        metrics_token=SECRETS["metrics token"],
        headers={"X-Custom-Key": SECRETS["header"]},
        **MANUAL,
    ) as monitoring:
        with in_process(monitoring) as client:
            client.api_key = SECRETS["api key"]
            ask(client)
        monitoring.flush(20)
        loki.refuse()
        call(monitoring)
        monitoring.flush(0.2)
        seen = [caplog.text, repr(monitoring), repr(monitoring.settings), str(monitoring.settings)]
        seen += [repr(monitoring.stats()), repr(client), repr(vars(monitoring)), monitoring.settings.model_dump_json()]
        seen += [entry.line for entry in loki.entries]

    sent = [f"{request.headers}" for back_end in (loki, proxy) for request in back_end.requests]
    assert any(SECRETS["header"] in headers for headers in sent)  # it did have to go over the wire
    assert any(SECRETS["metrics token"] in headers for headers in sent)
    found = {name for name, secret in SECRETS.items() if any(secret in text for text in seen)}
    assert found == set()
    assert not any(basic in text for text in seen)
    assert "you sent Authorization: " in caplog.text
    assert "127.0.0.1" not in "".join(
        record.getMessage() for record in caplog.records if record.name == "monitored_openai"
    )


@pytest.mark.parametrize(
    ("last", "ended", "stamped"),
    [
        (0, 5, 5),
        (5, 5, 6),
        (9, 5, 10),
        (300 * 10**9 + 5, 5, 300 * 10**9 + 6),
        (300 * 10**9 + 6, 5, 5),  # the clock has been set back: Loki would refuse what goes on in the future
    ],
)
def test_entries_follow_each_other_in_time_unless_the_clock_is_set_back(last: int, ended: int, stamped: int) -> None:
    assert following(last, ended) == stamped


def refuse_to_redact(text: str, field: str) -> str:
    raise ValueError(text)


def test_a_failing_redactor_is_counted_and_logged_once(loki: FakeLoki, caplog: pytest.LogCaptureFixture) -> None:
    with handle(logs_url=loki.push_url, redact=refuse_to_redact) as monitoring, in_process(monitoring) as client:
        for _ in range(3):
            ask(client, "Bluebird")
        assert monitoring.flush(20).complete
        assert monitoring.stats().content_failed == 3
    assert sum("redact failed" in message for message in caplog.messages) == 1
    assert "Bluebird" not in caplog.text
    assert len(loki.entries) == 3


def test_a_key_behind_a_colour_is_in_no_label_no_metadata_and_no_line(loki: FakeLoki, proxy: RemoteWriteProxy) -> None:
    urls = {"logs_url": loki.push_url, "metrics_url": proxy.write_url}
    with (
        handle(**urls, label_names=("feature",)) as monitoring,
        in_process(monitoring) as client,
        attributes(feature="\x1b[31msk-proj-Ab3_9xYz-0123456789"),
    ):
        ask(client, "it says \x1b[01;31m\x1b[Ksk-proj\x1b[m\x1b[K-Ab3_9xYz-0123456789")
        assert monitoring.flush(20).complete
    [logged] = loki.entries
    features = {dict(labels)["feature"] for labels in proxy.latest(CALLS)}
    assert features == {"\x1b[31m[redacted]"}
    assert logged.metadata["feature"] == "\x1b[31m[redacted]"
    assert "0123456789" not in str(logged)

"""Pushes of metrics: the steps after a failure, and the division of a large push."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest

from monitored_openai import MonitoredOpenAI, Monitoring, attributes
from monitored_openai._exporter.values import CounterSnapshot
from tests.exporter.delivery.pushes import births, newest, pusher
from tests.support.handles import MANUAL, ask, call, flush_until, handle, http, in_process, settled
from tests.support.servers._steps import Request, whole
from tests.support.servers._wire import decode
from tests.support.servers.loki import NeverAnswer, Status
from tests.support.servers.remote_write import Rate, RemoteWriteProxy, Reset

CALLS = "gen_ai_client_operation_duration_seconds_count"


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
    with handle(metrics_url=proxy.write_url, label_names=("team",), histograms="full", **MANUAL) as monitoring:
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
        handle(metrics_url=proxy.write_url, label_names=("team",), histograms="full", **MANUAL) as monitoring,
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


class RefusesSeries(RemoteWriteProxy):
    """Refuses each request that contains a series with this label value."""

    refused_value = "mallory"

    async def take(self, request: Request) -> bytes:
        if any(value == self.refused_value for series in decode(request.body) for _, value in series.labels):
            self.statuses.append(429)
            return whole(429, b"per-user series limit exceeded\n")
        return await super().take(request)


def teams(proxy: RemoteWriteProxy) -> set[str]:
    return {dict(series.labels).get("team", "") for batch in proxy.stored for series in batch}


def test_series_refused_for_a_limit_do_not_hold_up_the_others() -> None:
    with (
        RefusesSeries() as proxy,
        handle(metrics_url=proxy.write_url, label_names=("team",), push_interval=60) as monitoring,
    ):
        with in_process(monitoring) as client:
            for team in ("mallory", "bob", "carl", "dora"):
                with attributes(team=team):
                    ask(client)
        monitoring.flush(20)

        assert teams(proxy) >= {"bob", "carl", "dora"}
        first = len(proxy.statuses)
        assert monitoring.stats().failed_pushes == 1
        monitoring.flush(20)

        later = proxy.statuses[first:]
        assert later.index(429) > 0  # the refused series go last
        assert teams(proxy).isdisjoint({"mallory"})
        assert proxy.violations == []


def test_a_limit_that_lets_nothing_pass_ends_a_push_after_few_requests() -> None:
    with (
        RemoteWriteProxy(rate=Rate(0, 0)) as proxy,
        handle(metrics_url=proxy.write_url, label_names=("team",), push_interval=0.5) as monitoring,
    ):
        with in_process(monitoring) as client:
            ask(client)
        proxy.wait_until(lambda: monitoring.stats().failed_pushes == 1)

        assert len(proxy.statuses) < 30


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
    with handle(metrics_url=proxy.write_url, label_names=("team",), histograms="full", **MANUAL) as monitoring:
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

"""Flush and close of a handle, and their timeouts."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from monitored_openai import CallRecord, Monitoring
from tests.support.handles import MANUAL, ask, call, handle, imbalance, in_process, settled
from tests.support.servers._steps import Gate
from tests.support.servers.loki import FakeLoki, Hold, NeverAnswer
from tests.support.servers.remote_write import RemoteWriteProxy

CALLS = "gen_ai_client_operation_duration_seconds_count"
A_MOMENT = 4.0
"""Seconds beyond its timeout that a flush may take on a machine under load; the back end keeps it waiting for 5 at least."""


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
    monkeypatch.setattr(metrics._runner.metrics, "push_samples", None)  # a defect of ours
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

"""The first samples of series, and the time of their samples."""

from __future__ import annotations

import time

import pytest

from monitored_openai import Monitoring
from tests.exporter.delivery.pushes import births, newest, series_of
from tests.support.handles import call, settled
from tests.support.servers._steps import Gate
from tests.support.servers.loki import Hold
from tests.support.servers.remote_write import RemoteWriteProxy

CALLS = "gen_ai_client_operation_duration_seconds_count"


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
    assert len(born) > 20
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

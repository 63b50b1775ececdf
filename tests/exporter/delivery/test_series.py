"""The first samples of series, and the time of their samples."""

from __future__ import annotations

import time
from typing import Any

import openai
import pytest

from monitored_openai import MonitoredOpenAI, Monitoring
from monitored_openai._metrics.metric_set import METRICS, REQUIRED
from tests.exporter.delivery.pushes import births, newest, series_of
from tests.support.handles import MANUAL, ask, call, handle, http, settled
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


def limited(request: Any) -> Any:  # the transport passes it
    """A reply with rate limits and the server's own time."""
    headers = {
        "openai-processing-ms": "12",
        **{f"x-ratelimit-{part}-requests": "9" for part in ("limit", "remaining")},
        "x-ratelimit-reset-requests": "1m",
    }
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    return http.Response(200, json={"object": "chat.completion", "choices": [], "usage": usage}, headers=headers)


def pushed_names(proxy: RemoteWriteProxy, **settings: Any) -> set[str]:
    """The names of the series after a call, a failed call and two pushes."""
    with (
        handle(metrics_url=proxy.write_url, **settings, **MANUAL) as monitoring,
        http.Client(transport=http.MockTransport(limited)) as connection,
        MonitoredOpenAI(api_key="none", http_client=connection, monitoring=monitoring) as client,
        MonitoredOpenAI(base_url="http://127.0.0.1:9", api_key="none", max_retries=0, monitoring=monitoring) as failing,
    ):
        ask(client)
        with pytest.raises(openai.APIConnectionError):
            ask(failing)
        settled(monitoring)
        settled(monitoring)
    return {series.name for batch in proxy.stored for series in batch}


def test_metrics_that_are_left_out_are_not_pushed(proxy: RemoteWriteProxy) -> None:
    optional = {metric.name for metric in METRICS.values()} - {metric.name for metric in REQUIRED}

    with RemoteWriteProxy() as other:
        everything = pushed_names(other, histograms="full")
    kept = pushed_names(proxy, histograms="full", metrics_left_out=sorted(optional))

    required = {series for metric in REQUIRED for series in metric.series_names}
    assert kept == everything & required
    assert len(everything - kept) >= 15


def test_the_pushed_buckets_hold_all_calls_and_the_counts_have_the_error_type(proxy: RemoteWriteProxy) -> None:
    pushed_names(proxy)

    name = "gen_ai_client_operation_duration_seconds"
    assert proxy.total(f"{name}_bucket", le="+Inf") == 2
    assert not any("error_type" in dict(labels) for labels in proxy.latest(f"{name}_bucket"))
    assert proxy.total(f"{name}_count") == 2
    assert proxy.total(f"{name}_count", error_type="connection") == 1
    assert len(proxy.latest(f"{name}_sum")) == 2

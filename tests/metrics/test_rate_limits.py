"""Rate limits from the headers of replies: the values read, the reply that counts, and their validity."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from monitored_openai import CallRecord
from monitored_openai._metrics.rate_limits import RateLimits, number, seconds
from tests.support.handles import ask, client
from tests.support.records import record
from tests.support.servers.openai_api import Behaviour, OpenAIServer
from tests.support.servers.prometheus import Prometheus, require_prometheus
from tests.support.servers.remote_write import LoseAnswer, RemoteWriteProxy, Status

NOW = 1_760_000_000.0
LIMIT, REMAINING = "openai_ratelimit_limit", "openai_ratelimit_remaining"
RESET = "openai_ratelimit_reset_timestamp_seconds"


def told(at: float, limit: object, remaining: object, reset: object = "1m", of: str = "tokens", **fields: Any) -> Any:
    """The record of a call whose reply came at this time and said this."""
    said = {"limit": limit, "remaining": remaining, "reset": reset}
    headers = {f"x-ratelimit-{name}-{of}": str(value) for name, value in said.items() if value is not None}
    return record(ended_ns=int(at * 1e9), **({"headers": headers} | fields))


def limits(*records: CallRecord, most: int = 500, shown: float = 1.0) -> RateLimits:
    made = RateLimits(max_label_sets=most, shown_seconds=shown)
    for one in records:
        made.fold(one)
    return made


def shown(made: RateLimits, at: float = NOW) -> dict[tuple[str, str], float]:
    """The values by name and resource."""
    return {(sample.name, dict(sample.labels)["resource"]): sample.value for sample in made.samples(at)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6ms", 0.006),
        ("1m2s", 62.0),
        ("1h0m3s", 3603.0),
        ("2m59.56s", 179.56),
        ("7.66s", 7.66),
        ("0s", 0.0),
        ("1d2h", 93600.0),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("59", 59.0),
        ("0.5", 0.5),
        ("2678400", 2678400.0),
        *((garbage, None) for garbage in ("", " ", "1x", "s", "1m 2s", "-1s", "-5", "1e3", "inf", "nan", "٣s", "1.s")),
        ("1760000000", None),
        ("1760000000000", None),
        ("2026-11-25T00:00:00Z", None),
        ("1s" * 40, None),
        (None, None),
    ],
)
def test_a_duration_is_read_in_every_form_that_servers_use_and_no_other(
    text: str | None, expected: float | None
) -> None:
    assert seconds(text) == (expected if expected is None else pytest.approx(expected))


@given(st.text(max_size=80))
def test_whatever_a_header_says_is_a_sane_number_or_none(text: str) -> None:
    for found in (seconds(text), number(text)):
        assert found is None or (math.isfinite(found) and found >= 0)


def test_what_a_reply_says_is_told_by_model_and_resource_and_who_is_limited() -> None:
    headers = {
        "openai-organization": "acme",
        "openai-project": "proj_1",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-limit-tokens": "2000000",
        "x-ratelimit-remaining-tokens": "1999000",
        "x-ratelimit-reset-tokens": "1m30s",
    }
    made = limits(record(ended_ns=int(NOW * 1e9), headers=headers, attributes={"feature": "search"}))
    assert shown(made) == {
        (LIMIT, "requests"): 10000,
        (REMAINING, "requests"): 9999,
        (RESET, "requests"): NOW + 0.006,
        (LIMIT, "tokens"): 2000000,
        (REMAINING, "tokens"): 1999000,
        (RESET, "tokens"): NOW + 90,
    }
    assert {
        frozenset(sample.labels) - {("resource", "requests"), ("resource", "tokens")} for sample in made.samples(NOW)
    } == {
        frozenset(
            {
                "gen_ai_provider_name": "openai",
                "gen_ai_request_model": "gpt-4o",
                "organization": "acme",
                "project": "proj_1",
            }.items()
        )
    }


def test_what_is_no_number_is_not_told() -> None:
    assert shown(limits(told(NOW, "many", "-1"))) == {}
    assert shown(limits(told(NOW, "100", "few", "soon"))) == {(LIMIT, "tokens"): 100}
    assert shown(limits(record())) == {}


def test_the_newest_reply_speaks_in_whatever_order_they_are_folded() -> None:
    old, new = told(NOW - 2, 100, 50), told(NOW - 1, 90, 10)
    for order in ((old, new), (new, old)):
        assert shown(limits(*order)) == {(LIMIT, "tokens"): 90, (REMAINING, "tokens"): 10, (RESET, "tokens"): NOW + 59}


def test_a_stream_speaks_as_of_its_beginning() -> None:
    began = dataclasses.replace(told(NOW, 100, 99), started_ns=int((NOW - 50) * 1e9), time_to_first_chunk=0.5)
    assert shown(limits(told(NOW - 20, 100, 7), began))[REMAINING, "tokens"] == 7
    assert shown(limits(began))[RESET, "tokens"] == pytest.approx(NOW + 10.5)


def test_a_stream_that_took_long_does_not_take_the_word_from_newer_replies() -> None:
    began = dataclasses.replace(
        told(NOW, 100, 99, "1h"), streamed=True, started_ns=int((NOW - 900) * 1e9), time_to_first_chunk=0.5
    )
    assert shown(limits(told(NOW - 1, 100, 3, "1h"), began))[REMAINING, "tokens"] == 3


def test_a_limit_is_withdrawn_once_its_reset_has_passed() -> None:
    made = limits(told(NOW, 100, 5, "20s"), told(NOW, 9, 8, "1m", of="requests"))
    assert {of for _, of in shown(made, NOW + 19.9)} == {"tokens", "requests"}
    assert {of for _, of in shown(made, NOW + 20)} == {"requests"}
    assert shown(made, NOW + 60) == {}


def test_a_limit_that_is_reset_at_once_is_shown_for_a_while_all_the_same() -> None:
    made = limits(told(NOW, 100, 99, "6ms"), shown=30)
    assert (len(shown(made, NOW + 29)), shown(made, NOW + 30)) == (3, {})


def test_without_a_reset_a_limit_is_believed_for_a_minute() -> None:
    made = limits(told(NOW, 100, 99, None))
    assert shown(made, NOW + 59) == {(LIMIT, "tokens"): 100, (REMAINING, "tokens"): 99}
    assert shown(made, NOW + 60) == {}


def test_a_clock_that_was_set_back_by_an_hour_does_not_silence_the_replies_of_that_hour() -> None:
    made = limits(told(NOW + 3600, 100, 1, "6h"))
    assert shown(made, NOW) == {}
    made.fold(told(NOW, 100, 80))
    assert shown(made, NOW)[REMAINING, "tokens"] == 80


def test_past_the_bound_further_models_are_left_out_and_counted_and_known_ones_go_on() -> None:
    made = limits(*(told(NOW, 100, n, request_model=f"m{n}") for n in range(5)), most=3)
    made.fold(told(NOW + 1, 100, 77, request_model="m0"))
    assert {dict(sample.labels)["gen_ai_request_model"] for sample in made.samples(NOW)} == {"m0", "m1", "m2"}
    assert shown(made)[REMAINING, "tokens"] != 0
    assert made.left_out == 2


def test_no_secret_and_no_long_text_becomes_a_label() -> None:
    made = limits(told(NOW, 1, 1, request_model="sk-proj-0123456789abcdef" + "x" * 5000))
    (sample,) = [sample for sample in made.samples(NOW) if sample.name == LIMIT]
    assert "0123456789" not in str(sample.labels)
    assert len(str(sample.labels)) < 1500


# To Prometheus, and to those who scrape


def saying(reset: str, remaining: int) -> dict[str, str]:
    """The headers of a reply, the same of requests and of tokens."""
    return {
        f"x-ratelimit-{name}-{of}": value
        for of in ("requests", "tokens")
        for name, value in (("limit", "100"), ("remaining", str(remaining)), ("reset", reset))
    }


def ask_told(asking: Any, reset: str, remaining: int) -> None:
    ask(asking, extra_headers=Behaviour(headers=saying(reset, remaining)).header())


def test_prometheus_has_the_limits_until_their_reset_and_then_no_more(api: OpenAIServer, tmp_path: Path) -> None:
    everything, headroom = '{__name__=~"openai_ratelimit.*"}', f"{REMAINING} / {LIMIT}"
    with (
        Prometheus(require_prometheus(), tmp_path) as prometheus,
        client(api.base_url, metrics_url=prometheus.write_url, push_interval=0.05) as asking,
    ):
        ask_told(asking, "1h", 3)
        assert asking.monitoring.flush(20).pushed
        assert [value for _, value in prometheus.query(headroom)] == [0.03, 0.03]
        assert len(prometheus.query(everything)) == 6
        assert prometheus.value("sum(openai_processing_seconds_count)") == 1

        ask_told(asking, "6ms", 2)
        deadline = time.monotonic() + 20
        while prometheus.query(everything) and time.monotonic() < deadline:
            assert asking.monitoring.flush(20).pushed
        assert prometheus.query(everything) == []

        ask_told(asking, "1m", 50)
        assert asking.monitoring.flush(20).pushed
        assert [value for _, value in prometheus.query(headroom)] == [0.5, 0.5]


def test_a_withdrawal_is_sent_until_it_has_arrived_and_then_no_more(api: OpenAIServer, proxy: RemoteWriteProxy) -> None:
    def withdrawn() -> list[int]:
        """How many series each request so far has ended, all of which are rate limits."""
        stale = [
            [one for one in batch if any(math.isnan(value) for _, value in one.samples)] for batch in proxy.received
        ]
        assert all(series.name.startswith("openai_ratelimit_") for batch in stale for series in batch)
        return [len(batch) for batch in stale]

    with client(api.base_url, metrics_url=proxy.write_url, push_interval=60) as asking:
        monitoring = asking.monitoring
        monitoring._runner.metrics._rate_limits._shown_seconds = 0
        ask_told(asking, "1h", 3)
        assert monitoring.flush(20).pushed
        ask_told(asking, "0s", 2)
        for fault in (Status(503), LoseAnswer(), LoseAnswer()):
            proxy.fail_next(fault)
        assert monitoring.flush(20).pushed
        assert monitoring.flush(20).pushed
        assert withdrawn() == [0, 6, 6, 6, 6, 0]
    assert proxy.violations == []


def test_a_scrape_has_the_limits_until_their_reset_and_then_none(api: OpenAIServer) -> None:
    registry = CollectorRegistry()

    def page() -> str:
        return generate_latest(registry).decode()

    with client(api.base_url, push_interval=0.05) as asking:
        registry.register(asking.monitoring.collector)
        ask_told(asking, "1h", 3)
        asking.monitoring.flush(20)
        assert {name for name in (LIMIT, REMAINING, RESET) if f"\n{name}{{" in page()} == {LIMIT, REMAINING, RESET}
        assert "\nopenai_processing_seconds_sum{" in page()
        ask_told(asking, "6ms", 2)
        asking.monitoring.flush(20)
        deadline = time.monotonic() + 20
        while "openai_ratelimit" in page() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "openai_ratelimit" not in page()

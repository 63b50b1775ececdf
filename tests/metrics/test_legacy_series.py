"""The predecessor's series and log fields, from records to receivers of two real protocols."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from monitored_openai import Monitoring, Usage
from monitored_openai._exporter.delivery import sample_queue
from monitored_openai._legacy_series import call_samples, log_fields, prompt_of
from monitored_openai._log_entry import log_entry
from tests.support.handles import ask, flush_until, handle, in_process
from tests.support.records import full_record, record
from tests.support.servers._http import wait_until
from tests.support.servers.influx import FakeInflux
from tests.support.servers.loki import FakeLoki
from tests.support.servers.remote_write import LoseAnswer, RemoteWriteProxy, Reset, Series, Status

FIVE = ("promptTokens", "completionTokens", "totalTokens", "requestDuration", "usageCost")
NAMES = {f"openai_{name}" for name in FIVE}
SLOW: dict[str, Any] = {
    "push_interval": 60,
    "log_linger": 30,
    "metric_names": ["grafana_openai"],
    "provider": "openai",
}


@pytest.fixture(params=["remote_write", "influx"])
def receiver(request: pytest.FixtureRequest) -> Iterator[RemoteWriteProxy | FakeInflux]:
    with RemoteWriteProxy() if request.param == "remote_write" else FakeInflux() as running:
        yield running


@pytest.fixture
def monitoring(receiver: RemoteWriteProxy | FakeInflux) -> Iterator[Monitoring]:
    protocol = "influx" if isinstance(receiver, FakeInflux) else "remote_write"
    with handle(metrics_url=receiver.write_url, metrics_protocol=protocol, **SLOW) as made:
        yield made


def call(monitoring: Monitoring, times: int = 1, **fields: Any) -> None:
    with in_process(monitoring, **fields) as client:
        for number in range(times):
            ask(client, f"hello {number}")


def points(batches: list[list[Series]]) -> dict[tuple[tuple[str, str], ...], list[tuple[int, float]]]:
    """The points of the predecessor's series, in the order in which they arrived."""
    found: defaultdict[tuple[tuple[str, str], ...], list[tuple[int, float]]] = defaultdict(list)
    for series in (series for batch in batches for series in batch if series.name in NAMES):
        found[tuple(sorted(series.labels))].extend(series.samples)
    return found


def balance(monitoring: Monitoring) -> int:
    samples = monitoring.stats().samples
    return samples.produced - samples.delivered - sum(samples.dropped.values()) - samples.queued


def test_a_call_gives_the_five_values_that_the_predecessor_gives() -> None:
    made = call_samples(full_record())

    assert made is not None
    assert (made.source, made.model) == ("python_chatv2", "gpt-4o-2024-08-06")
    assert made.values == {
        "openai_promptTokens": 30,
        "openai_completionTokens": 20,
        "openai_totalTokens": 50,
        "openai_requestDuration": 0.5,
        "openai_usageCost": pytest.approx(0.00026),
    }


def test_what_is_not_known_has_no_sample_and_is_no_zero() -> None:
    made = call_samples(record(operation="text_completion", usage=Usage(input_tokens=3), unpriced="unknown_model"))

    assert made is not None
    assert made.source == "python_chatv1"
    assert made.values == {"openai_promptTokens": 3, "openai_requestDuration": 0.5}


def test_a_call_that_failed_and_one_of_another_kind_have_none() -> None:
    assert call_samples(record(error_type="rate_limit")) is None
    assert call_samples(record(error_type="length_limit", usage=Usage(input_tokens=3))) is not None
    assert call_samples(record(operation="embeddings")) is None


def test_a_key_given_as_a_model_is_no_label() -> None:
    made = call_samples(record(response_model=None, request_model="sk-" + "a" * 48))

    assert made is not None
    assert "aaaa" not in made.model


def test_each_call_is_one_sample_of_each_series_with_the_labels_of_there_and_an_instance(
    monitoring: Monitoring, receiver: RemoteWriteProxy | FakeInflux
) -> None:
    call(monitoring, 3)
    assert monitoring.flush(20).complete

    found = points(receiver.stored)
    assert receiver.violations == []
    assert {dict(labels)["__name__"] for labels in found} == NAMES
    for labels, each in found.items():
        assert len(each) == 3
        assert dict(labels).keys() == {"__name__", "environment", "instance", "job", "model", "source"}
        assert dict(labels).items() >= {
            ("job", "integrations/openai"),
            ("source", "python_chatv2"),
            ("model", "gpt-4o-2024-08-06"),
            ("environment", "default"),
        }
        if dict(labels)["__name__"] == "openai_totalTokens":
            assert {value for _, value in each} == {7}
    samples = monitoring.stats().samples
    assert (samples.produced, samples.delivered, samples.dropped, balance(monitoring)) == (15, 15, {}, 0)


def test_calls_in_the_same_millisecond_have_milliseconds_of_their_own(
    monitoring: Monitoring, receiver: RemoteWriteProxy | FakeInflux, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    call(monitoring, 50)
    assert monitoring.flush(20).complete

    for each in points(receiver.stored).values():
        assert [at for at, _ in each] == [now // 1_000_000 + number for number in range(50)]


def test_only_the_names_asked_for_are_pushed(monitoring: Monitoring, receiver: RemoteWriteProxy | FakeInflux) -> None:
    call(monitoring)
    assert monitoring.flush(20).complete

    names = {series.name for batch in receiver.stored for series in batch}
    assert not [name for name in names if name.startswith(("gen_ai_", "openai_processing", "openai_rate"))]
    assert "monitored_openai_produced_total" in names


def test_both_names_may_be_on_at_once(receiver: RemoteWriteProxy | FakeInflux) -> None:
    protocol = "influx" if isinstance(receiver, FakeInflux) else "remote_write"
    both = SLOW | {"metric_names": "gen_ai,grafana_openai"}
    with handle(metrics_url=receiver.write_url, metrics_protocol=protocol, **both) as monitoring:
        call(monitoring)
        assert monitoring.flush(20).complete

    names = {series.name for batch in receiver.stored for series in batch}
    assert {"gen_ai_client_tokens_total", *NAMES} <= names


def test_an_older_sample_never_follows_a_newer_one_whatever_fails(
    monitoring: Monitoring, receiver: RemoteWriteProxy | FakeInflux
) -> None:
    for fault in (Status(503), Reset(), Status(429), Status(500)):
        receiver.fail_next(fault)
    for _ in range(4):
        call(monitoring, 2)
        assert monitoring.flush(20).complete

    assert receiver.violations == []
    for each in points(receiver.stored).values():
        assert all(later > earlier for (earlier, _), (later, _) in pairwise(each))
        assert len(each) == 8
    assert balance(monitoring) == 0


def test_a_batch_whose_answer_is_lost_goes_again_as_the_same_bytes(receiver: RemoteWriteProxy | FakeInflux) -> None:
    protocol = "influx" if isinstance(receiver, FakeInflux) else "remote_write"
    with handle(metrics_url=receiver.write_url, metrics_protocol=protocol, **SLOW) as monitoring:
        receiver.always = LoseAnswer()
        call(monitoring, 2)
        flush_until(monitoring, lambda: points(receiver.received) != {})
        receiver.always = None
        monitoring.flush(30)

    batches = [
        request.body for request, batch in zip(receiver.requests, receiver.received, strict=True) if points([batch])
    ]
    assert len(batches) > 1
    assert len(set(batches)) == 1


def test_what_is_refused_is_counted_and_the_next_batch_goes_on(
    monitoring: Monitoring, receiver: RemoteWriteProxy | FakeInflux
) -> None:
    receiver.always = Status(400)
    call(monitoring, 2)
    monitoring.flush(30)
    receiver.always = None
    call(monitoring)
    assert monitoring.flush(20).complete

    samples = monitoring.stats().samples
    assert samples.dropped == {"rejected": 10}
    assert balance(monitoring) == 0
    assert {len(each) for each in points(receiver.stored).values()} == {1}


def test_memory_is_bounded_and_what_has_no_room_is_counted(
    monitoring: Monitoring, receiver: RemoteWriteProxy | FakeInflux, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_queue, "MAX_WAITING", 12)
    call(monitoring, 6)
    assert monitoring.flush(20).complete

    samples = monitoring.stats().samples
    assert samples.dropped.keys() == {"queue_full"}
    assert samples.delivered <= 12
    assert balance(monitoring) == 0


def test_a_sample_is_never_told_of_more_than_ten_minutes_ahead_of_its_call(
    monitoring: Monitoring, receiver: RemoteWriteProxy | FakeInflux
) -> None:
    call(monitoring)
    assert monitoring.flush(20).complete
    assert monitoring._runner._exporter is not None
    queue = monitoring._runner._exporter._state.samples
    assert queue is not None
    queue._last_ms = {of: last + 601_000 for of, last in queue._last_ms.items()}  # as if the clock had been set back
    call(monitoring)
    assert monitoring.flush(20).complete

    assert monitoring.stats().samples.dropped == {"clock": 5}
    assert {len(each) for each in points(receiver.stored).values()} == {1}


def test_a_batch_that_cannot_be_encoded_is_counted_and_the_next_goes_on(
    monitoring: Monitoring, receiver: RemoteWriteProxy | FakeInflux, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(queue: sample_queue.SampleQueue, batch: object) -> bytes:
        monkeypatch.undo()
        raise ValueError("odd")

    monkeypatch.setattr(sample_queue.SampleQueue, "encode", fails)
    call(monitoring)
    receiver.wait_until(lambda: monitoring.flush(1).complete)
    call(monitoring)
    receiver.wait_until(lambda: monitoring.flush(1).complete)

    assert monitoring.stats().samples.dropped == {"fault": 5}
    assert {len(each) for each in points(receiver.stored).values()} == {1}


def test_what_waited_in_a_thread_that_died_is_sent_by_the_next(
    monitoring: Monitoring, receiver: RemoteWriteProxy | FakeInflux
) -> None:
    call(monitoring)
    receiver.wait_until(lambda: monitoring.stats().samples.queued == 5)
    assert monitoring._runner._thread is not None
    monitoring._runner._thread.call(monitoring._runner._thread._loop.stop)
    monitoring._runner._thread._thread.join(10)
    call(monitoring)
    assert monitoring.flush(10).complete

    assert {len(each) for each in points(receiver.stored).values()} == {2}
    assert (receiver.violations, balance(monitoring)) == ([], 0)


def test_what_is_left_at_the_end_is_counted() -> None:
    with handle(metrics_url="http://127.0.0.1:9", **SLOW) as monitoring:
        call(monitoring, 2)
        wait_until(lambda: monitoring.stats().metrics_queued == 0)
        monitoring.close(0)
        samples = monitoring.stats().samples
        assert (samples.queued, samples.delivered, sum(samples.dropped.values())) == (0, 0, samples.produced)
        assert samples.dropped.keys() == {"closed"}


def test_more_models_than_label_sets_are_other(receiver: RemoteWriteProxy | FakeInflux) -> None:
    protocol = "influx" if isinstance(receiver, FakeInflux) else "remote_write"
    few = SLOW | {"max_label_sets": 2}
    with handle(metrics_url=receiver.write_url, metrics_protocol=protocol, **few) as monitoring:
        for number in range(5):
            call(monitoring, model=f"m-{number}")
        assert monitoring.flush(20).complete

    found = points(receiver.stored)
    assert {dict(labels)["model"] for labels in found} == {"m-0", "m-1", "other"}
    assert receiver.violations == []


@pytest.mark.parametrize(
    ("request_body", "prompt"),
    [
        ({"messages": [{"role": "user", "content": "Why?"}]}, "Why?"),
        ({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]}, "Why?"),
        ({"messages": [{"role": "system", "content": "Be brief."}]}, "Be brief."),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}]}, "a"),
        ({"messages": [{"role": "user", "content": None}]}, None),
        ({"messages": []}, None),
        ({"prompt": "Isn't it?"}, "Isn't it?"),
        ({"prompt": ["a", "b"]}, "a\nb"),
        ({"prompt": [1, 2]}, None),
        ({"messages": "odd"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_prompt_is_the_text_of_what_the_user_asked(request_body: Any, prompt: str | None) -> None:
    assert prompt_of(request_body) == prompt


def test_the_log_has_the_fields_of_there_and_redaction_reaches_the_prompt() -> None:
    entry = log_entry(full_record(), redact=None, max_bytes=4096, predecessor=True)
    hidden = log_entry(
        full_record(),
        redact=lambda text, field: "gone" if "messages" in field else text,
        max_bytes=4096,
        predecessor=True,
    )

    assert json.loads(entry.line)["prompt"] == "What is a bucket?"
    assert json.loads(hidden.line)["prompt"] == "gone"
    wanted = {"prompt_tokens": "30", "completion_tokens": "20", "total_tokens": "50", "role": "assistant"}
    assert entry.metadata.items() >= {**wanted, "model": "gpt-4o-2024-08-06", "finish_reason": "stop"}.items()
    plain = log_entry(full_record(), redact=None, max_bytes=4096)
    assert "prompt" not in json.loads(plain.line)
    assert not plain.metadata.keys() & log_fields(full_record()).keys()
    without = log_entry(full_record(content_captured=False), redact=None, max_bytes=4096, predecessor=True)
    assert "prompt" not in json.loads(without.line)


def test_neither_prompts_nor_counts_are_labels_of_the_log() -> None:
    with FakeLoki() as loki:
        with handle(logs_url=loki.push_url, **SLOW) as monitoring:
            call(monitoring, 2)
            assert monitoring.flush(20).complete
        assert {frozenset(entry.labels) for entry in loki.entries} == {frozenset({"job", "environment"})}

"""A record as a log entry: its content, its size limits, and no failure for any record."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitored_openai import CallRecord
from monitored_openai._log_entry import LogEntry, is_sampled, log_entry
from monitored_openai._redaction.redactor import REDACTED, Redact, redactor
from tests.support.records import full_record, record

MOST = 240 * 1024
KEY = "sk-proj-Ab3_9xYz-0123456789"
PAGE = Path(__file__).parent.parent / "docs" / "logs-and-privacy.md"
_MOST_METADATA, _MOST_METADATA_BYTES = 128, 64 * 1024
"""Loki's limits."""


def entry(made: CallRecord, redact: Redact | None = None, max_bytes: int = MOST) -> LogEntry:
    return log_entry(made, redact=redact, max_bytes=max_bytes)


def line(made: CallRecord, redact: Redact | None = None, max_bytes: int = MOST) -> dict[str, Any]:
    """The line of the entry, which must be JSON and fit."""
    text = entry(made, redact, max_bytes).line
    assert len(text.encode()) <= max_bytes
    parsed: dict[str, Any] = json.loads(text, parse_constant=pytest.fail)
    return parsed


def asked(content: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}


EXPECTED = {
    "id": "0011223344556677000000ab",
    "operation": "chat",
    "api_type": "chat_completions",
    "provider": "openai",
    "server": "api.openai.com",
    "request_model": "gpt-4o",
    "response_model": "gpt-4o-2024-08-06",
    "response_id": "chatcmpl-1",
    "request_id": "req_1",
    "started": "2025-10-09T08:53:20.000+00:00",
    "duration_seconds": 0.5,
    "time_to_first_chunk_seconds": 0.2,
    "chunks": 3,
    "http_status": 200,
    "retries": 1,
    "finish_reasons": ["stop"],
    "service_tier": "default",
    "usage": {
        "input_tokens": 30,
        "output_tokens": 20,
        "input_cached_tokens": 8,
        "input_cache_write_tokens": 1,
        "input_audio_tokens": 2,
        "input_image_tokens": 3,
        "output_audio_tokens": 4,
        "output_reasoning_tokens": 5,
        "output_accepted_prediction_tokens": 6,
        "output_rejected_prediction_tokens": 7,
        "output_image_tokens": 1,
        "input_seconds": 1.5,
        "input_characters": 12,
    },
    "cost": {
        "input_usd": 0.00005,
        "input_cached_usd": 0.00001,
        "output_usd": 0.0002,
        "cache_savings_usd": 0.00001,
        "total_usd": 0.00026,
    },
    "cost_source": "table",
    "headers": {"openai-processing-ms": "180", "x-ratelimit-remaining-requests": "99"},
    "trace_id": "00000000000000000000000000000001",
    "span_id": "0000000000000002",
    "attributes": {"feature": "search"},
    "identifiers": {"user": "u-17", "metadata": {"team": "shop"}},
    "request": {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is a bucket?"}]},
    "response": {"choices": [{"index": 0, "message": {"role": "assistant", "content": "An upper bound."}}]},
}


def test_a_line_holds_all_that_is_known() -> None:
    assert line(full_record()) == EXPECTED


def test_the_structured_metadata_is_what_one_filters_by() -> None:
    assert entry(full_record(error_type="length_limit")).metadata == {
        "feature": "search",
        "operation": "chat",
        "openai_api_type": "chat_completions",
        "provider": "openai",
        "model": "gpt-4o-2024-08-06",
        "request_model": "gpt-4o",
        "request_id": "req_1",
        "trace_id": "00000000000000000000000000000001",
        "span_id": "0000000000000002",
        "error_type": "length_limit",
        "finish_reason": "stop",
        "input_tokens": "30",
        "output_tokens": "20",
        "cost_usd": "0.000260000",
        "openai_user": "u-17",
    }


def test_what_is_not_known_is_left_out() -> None:
    made = entry(record(response_model=None, usage_unknown="timeout", error_type="timeout", http_status=None))
    assert set(json.loads(made.line)) == {
        *("id", "operation", "api_type", "provider", "server", "request_model", "started", "duration_seconds"),
        *("error_type", "usage_unknown"),
    }
    assert made.metadata == {
        "operation": "chat",
        "openai_api_type": "chat_completions",
        "provider": "openai",
        "model": "gpt-4o",
        "request_model": "gpt-4o",
        "error_type": "timeout",
    }


@pytest.mark.once
def test_the_line_on_the_page_is_a_real_one() -> None:
    text = PAGE.read_text()
    block = text.partition("```json\n")[2].partition("\n```")[0]
    assert json.loads(block) == json.loads(entry(_on_the_page()).line)


def _on_the_page() -> CallRecord:
    question = {"role": "user", "content": "My key is sk-proj-0123456789 and this is my cat:"}
    picture = {
        "url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
    }
    return full_record(
        id="8f2b61c09d34e7a50000002a",
        streamed=False,
        time_to_first_chunk=None,
        chunks=None,
        retries=0,
        request_id="req_5c1f9a",
        response_id="chatcmpl-Dk2",
        usage=dataclasses.replace(
            full_record().usage,  # type: ignore[type-var]  # it has one
            input_cache_write_tokens=None,
            input_audio_tokens=None,
            input_image_tokens=None,
            output_audio_tokens=None,
            output_image_tokens=None,
            input_seconds=None,
            input_characters=None,
            output_reasoning_tokens=0,
            output_accepted_prediction_tokens=None,
            output_rejected_prediction_tokens=None,
        ),
        headers={"openai-processing-ms": "180"},
        request={
            "model": "gpt-4o",
            "messages": [question, {"role": "user", "content": [{"type": "image_url", "image_url": picture}]}],
        },
        response={
            "id": "chatcmpl-Dk2",
            "model": "gpt-4o-2024-08-06",
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A fine cat."}}
            ],
        },
    )


# Secrets and redaction


@pytest.mark.parametrize("max_bytes", [MOST, 16 * 1024, 1024])
@pytest.mark.parametrize(
    "fields",
    [
        {"request": asked(f"my key:\n{KEY}")},
        {"request": {**asked("x"), "metadata": {KEY: "x", "nested": {f"a {KEY}": 1}}}},
        {"request": {**asked("x"), "extra": {"Authorization": f"Bearer {KEY}", "api_key": "0123456789abcdef"}}},
        {
            "response": {
                "tool_calls": [
                    {"function": {"arguments": json.dumps({"a": f"\n{KEY}", "api_key": "0123456789abcdef"})}}
                ]
            }
        },
        {"response": f"<html>\n{KEY}</html>"},
        {"error_message": f"Incorrect API key provided: {KEY}. Incorrect API key provided: 0123456789abcdef."},
        {"attributes": {"user": KEY, "other": f"a\n{KEY}"}},
        {"request_model": KEY, "response_model": None},
        {"response_model": KEY, "response_id": KEY, "request_id": KEY, "service_tier": KEY},
        {"finish_reasons": (KEY, KEY), "headers": {"openai-organization": KEY}},
    ],
    ids=["text", "name", "headers", "arguments", "page", "error", "attributes", "asked model", "answered", "facts"],
)
@pytest.mark.parametrize("padding", [0, 300_000])
def test_a_secret_is_nowhere_in_an_entry_cut_or_not(fields: dict[str, Any], max_bytes: int, padding: int) -> None:
    made = record(**({"response": {"padding": "x " * padding}} | fields))
    text = json.dumps([line(made, max_bytes=max_bytes), dict(entry(made, max_bytes=max_bytes).metadata)])
    assert "0123456789" not in text
    assert "Ab3_9xYz" not in text


@pytest.mark.parametrize("cap", [65536, 16384, 4096, 1024, 256, 64])
@pytest.mark.parametrize("before", range(0, 30, 3))
def test_a_secret_at_the_border_of_a_cut_is_not_cut_in_two(cap: int, before: int) -> None:
    content = "x" * (cap - before - 1) + " " + KEY + " " + "y" * 300_000
    made = line(record(request=asked(content)), max_bytes=max(1500, cap + 1000))
    assert "sk-" not in json.dumps(made)
    assert made["cut"] is True


def test_patterns_are_applied_to_the_whole_text_before_it_is_cut() -> None:
    redact = redactor((r"\S+@\S+", r"\d{4} \d{4}"))
    mail = "x " * 2044 + "alice@example.com " + "y " * 200_000
    card = "x " * 2046 + "1234 5678 " + "y " * 200_000
    made = json.dumps(line(record(request=asked(mail), error_message=card), redact, 6000))
    assert "alice" not in made
    assert "1234" not in made


def test_patterns_are_applied_to_requests_answers_and_errors_but_not_to_what_the_program_itself_says() -> None:
    redact = redactor(("(?i)alice",))
    made = line(
        full_record(error_message="Alice", request=asked("Alice"), response="Alice", attributes={"user": "alice"}),
        redact,
    )
    assert (made["error_message"], made["response"], made["request"]["messages"][0]["content"]) == (REDACTED,) * 3
    assert made["attributes"] == {"user": "alice"}


def test_patterns_are_applied_to_the_requests_identifiers_wherever_these_are_written() -> None:
    fields: list[str] = []

    def redact(text: str, field: str) -> str:
        fields.append(field)
        return text.replace("alice", REDACTED)

    told = {"user": "alice", "safety_identifier": "s-1", "prompt_cache_key": "alice", "metadata": {"who": "alice"}}
    made = entry(record(identifiers=told), redact)
    assert json.loads(made.line)["identifiers"] == {
        "user": REDACTED,
        "safety_identifier": "s-1",
        "prompt_cache_key": REDACTED,
        "metadata": {"who": REDACTED},
    }
    assert {name: value for name, value in made.metadata.items() if name.startswith("openai_")} == {
        "openai_api_type": "chat_completions",
        "openai_user": REDACTED,
        "openai_safety_identifier": "s-1",
        "openai_prompt_cache_key": REDACTED,
    }
    assert fields == ["request.user", "request.safety_identifier", "request.prompt_cache_key", "request.metadata.who"]


class Stop(BaseException):
    """What a test's or a program's own exit may be."""


@pytest.mark.parametrize("error", [ValueError("Alice"), SystemExit(1), Stop("Alice"), RecursionError()])
def test_a_redactor_that_raises_costs_the_entry_its_content_and_nothing_else(error: BaseException) -> None:
    def raises(text: str, field: str) -> str:
        raise error

    made = entry(full_record(error_message="Alice"), raises)
    assert made.failed
    facts = json.loads(made.line)
    assert facts.pop("content_left_out") == f"the content could not be prepared: {type(error).__name__}"
    assert facts["usage"]["input_tokens"] == 30
    assert not {"request", "response", "error_message", "identifiers"} & facts.keys()
    assert "openai_user" not in made.metadata
    assert "Alice" not in made.line


def test_a_pattern_that_takes_too_long_costs_the_entry_its_content_and_is_named() -> None:
    made = entry(full_record(error_message="a" * 60 + "!"), redactor(("Bluebird", r"(\w|\w\w)+$")))
    assert made.failed
    facts = json.loads(made.line)
    assert facts["content_left_out"] == "the content could not be prepared: pattern 2 of redact took too long"
    assert "aaaa" not in made.line


def test_content_that_was_not_captured_is_not_in_the_entry() -> None:
    made = line(full_record(content_captured=False))
    assert not {"request", "response"} & made.keys()
    assert made["identifiers"] == {"user": "u-17", "metadata": {"team": "shop"}}


# Cutting


@pytest.mark.parametrize(
    "content",
    ["x" * 10_000_000, "é" * 5_000_000, "😀" * 2_000_000, "\x00" * 1_000_000, '"\\' * 1_000_000, "\ud800" * 300_000],
    ids=["letters", "two bytes", "emoji", "control", "quotes", "surrogates"],
)
def test_a_huge_text_is_cut_at_a_character_and_marked(content: str) -> None:
    made = entry(record(request=asked(content)))
    assert made.cut
    assert len(made.line.encode()) <= MOST
    shown = json.loads(made.line)["request"]["messages"][0]["content"]
    assert shown.endswith(f"…[cut, {len(content)} characters in all]")
    assert shown[: shown.index("…")] in content.replace("\ud800", "?")
    assert len(shown) > 4096


def test_what_fits_is_neither_cut_nor_marked() -> None:
    made = entry(record(request=asked("x" * 200_000), response={"a": list(range(9000))}))
    assert not made.cut
    assert "cut" not in json.loads(made.line)


def test_of_a_long_conversation_the_beginning_and_the_end_are_kept() -> None:
    messages = [{"role": "user", "content": f"message {number} " + "x" * 200} for number in range(10_000)]
    made = line(record(request={"model": "m", "messages": messages}))
    kept = made["request"]["messages"]
    assert (kept[0], kept[-1]) == (messages[0], messages[-1])
    assert "…[cut, 10000 in all]" in kept
    assert len(kept) > 100


@pytest.mark.parametrize("max_bytes", [1024, 1500, 4000, 65536, MOST])
@pytest.mark.parametrize(
    "fields",
    [
        {"request_model": "m" * 10_000_000},
        {"finish_reasons": ("stop" * 1000,) * 10_000},
        {"headers": {f"x-ratelimit-{number}": "x" * 1000 for number in range(1000)}},
        {"attributes": {f"a{number}": "é" * 2000 for number in range(1000)}},
        {"attributes": {"a" * 127 + chr(97 + number % 26): "v" * 1024 for number in range(26)}},
        {"request": {f"key {number}": number for number in range(100_000)}},
        {"request": {"k" * 1_000_000: "v"}},
        {"request": asked([{"type": "text", "text": "t"}] * 100_000)},
        {"response": [[["x"] * 50] * 50] * 50},
        {"error_message": "e" * 1_000_000},
        {"response": "<html>" * 100_000},
    ],
    ids=["model", "reasons", "headers", "attributes", "names", "members", "name", "parts", "lists", "error", "page"],
)
def test_an_entry_fits_whatever_is_large_in_it(fields: dict[str, Any], max_bytes: int) -> None:
    made = full_record(**fields)
    result = entry(made, max_bytes=max_bytes)
    metadata = result.metadata
    assert len(result.line.encode()) <= max_bytes
    assert json.loads(result.line)["id"] == made.id
    assert len(metadata) <= _MOST_METADATA
    assert sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items()) <= _MOST_METADATA_BYTES
    assert metadata["operation"] == "chat"


def test_a_long_error_message_is_cut_even_where_there_is_room() -> None:
    assert line(record(error_message="e" * 5000))["error_message"] == "e" * 4096 + "…[cut, 5000 characters in all]"


def test_what_is_nested_too_deep_is_cut_off_and_the_rest_is_kept() -> None:
    value: Any = "bottom"
    for _ in range(2000):
        value = {"a": [value]}
    made = line(record(request={**asked("hello"), "deep": value}))
    assert made["request"]["messages"][0]["content"] == "hello"


class Odd:
    def __str__(self) -> str:
        raise ValueError("no text")


def test_what_cannot_be_written_costs_the_entry_its_content_and_nothing_else() -> None:
    made = entry(record(request={"odd": Odd()}))
    assert made.failed
    assert json.loads(made.line)["response_model"] == "gpt-4o-2024-08-06"


def test_numbers_that_json_does_not_have_become_texts() -> None:
    assert line(record(request={"a": [float("nan"), float("inf"), "\ud800"]}))["request"] == {"a": ["nan", "inf", "?"]}


TEXTS = st.text(st.characters(), max_size=40) | st.sampled_from(["\ud800", "\x00", "😀" * 500, "x" * 5000, KEY])
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
JSON = st.recursive(
    PLAIN, lambda part: st.lists(part, max_size=5) | st.dictionaries(TEXTS, part, max_size=5), max_leaves=25
)


@given(
    request=JSON,
    response=JSON,
    message=st.none() | TEXTS,
    model=st.none() | TEXTS,
    attributes=st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), TEXTS.filter(bool), max_size=5),
    reasons=st.lists(TEXTS, max_size=3),
    redact=st.sampled_from([None, redactor((r"[aeiou]+",)), lambda text, field: text.upper()]),
    max_bytes=st.sampled_from([1024, 2000, MOST]),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_every_record_becomes_an_entry_that_loki_takes(
    request: Any,
    response: Any,
    message: str | None,
    model: str | None,
    attributes: dict[str, str],
    reasons: list[str],
    redact: Redact | None,
    max_bytes: int,
) -> None:
    made = record(
        request=request,
        response=response,
        error_message=message,
        response_model=model,
        finish_reasons=tuple(reasons),
        attributes=attributes,
    )
    result = entry(made, redact, max_bytes)
    assert not result.failed
    assert len(result.line.encode()) <= max_bytes
    parsed = json.loads(result.line, parse_constant=pytest.fail)
    assert parsed["id"] == made.id
    assert "\n" not in result.line
    assert KEY not in result.line + str(result.metadata)
    assert all(len(value.encode()) <= 1024 for value in result.metadata.values())


# Sampling


def ids(process: int) -> list[str]:
    return [f"{process:016x}{number:08x}" for number in range(2000)]


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("process", [0, 0x0123456789ABCDEF, 2**64 - 1])
def test_the_share_of_calls_that_are_logged_is_the_ratio(ratio: float, process: int) -> None:
    share = sum(is_sampled(record(id=one), ratio) for one in ids(process)) / 2000
    assert share == pytest.approx(ratio, abs=0.03)


def test_a_call_that_failed_is_always_logged() -> None:
    assert all(is_sampled(record(id=one, error_type="rate_limit"), 0.0) for one in ids(7)[:100])

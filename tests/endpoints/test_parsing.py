"""The data read from a body, in every form that servers send."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitored_openai import Usage
from monitored_openai._endpoints.base import ParsedResponse, count, dictionary, parse_body, text
from monitored_openai._endpoints.chat import CHAT
from monitored_openai._endpoints.completions import COMPLETIONS

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
GOOD: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "service_tier": "default",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "fine"}}],
    "usage": USAGE,
}


def read(**fields: Any) -> ParsedResponse:
    """The answer in a good body with these fields instead."""
    return parse_body(CHAT, json.dumps(GOOD | fields).encode())


@pytest.mark.parametrize(
    ("reported", "counted"),
    [
        (0, 0),
        (7, 7),
        (10**9, 10**9),
        (7.0, 7),
        (10**9 + 1, None),
        (10**18, None),
        (10**30, None),
        (1e300, None),
        (-1, None),
        (-0.5, None),
        (7.5, None),
        (float("inf"), None),
        (float("nan"), None),
        (True, None),
        (False, None),
        ("7", None),
        ("", None),
        (None, None),
        ([], None),
        ([7], None),
        ({}, None),
    ],
    ids=repr,
)
def test_a_count_is_a_whole_number_of_at_most_10_9_or_unknown(reported: Any, counted: int | None) -> None:
    assert count(reported) == counted
    assert type(count(reported)) is (int if counted is not None else type(None))


@given(st.integers() | st.floats() | st.text() | st.booleans() | st.none())
def test_a_count_is_never_a_guess(reported: Any) -> None:
    counted = count(reported)
    assert counted is None or (counted == reported and 0 <= counted <= 10**9 and not isinstance(reported, bool))


@pytest.mark.parametrize(
    ("total", "output"),
    [(135, 103), (41, 9), (None, 9)],
    ids=["beside the output", "part of it", "not told"],
)
def test_reasoning_that_is_told_beside_the_output_is_output_too(total: int | None, output: int) -> None:
    details = {"reasoning_tokens": 94}
    usage = {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": total, "completion_tokens_details": details}
    found = read(usage=usage).usage
    assert found is not None
    assert (found.input_tokens, found.output_tokens, found.output_reasoning_tokens) == (32, output, 94)


@pytest.mark.parametrize("value", [None, "", 7, [], {}, b"x"], ids=repr)
def test_what_is_no_text_is_none(value: Any) -> None:
    assert text(value) is None


@pytest.mark.parametrize("value", [None, "x", 7, [], [{}]], ids=repr)
def test_what_is_no_dictionary_is_an_empty_one(value: Any) -> None:
    assert dictionary(value) == {}


def test_a_good_body_is_read_whole() -> None:
    assert read() == ParsedResponse(
        model="gpt-4o-2024-08-06",
        id="chatcmpl-1",
        service_tier="default",
        finish_reasons=("stop",),
        usage=Usage(input_tokens=5, output_tokens=2),
        reported_usage=USAGE,
        body=GOOD,
    )


def test_the_parts_of_the_usage_are_read_each_for_itself() -> None:
    answer = read(
        usage=USAGE
        | {
            "prompt_tokens_details": {
                "cached_tokens": 4,
                "audio_tokens": None,
                "cache_write_tokens": 1,
            },
            "completion_tokens_details": {
                "reasoning_tokens": 1,
                "audio_tokens": None,
                "accepted_prediction_tokens": 0,
            },
        }
    )
    assert answer.usage == Usage(
        input_tokens=5,
        output_tokens=2,
        input_cached_tokens=4,
        input_cache_write_tokens=1,
        output_reasoning_tokens=1,
        output_accepted_prediction_tokens=0,
    )


@pytest.mark.parametrize(
    ("usage", "reason"),
    [
        (None, "not_reported"),
        ({}, "invalid"),
        ([], "invalid"),
        ("7", "invalid"),
        (7, "invalid"),
        ({"prompt_tokens": None, "completion_tokens": None}, "invalid"),
        ({"prompt_tokens": -1, "completion_tokens": "2"}, "invalid"),
        ({"prompt_tokens": 10**18, "completion_tokens": True}, "invalid"),
    ],
    ids=repr,
)
def test_a_usage_without_a_count_is_unknown_for_a_reason(usage: Any, reason: str) -> None:
    answer = read(usage=usage)
    assert (answer.usage, answer.usage_unknown) == (None, reason)
    assert answer.model == "gpt-4o-2024-08-06"


@pytest.mark.parametrize("details", [None, [], "x", 7, {"cached_tokens": None}], ids=repr)
def test_odd_details_leave_the_counts_as_they_are(details: Any) -> None:
    answer = read(usage=USAGE | {"prompt_tokens_details": details, "completion_tokens_details": details})
    assert answer.usage == Usage(input_tokens=5, output_tokens=2)


@pytest.mark.parametrize(
    ("choices", "reasons"),
    [
        (None, ()),
        ([], ()),
        ([None, 7, "x", []], ()),
        ({}, ()),
        ([{"finish_reason": None}], ()),
        ([{"finish_reason": 7}], ()),
        ([{"finish_reason": "stop"}, {"finish_reason": "length"}], ("stop", "length")),
        ([{"finish_reason": "what_else", "message": None}], ("what_else",)),
    ],
    ids=repr,
)
def test_odd_choices_cost_no_usage(choices: Any, reasons: tuple[str, ...]) -> None:
    answer = read(choices=choices)
    assert answer.finish_reasons == reasons
    assert answer.usage == Usage(input_tokens=5, output_tokens=2)


@pytest.mark.parametrize("field", ["id", "model", "service_tier"])
@pytest.mark.parametrize("value", [None, "", 7, [], {}], ids=repr)
def test_a_field_that_is_no_text_is_unknown(field: str, value: Any) -> None:
    assert getattr(read(**{field: value}), field) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Bad gateway</body></html>",
        b'{"id": "chatcmpl-',
        b"[]",
        b"7",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b"[" * 5000,
    ],
    ids=lambda body: body[:8],
)
def test_what_is_no_answer_is_kept_as_text_with_its_usage_unknown(body: bytes) -> None:
    answer = parse_body(CHAT, body)
    assert (answer.usage, answer.usage_unknown, answer.model) == (None, "invalid_body", None)
    assert isinstance(answer.body, str)


@pytest.mark.parametrize("body", [{"data": GOOD, "success": True}, {"error": {"message": "no", "code": 1}}])
def test_another_servers_envelope_is_kept_with_its_usage_unknown(body: dict[str, Any]) -> None:
    answer = parse_body(CHAT, json.dumps(body).encode())
    assert (answer.body, answer.usage, answer.usage_unknown) == (body, None, "not_reported")


def test_lone_surrogates_and_ten_megabytes_are_read() -> None:
    message = {"role": "assistant", "content": "\ud800" + "x" * 10_000_000}
    answer = read(choices=[{"index": 0, "message": message, "finish_reason": "stop"}])
    assert answer.usage == Usage(input_tokens=5, output_tokens=2)
    assert isinstance(answer.body, dict)
    assert answer.body["choices"][0]["message"] == message


# Streams that the caller read as bytes


def chunk(content: str | None = None, **fields: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    choices = [{"index": 0, "delta": delta, "finish_reason": None}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o",
        "choices": choices,
        **fields,
    }


def sse(*events: Any, end: bytes = b"\n\n") -> bytes:
    return b"".join(b"data: " + (e if isinstance(e, bytes) else json.dumps(e).encode()) + end for e in events)


USAGE_ONLY = chunk(choices=[], usage=USAGE)
LAST = chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])


def content_of(answer: ParsedResponse) -> Any:
    assert isinstance(answer.body, dict)
    return answer.body["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    "body",
    [
        sse(chunk("he"), chunk("llo"), LAST, USAGE_ONLY, b"[DONE]"),
        sse(chunk("he"), chunk("llo"), LAST, USAGE_ONLY),
        sse(chunk("he"), chunk("llo"), LAST, USAGE_ONLY, b"[DONE]", end=b"\r\n\r\n"),
        b": keep-alive\n\n" + sse(chunk("he"), chunk("llo"), LAST, USAGE_ONLY),
        b"\n\nevent: message\nid: 7\nretry: 1\n" + sse(chunk("he"), chunk("llo"), LAST, USAGE_ONLY),
        sse(
            chunk("he", usage={"prompt_tokens": 1, "completion_tokens": 1}), chunk("llo", usage=None), LAST, USAGE_ONLY
        ),
        sse(chunk("he"), b'{"torn": ', chunk("llo"), b"7", LAST, USAGE_ONLY),
        sse(chunk("he"), chunk("llo"), LAST, chunk(usage=USAGE)),
        sse(chunk("he"), chunk(choices=None), chunk(choices=[None]), chunk("llo"), LAST, USAGE_ONLY),
        sse(chunk("he"), chunk(choices=[{"index": 0, "delta": None}]), chunk("llo"), LAST, USAGE_ONLY),
        sse(
            chunk("he"),
            {"error": {"message": "x"}},
            {"self": 1, "cls": 2, "_fields_set": 3},
            chunk("llo"),
            LAST,
            USAGE_ONLY,
        ),
    ],
    ids=[
        "whole",
        "no done",
        "crlf",
        "comment",
        "fields",
        "usage thrice",
        "torn",
        "usage with choice",
        "null",
        "no delta",
        "odd",
    ],
)
def test_a_stream_of_events_is_put_together(body: bytes) -> None:
    answer = parse_body(CHAT, body)
    assert (answer.usage, content_of(answer)) == (Usage(input_tokens=5, output_tokens=2), "hello")
    assert (answer.finish_reasons, answer.model, answer.id) == (("stop",), "gpt-4o", "chatcmpl-1")


def test_of_a_stream_that_broke_off_the_beginning_is_known() -> None:
    answer = parse_body(CHAT, sse(chunk("he"), chunk("llo"))[:-30])
    assert (answer.usage, answer.usage_unknown, content_of(answer)) == (None, "not_reported", "he")


def test_a_legacy_stream_is_put_together() -> None:
    events = [
        {"id": "cmpl-1", "model": "m", "choices": [{"index": index, "text": part, "finish_reason": None}]}
        for index, part in ((0, "a"), (1, "x"), (0, "b"), (1, "y"))
    ]
    answer = parse_body(COMPLETIONS, sse(*events, {"id": "cmpl-1", "model": "m", "choices": [], "usage": USAGE}))
    assert answer.usage == Usage(input_tokens=5, output_tokens=2)
    assert isinstance(answer.body, dict)
    assert [choice["text"] for choice in answer.body["choices"]] == ["ab", "xy"]


@given(st.binary(max_size=200) | st.binary(max_size=100).map(gzip.compress))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_as_something(body: bytes) -> None:
    assert isinstance(parse_body(CHAT, body), ParsedResponse)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "message", "delta", "index"]), part)
    ),
    max_leaves=12,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(GOOD, JSON)))
@settings(max_examples=200, deadline=None)
def test_a_body_of_the_right_names_and_any_values_is_read(body: dict[str, Any]) -> None:
    answer = parse_body(CHAT, json.dumps(body).encode())
    assert answer.usage is not None or answer.usage_unknown is not None


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(GOOD, JSON)), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_events_of_the_right_names_and_any_values_are_read(events: list[dict[str, Any]]) -> None:
    assert isinstance(parse_body(CHAT, sse(*events)), ParsedResponse)

"""The data read from responses and from the events of their streams, in every form that servers send."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import ResponseTextDeltaEvent

from monitored_openai import Usage
from monitored_openai._calls.error_types import error_type_of_code
from monitored_openai._calls.pending_usage import MOST, PendingUsage
from monitored_openai._endpoints.base import ParsedResponse, parse_body
from monitored_openai._endpoints.registry import ENDPOINTS, endpoint_of
from monitored_openai._endpoints.response_stream import ResponseAccumulator
from monitored_openai._endpoints.responses import COMPACT, RESPONSES

GOOD: dict[str, Any] = {
    "id": "resp_1",
    "model": "gpt-4o-2024-08-06",
    "status": "completed",
    "service_tier": "default",
    "output": [],
    "usage": {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 14,
    },
}
TOKENS = Usage(
    input_tokens=9,
    input_cached_tokens=4,
    input_cache_write_tokens=1,
    output_tokens=5,
    output_reasoning_tokens=3,
)


def read(**fields: Any) -> ParsedResponse:
    return parse_body(RESPONSES, json.dumps(GOOD | fields).encode())


def test_a_good_response_is_read_whole() -> None:
    assert read() == ParsedResponse(
        model="gpt-4o-2024-08-06",
        id="resp_1",
        service_tier="default",
        finish_reasons=("completed",),
        usage=TOKENS,
        reported_usage=GOOD["usage"],
        body=GOOD,
    )


@pytest.mark.parametrize(
    ("fields", "unknown", "finished"),
    [
        ({"usage": None}, "not_reported", True),
        ({"usage": {"input_tokens": -1}}, "invalid", True),
        ({"usage": None, "status": "queued", "background": True}, "background", False),
        ({"usage": None, "status": "in_progress", "background": True}, "background", False),
        ({"usage": None, "status": "in_progress"}, "not_reported", False),
        ({"usage": None, "status": "cancelled", "background": True}, "not_reported", True),
        ({"usage": None, "status": ["odd"], "background": "yes"}, "not_reported", True),
    ],
)
def test_why_the_usage_is_unknown(fields: dict[str, Any], unknown: str, finished: bool) -> None:
    answer = read(**fields)
    assert (answer.usage, answer.usage_unknown, answer.finished) == (None, unknown, finished)


def test_why_it_is_incomplete_is_the_reason_that_it_ended() -> None:
    assert read(status="incomplete", incomplete_details={"reason": "max_output_tokens"}).finish_reasons == (
        "max_output_tokens",
    )
    assert read(status="incomplete", incomplete_details=7).finish_reasons == ("incomplete",)
    assert read(status=None).finish_reasons == ()


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"status": "failed", "error": {"code": "server_error", "message": "no"}}, "server_error", "no"),
        ({"status": "failed", "error": None}, "failed", None),
        ({"status": "completed", "error": {"code": 7}}, "failed", None),
        ({"error": None}, None, None),
    ],
)
def test_what_went_wrong_inside_a_good_reply(fields: dict[str, Any], code: str | None, message: str | None) -> None:
    answer = read(**fields)
    assert (answer.error_code, answer.error_message) == (code, message)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("server_error", "server_error"),
        ("rate_limit_exceeded", "rate_limit"),
        ("invalid_prompt", "bad_request"),
        ("image_too_large", "bad_request"),
        ("failed_to_download_image", "bad_request"),
        ("image_content_policy_violation", "content_filter"),
        ("vector_store_timeout", "timeout"),
        ("503", "server_error"),
        ("failed", "other"),
        ("what_else", "other"),
    ],
)
def test_the_code_of_a_failed_response_is_one_of_the_words(code: str, word: str) -> None:
    assert error_type_of_code(code) == word


def test_events_read_as_bytes_are_read_as_those_that_the_sdk_makes() -> None:
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "fine"}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": GOOD | {"usage": None, "status": "in_progress"}},
        delta,
    ]
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    answer = parse_body(RESPONSES, body.encode())
    assert isinstance(answer.body, dict)
    assert answer.body["output"] == [{"content": [{"type": "output_text", "text": "fine"}]}]
    assert (answer.id, answer.usage_unknown) == ("resp_1", "not_reported")

    body += f"data: {json.dumps({'type': 'response.completed', 'response': GOOD})}\n\n"
    assert parse_body(RESPONSES, body.encode()).usage == TOKENS


def test_events_out_of_order_or_of_unknown_kind_cost_nothing() -> None:
    chunks = ResponseAccumulator()
    delta = ResponseTextDeltaEvent.construct(
        type="response.output_text.delta", output_index=3, content_index=0, delta="x"
    )
    assert chunks.add(delta) is False
    assert chunks.add(ResponseTextDeltaEvent.construct(type="response.new_kind", response=None)) is False
    assert chunks.add(ResponseTextDeltaEvent.construct(type="response.queued", response={"id": "resp_1"})) is None
    assert chunks.size() == 1
    assert chunks.body() == {"id": "resp_1", "output": [{"content": [{"type": "output_text", "text": "x"}]}]}


@pytest.mark.parametrize("delta", [None, 7, {"text": "x"}, ["x"]])
def test_a_delta_that_is_no_text_costs_neither_the_call_nor_the_rest(delta: Any) -> None:
    chunks = ResponseAccumulator()
    for said in ("a", delta, "b"):
        where: dict[str, Any] = {"output_index": 0, "content_index": 0, "delta": said}
        assert chunks.add(ResponseTextDeltaEvent.construct(type="response.output_text.delta", **where)) is False
    assert chunks.size() >= 2
    text = chunks.body()["output"][0]["content"][0]["text"]
    assert (text[0], text[-1]) == ("a", "b")


def test_a_compacted_response_names_no_model() -> None:
    answer = parse_body(COMPACT, json.dumps({"id": "resp_1", "usage": GOOD["usage"], "output": []}).encode())
    assert (answer.model, answer.usage, COMPACT.returns_model) == (None, TOKENS, False)


@pytest.mark.parametrize(
    ("method", "path", "family"),
    [
        ("post", "/responses", "/responses"),
        ("post", "responses/", "/responses"),
        ("post", "/responses?beta=true", "/responses"),
        ("post", "/responses/compact", "/responses/compact"),
        ("post", "/responses/resp_1/cancel", "/responses/{response_id}/cancel"),
        ("get", "/responses/resp_1", "/responses/{response_id}"),
        ("get", "/responses", None),
        ("get", "/responses/resp_1/input_items", None),
        ("post", "/responses/input_tokens", None),
        ("post", "/chat/completions/chatcmpl-1", None),
        ("get", 7, None),
    ],
)
def test_the_path_says_which_family(method: str, path: Any, family: str | None) -> None:
    found = endpoint_of(method, path)
    assert (found.path if found else None) == family


def test_no_two_families_are_the_same() -> None:
    assert len({(family.method, family.path) for family in ENDPOINTS}) == len(ENDPOINTS)


def test_what_is_owed_is_settled_once_and_no_more_than_so_many_are_remembered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pending = PendingUsage()
    for number in range(MOST + 1):
        pending.add("api.test", f"resp_{number}", {"service_tier": str(number)})
    assert "10000 responses wait for their usage" in caplog.text
    assert pending.resolve("api.test", "resp_0") is None
    assert pending.resolve("other.test", "resp_1") is None
    assert pending.resolve("api.test", "resp_1") == {"service_tier": "1"}
    assert pending.resolve("api.test", "resp_1") is None
    pending.clear()
    assert pending.resolve("api.test", "resp_2") is None

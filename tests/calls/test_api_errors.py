"""An error keeps what the API says of it: a specific type, its code, type and param, whatever server sends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import openai
import pytest

from monitored_openai import CallRecord, MonitoredOpenAI
from monitored_openai._calls.api_errors import parse_error
from tests.support.handles import MANUAL, ask, handle, http
from tests.support.servers.loki import FakeLoki

TOLD = "PROMPT-TEXT"


def openai_error(code: str | None, kind: str | None = "invalid_request_error", param: str | None = None) -> Any:
    return {"error": {"message": TOLD, "type": kind, "param": param, "code": code}}


AZURE_FILTER = {
    "error": {
        "message": TOLD,
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"violence": {"filtered": True, "severity": "medium"}},
        },
    }
}
GEMINI_KEY = [
    {
        "error": {
            "code": 400,
            "message": TOLD,
            "status": "INVALID_ARGUMENT",
            "details": [
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "g"},
                {"@type": "type.googleapis.com/google.rpc.LocalizedMessage", "message": TOLD},
            ],
        }
    }
]
ROUTED = {
    "error": {
        "message": "Provider returned error",
        "code": 400,
        "metadata": {"provider_name": "OpenAI", "raw": json.dumps(openai_error("context_length_exceeded"))},
    }
}
MODERATED = {
    "error": {
        "message": TOLD,
        "code": 403,
        "metadata": {"reasons": ["violence"], "flagged_input": TOLD, "provider_name": "OpenAI"},
    }
}
VLLM = {"object": "error", "message": TOLD, "type": "NotFoundError", "param": "model", "code": 404}
CASES: list[Any] = [
    pytest.param(
        *(429, openai_error("insufficient_quota", "insufficient_quota"), "insufficient_quota"),
        {"code": "insufficient_quota", "type": "insufficient_quota"},
        id="openai-quota",
    ),
    pytest.param(
        *(429, openai_error("rate_limit_exceeded", "tokens"), "rate_limit"),
        {"code": "rate_limit_exceeded", "type": "tokens"},
        id="openai-rate-limit",
    ),
    pytest.param(
        *(400, openai_error("context_length_exceeded", param="messages"), "context_length_exceeded"),
        {"code": "context_length_exceeded", "type": "invalid_request_error", "param": "messages"},
        id="openai-context",
    ),
    pytest.param(
        *(404, openai_error("model_not_found"), "model_not_found"),
        {"code": "model_not_found", "type": "invalid_request_error"},
        id="openai-model",
    ),
    pytest.param(
        *(401, openai_error("invalid_api_key"), "invalid_api_key"),
        {"code": "invalid_api_key", "type": "invalid_request_error"},
        id="openai-key",
    ),
    pytest.param(
        *(400, openai_error("moderation_blocked", "image_generation_user_error"), "content_filter"),
        {"code": "moderation_blocked", "type": "image_generation_user_error"},
        id="openai-image",
    ),
    pytest.param(
        *(400, openai_error(None, param="messages.[0].content"), "bad_request"),
        {"type": "invalid_request_error", "param": "messages.[0].content"},
        id="openai-other-400",
    ),
    pytest.param(401, openai_error(None), "authentication", {"type": "invalid_request_error"}, id="openai-other-401"),
    pytest.param(
        *(400, AZURE_FILTER, "content_filter"),
        {"code": "content_filter", "param": "prompt", "reason": "ResponsibleAIPolicyViolation"},
        id="azure-filter",
    ),
    pytest.param(
        *(404, {"error": {"code": "DeploymentNotFound", "message": TOLD}}, "model_not_found"),
        {"code": "DeploymentNotFound"},
        id="azure-deployment",
    ),
    pytest.param(
        *(402, openai_error("invalid_request_error", "unknown_error"), "insufficient_quota"),
        {"code": "invalid_request_error", "type": "unknown_error"},
        id="deepseek-balance",
    ),
    pytest.param(
        402, {"error": {"message": TOLD, "code": 402}}, "insufficient_quota", {"code": "402"}, id="openrouter-credits"
    ),
    pytest.param(
        *(400, ROUTED, "context_length_exceeded"),
        {"code": "400", "reason": "context_length_exceeded"},
        id="openrouter-routed",
    ),
    pytest.param(403, MODERATED, "content_filter", {"code": "403"}, id="openrouter-moderation"),
    pytest.param(
        *(400, GEMINI_KEY, "invalid_api_key"),
        {"code": "400", "type": "INVALID_ARGUMENT", "reason": "API_KEY_INVALID"},
        id="gemini-key",
    ),
    pytest.param(
        *(404, VLLM, "model_not_found"),
        {"code": "404", "type": "NotFoundError", "param": "model"},
        id="vllm-model",
    ),
    pytest.param(
        *(400, {"object": "error", "message": TOLD, "type": "invalid_model", "param": None, "code": "1500"}),
        *("model_not_found", {"code": "1500", "type": "invalid_model"}),
        id="mistral-model",
    ),
    pytest.param(
        *(429, {"error": {"message": TOLD, "type": "exceeded_current_quota_error"}}, "insufficient_quota"),
        {"type": "exceeded_current_quota_error"},
        id="moonshot-quota",
    ),
    pytest.param(
        *(400, {"error": {"message": TOLD, "type": "budget_exceeded", "param": "None", "code": "400"}}),
        *("insufficient_quota", {"code": "400", "type": "budget_exceeded"}),
        id="litellm-budget",
    ),
    pytest.param(403, {"code": "Some sentence", "error": TOLD}, "permission_denied", {}, id="xai"),
    pytest.param(422, {"detail": [{"loc": ["body"], "msg": TOLD}]}, "unprocessable_entity", {}, id="fastapi"),
    pytest.param(502, "<html>bad gateway</html>", "server_error", {}, id="html"),
    pytest.param(500, "", "server_error", {}, id="empty"),
    pytest.param(400, [], "bad_request", {}, id="empty-list"),
    pytest.param(400, [["x"], 1], "bad_request", {}, id="odd-list"),
    pytest.param(
        400, {"error": {"code": ["x"], "type": 1.5, "param": {"a": 1}, "details": 3}}, "bad_request", {}, id="odd"
    ),
    pytest.param(400, openai_error("A" * 65, "a b", TOLD), "bad_request", {}, id="no-identifiers"),
]


RECORDS: list[CallRecord] = []


def keep(record: CallRecord) -> None:
    RECORDS.append(record)


def recorded(reply: Callable[[Any], Any], work: Callable[[openai.OpenAI], Any], **settings: Any) -> CallRecord:
    """The record of one call, answered by this transport."""
    RECORDS.clear()
    with (
        handle(on_record=keep, **MANUAL, **settings) as monitoring,
        http.Client(transport=http.MockTransport(reply)) as http_client,
        MonitoredOpenAI(
            base_url="http://api.test/v1",
            api_key="sk-test",
            http_client=http_client,
            max_retries=0,
            monitoring=monitoring,
        ) as made,
    ):
        with suppress(openai.OpenAIError):
            work(made)
        assert monitoring.flush(20).complete
    (record,) = RECORDS
    return record


def fails(status: int, body: Any) -> Callable[[Any], Any]:
    content = body if isinstance(body, str) else json.dumps(body)
    return lambda _request: http.Response(status, content=content.encode())


def streams(*events: Any) -> Callable[[Any], Any]:
    content = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    headers = {"content-type": "text/event-stream"}
    return lambda _request: http.Response(200, content=content.encode(), headers=headers)


@pytest.mark.parametrize("content", [True, False], ids=["content", "no-content"])
@pytest.mark.parametrize(("status", "body", "kind", "fields"), CASES)
def test_an_error_status_tells_type_and_fields_of_the_error(
    status: int, body: Any, kind: str, fields: dict[str, str], content: bool
) -> None:
    record = recorded(fails(status, body), ask, capture_content=content)
    assert (record.error_type, record.api_error, record.http_status) == (kind, fields, status)
    assert content or TOLD not in repr(record)


def test_the_body_of_an_error_is_the_response_of_the_record() -> None:
    assert recorded(fails(400, AZURE_FILTER), ask).response == AZURE_FILTER
    assert recorded(fails(400, GEMINI_KEY), ask).response == GEMINI_KEY[0]
    assert recorded(fails(502, "<html>"), ask).response == "<html>"
    assert recorded(fails(400, AZURE_FILTER), ask, capture_content=False).response is None


CHUNK = {
    "id": "c1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "gpt-4o",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": "An"}, "finish_reason": None}],
}
FAILED_CHOICE = {"index": 0, "message": {"role": "assistant", "content": "An"}, "finish_reason": "error"}
QUOTA = openai_error("insufficient_quota", "insufficient_quota")
QUOTA_FIELDS = {"code": "insufficient_quota", "type": "insufficient_quota"}


def read(client: openai.OpenAI) -> None:
    for _ in ask(client, stream=True):
        pass


def respond(client: openai.OpenAI) -> None:
    client.responses.create(model="gpt-4o", input="hello")


def read_responses(client: openai.OpenAI) -> None:
    for _ in client.responses.create(model="gpt-4o", input="hello", stream=True):
        pass


FAILED = {"id": "r1", "object": "response", "status": "failed", "model": "gpt-4o", "output": [], "created_at": 1}
EVENT = {"type": "error", "code": "context_length_exceeded", "message": TOLD, "param": "input", "sequence_number": 1}


@pytest.mark.parametrize("content", [True, False], ids=["content", "no-content"])
@pytest.mark.parametrize(
    ("reply", "work", "kind", "fields"),
    [
        pytest.param(streams(CHUNK, QUOTA), read, "insufficient_quota", QUOTA_FIELDS, id="in-a-stream"),
        pytest.param(
            streams(CHUNK, {"error": {"code": 402, "message": TOLD}}),
            *(read, "insufficient_quota", {"code": "402"}),
            id="openrouter-in-a-stream",
        ),
        pytest.param(streams(CHUNK, AZURE_FILTER), read, "content_filter", CASES[8].values[3], id="azure-in-a-stream"),
        pytest.param(
            streams(EVENT),
            *(read_responses, "context_length_exceeded", {"code": "context_length_exceeded", "param": "input"}),
            id="event-of-responses",
        ),
        pytest.param(
            fails(200, {"error": {"code": 402, "message": TOLD}}),
            *(ask, "insufficient_quota", {"code": "402"}),
            id="openrouter-in-a-good-body",
        ),
        pytest.param(
            fails(200, {**CHUNK, "choices": [{**FAILED_CHOICE, "error": {"code": 502, "message": TOLD}}]}),
            *(ask, "server_error", {"code": "502"}),
            id="openrouter-in-a-choice",
        ),
        pytest.param(
            fails(200, {**FAILED, "error": {"code": "insufficient_quota", "message": TOLD}}),
            *(respond, "insufficient_quota", {"code": "insufficient_quota"}),
            id="failed-response",
        ),
        pytest.param(
            fails(200, {**FAILED, "error": {"code": "server_error", "message": TOLD}}),
            *(respond, "server_error", {"code": "server_error"}),
            id="failed-response-of-the-server",
        ),
    ],
)
def test_an_error_inside_a_good_response_tells_the_same(
    reply: Callable[[Any], Any], work: Callable[[openai.OpenAI], Any], kind: str, fields: dict[str, str], content: bool
) -> None:
    record = recorded(reply, work, capture_content=content)
    assert (record.error_type, record.api_error, record.http_status) == (kind, fields, 200)
    assert content or TOLD not in repr(record)


def test_a_stream_that_ends_with_an_error_keeps_its_text_and_the_error() -> None:
    response: Any = recorded(streams(CHUNK, QUOTA), read).response
    assert response["choices"][0]["message"]["content"] == "An"
    assert response["error"] == QUOTA["error"]


def test_an_error_reaches_the_line_and_the_metadata_of_its_entry(loki: FakeLoki) -> None:
    recorded(fails(429, QUOTA), ask, capture_content=False, logs_url=loki.push_url)
    (entry,) = loki.entries
    assert json.loads(entry.line)["api_error"] == QUOTA_FIELDS
    metadata = dict(entry.metadata)
    assert (metadata["error_type"], metadata["openai_error_code"]) == ("insufficient_quota", "insufficient_quota")


def test_a_call_that_lost_its_content_in_the_queue_keeps_the_error() -> None:
    padded = {"error": {**AZURE_FILTER["error"], "message": TOLD * 200}}
    record = recorded(fails(400, padded), ask, queue_bytes=1024, max_content_bytes=1024)
    assert (record.content_captured, record.response) == (False, None)
    assert (record.error_type, record.api_error["reason"]) == ("content_filter", "ResponsibleAIPolicyViolation")


def test_a_user_error_with_the_code_of_an_api_is_no_error_of_the_api() -> None:
    """A timeout stays one, whatever an earlier event says."""

    def late(_request: Any) -> Any:
        raise http.ReadTimeout("late")

    record = recorded(late, ask)
    assert (record.error_type, record.api_error) == ("timeout", {})


def test_a_body_too_large_for_an_error_is_not_read() -> None:
    padded = json.dumps({"error": {"code": "insufficient_quota", "message": "x" * 70_000}}).encode()
    assert parse_error(padded, 429).specific_type is None

"""Replies that break the API's rules: they reach the caller as on the bare SDK, and the known facts are recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.conformance._odd import CHOICE, USAGE, Odd, assert_known, cases, play
from tests.conformance._stage import Stage
from tests.support.servers.openai_api import Behaviour


def usage(value: Any, tokens: tuple[int | None, int | None] | str) -> Odd:
    return Odd(behaviour=Behaviour(patch={"usage": value}), tokens=tokens)


def counts(given: Any, made: Any, tokens: tuple[int | None, int | None] | str, **more: Any) -> Odd:
    total = given + made if isinstance(tokens, tuple) else 1
    return usage({"prompt_tokens": given, "completion_tokens": made, "total_tokens": total, **more}, tokens)


def patch(**fields: Any) -> Odd:
    return Odd(behaviour=Behaviour(patch=fields))


def message(**fields: Any) -> Odd:
    return Odd(behaviour=Behaviour(message=fields))


def whole(body: str | bytes, tokens: str = "invalid_body", content_type: str = "application/json") -> Odd:
    return Odd(behaviour=Behaviour(body=body, content_type=content_type), tokens=tokens, model=None)


NESTED = "[" * 100_000 + "]" * 100_000

PLAIN: Mapping[str, Odd] = {
    "usage-null": usage(None, "not_reported"),
    "usage-empty": usage({}, "invalid"),
    "usage-text": usage("many", "invalid"),
    "usage-list": usage([1, 2], "invalid"),
    "usage-missing": Odd(behaviour=Behaviour(omit=("usage",)), tokens="not_reported"),
    "counts-null": counts(None, None, "invalid"),
    "counts-negative": counts(-5, -7, "invalid"),
    "counts-fractions": counts(1.5, 2.5, "invalid"),
    "counts-texts": counts("5", "7", "invalid"),
    "counts-true": counts(True, True, "invalid"),
    "counts-beyond-exact": counts(2**53 + 1, 2**60, "invalid"),
    "counts-whole-floats": counts(5.0, 7.0, (5, 7)),
    "counts-zero": usage({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, "zero_usage"),
    "counts-other-total": counts(5, 7, "total_mismatch"),
    "one-count-odd": counts(5, -7, "invalid"),
    "one-count-missing": usage({"completion_tokens": 7}, (None, 7)),
    "details-null": counts(5, 7, (5, 7), prompt_tokens_details=None, completion_tokens_details=None),
    "details-text": counts(5, 7, (5, 7), prompt_tokens_details="few", completion_tokens_details=[1]),
    "details-odd": counts(5, 7, "invalid", prompt_tokens_details={"cached_tokens": "x", "audio_tokens": -1}),
    "choices-missing": Odd(behaviour=Behaviour(omit=("choices",))),
    "choices-null": patch(choices=None),
    "choices-empty": patch(choices=[]),
    "choices-of-null": patch(choices=[None]),
    "choices-text": patch(choices="none"),
    "choices-object": patch(choices={"0": CHOICE}),
    "choice-empty": patch(choices=[{}]),
    "message-null": patch(choices=[{**CHOICE, "message": None}]),
    "message-text": patch(choices=[{**CHOICE, "message": "hi"}]),
    "index-same": patch(choices=[CHOICE, CHOICE]),
    "index-null": patch(choices=[{**CHOICE, "index": None}]),
    "finish-null": patch(choices=[{**CHOICE, "finish_reason": None}]),
    "finish-unknown": patch(choices=[{**CHOICE, "finish_reason": "tired"}]),
    "finish-number": patch(choices=[{**CHOICE, "finish_reason": 7}]),
    "content-null": message(content=None),
    "content-list": message(content=[{"type": "text", "text": "hi"}]),
    "content-number": message(content=7),
    "content-nul": message(content="a\0b"),
    "content-surrogate": message(content="a\ud800b"),
    "content-large": message(content="x" * 10_000_000),
    "tool-calls-null": message(tool_calls=None),
    "tool-calls-empty": message(tool_calls=[]),
    "tool-arguments-no-json": message(
        tool_calls=[{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{oops"}}]
    ),
    "tool-unknown": message(tool_calls=[{"id": "1", "type": "robot"}]),
    "logprobs": patch(choices=[{**CHOICE, "logprobs": {"content": [{"token": "hi", "logprob": -0.1}]}}]),
    "model-missing": Odd(behaviour=Behaviour(omit=("model",)), model=None),
    "model-null": replace(patch(model=None), model=None),
    "model-empty": replace(patch(model=""), model=None),
    "model-number": replace(patch(model=4), model=None),
    "model-other": replace(patch(model="other"), model="other"),
    "model-long": replace(patch(model="m" * 1000), model="m" * 1000),
    "id-missing": Odd(behaviour=Behaviour(omit=("id",))),
    "created-text": patch(created="today"),
    "tier-number": patch(service_tier=3),
    "more-fields": patch(x_more={"a": [1, {"b": None}]}, citations=["u"]),
    "envelope": whole(json.dumps({"success": True, "data": {"choices": [CHOICE], "usage": USAGE}}), "not_reported"),
    "json-text": whole('"hello"'),
    "json-number": whole("7"),
    "json-null": whole("null"),
    "json-list": whole("[]"),
    "html": whole("<html>busy</html>", content_type="text/html"),
    "plain-text": whole("busy", content_type="text/plain"),
    "bytes-no-text": whole(b"\xff\xfe\x00", content_type="application/octet-stream"),
    "bom": whole(b"\xef\xbb\xbf{}", "not_reported", content_type="text/plain"),
    "nested": whole(NESTED, content_type="text/plain"),
    "nan": Odd(behaviour=Behaviour(body=b'{"usage": {"prompt_tokens": NaN}}'), tokens="invalid", model=None),
}
EMPTY: Mapping[str, Odd] = {"empty-text": whole("", content_type="text/plain")}
RAISING: Mapping[str, Odd] = {
    "empty": whole("", "invalid_response"),
    "torn": whole('{"id": "1", "cho', "invalid_response"),
    "no-utf-8": whole(b'{"id": "\xff\xfe"}', "invalid_response"),
}
"""The SDK itself raises for these."""


@pytest.mark.parametrize(
    ("odd", "name", "is_async"), [*cases(PLAIN, "create", "raw", "body"), *cases(EMPTY, "create", "raw")]
)
def test_an_odd_reply_reaches_the_caller_and_is_recorded(stage: Stage, odd: Odd, name: str, is_async: bool) -> None:
    record = play(stage, odd, name, is_async)

    assert record.error_type is None
    assert_known(stage, odd, record)


@pytest.mark.parametrize("path", ["create", "raw", "legacy"])
@pytest.mark.parametrize(
    ("error", "word"),
    [
        ({"message": "no", "code": 429}, "rate_limit"),
        ({"message": "no", "code": "content_filter"}, "content_filter"),
        ({"message": "no", "type": "invalid_request_error"}, "bad_request"),
        ({"message": "no"}, "other"),
    ],
)
def test_an_error_in_a_body_with_a_good_status_is_an_error(
    stage: Stage, path: str, error: dict[str, Any], word: str
) -> None:
    record = play(stage, whole(json.dumps({"error": error}), word), path, False)

    assert (record.error_type, record.error_message, record.http_status) == (word, "no", 200)
    assert (record.usage, record.usage_unknown) == (None, word)


@pytest.mark.parametrize(("odd", "name", "is_async"), list(cases(RAISING, "create")))
def test_a_reply_that_is_none_is_recorded_as_invalid(stage: Stage, odd: Odd, name: str, is_async: bool) -> None:
    record = play(stage, odd, name, is_async)

    assert record.error_type == "invalid_response"
    assert_known(stage, odd, record)

"""Each failure of a call has one error type of a closed set, chosen by status, exception class or error body."""

from __future__ import annotations

import asyncio
import json
import socket
from functools import cache
from typing import Any, get_args

import openai
import pydantic
import pytest

from monitored_openai._calls.error_types import error_type, status_of
from monitored_openai._record import ErrorType
from tests.support.handles import http

REQUEST = http.Request("POST", "http://api.test/v1/chat/completions")


@cache
def client() -> openai.OpenAI:
    return openai.OpenAI(api_key="sk-test")


def answered(status: int, body: Any = None) -> Exception:
    """The SDK's own error for an answer with this status."""
    response = http.Response(status, json=body if body is not None else {"error": {"message": "no"}}, request=REQUEST)
    error: Exception = client()._make_status_error_from_response(response)
    return error


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "bad_request"),
        (401, "authentication"),
        (403, "permission_denied"),
        (404, "not_found"),
        (408, "timeout"),
        (409, "conflict"),
        (422, "unprocessable_entity"),
        (429, "rate_limit"),
        (500, "server_error"),
        (503, "server_error"),
        (529, "server_error"),
        (402, "insufficient_quota"),
        (418, "other"),
    ],
)
def test_an_error_status_has_its_word(status: int, word: str) -> None:
    error = answered(status)
    assert (error_type(error), status_of(error)) == (word, status)


def of_pydantic() -> Exception:
    with pytest.raises(pydantic.ValidationError) as caught:
        pydantic.TypeAdapter(int).validate_python("x")
    return caught.value


def too_long() -> Exception:
    completion = openai.types.chat.ChatCompletion.model_construct(id="1", choices=[], usage=None)
    return openai.LengthFinishReasonError(completion=completion)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (openai.APITimeoutError(request=REQUEST), "timeout"),
        (openai.APIConnectionError(request=REQUEST), "connection"),
        (openai.APIResponseValidationError(http.Response(200, request=REQUEST), None), "invalid_response"),
        (too_long(), "length_limit"),
        (openai.ContentFilterFinishReasonError(), "content_filter"),
        (http.ReadTimeout("late"), "timeout"),
        (http.ConnectError("no"), "connection"),
        (http.RemoteProtocolError("broken off"), "connection"),
        (http.DecodingError("not gzip"), "invalid_response"),
        (of_pydantic(), "invalid_response"),
        (json.JSONDecodeError("no", "", 0), "invalid_response"),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "no"), "invalid_response"),
        (asyncio.CancelledError(), "cancelled"),
        (KeyboardInterrupt(), "cancelled"),
        (SystemExit(), "cancelled"),
        (GeneratorExit(), "abandoned"),
        (TimeoutError(), "timeout"),
        (ConnectionResetError(), "connection"),
        (socket.gaierror(), "other"),
        (ValueError("what else"), "other"),
        (BaseException(), "other"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_an_exception_without_an_error_status_is_told_by_its_class(error: BaseException, word: str) -> None:
    assert error_type(error) == word


def test_a_subclass_of_the_users_own_counts_as_what_it_is_made_of() -> None:
    class Ours(openai.APITimeoutError):
        pass

    assert error_type(Ours(request=REQUEST)) == "timeout"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"code": "rate_limit_exceeded"}, "rate_limit"),
        ({"code": "insufficient_quota"}, "insufficient_quota"),
        ({"code": None, "type": "server_error"}, "server_error"),
        ({"code": "server_is_overloaded"}, "server_error"),
        ({"type": "overloaded_error"}, "server_error"),
        ({"code": "content_filter"}, "content_filter"),
        ({"type": "invalid_request_error"}, "bad_request"),
        ({"code": 429}, "rate_limit"),
        ({"code": "502"}, "server_error"),
        ({"code": 402}, "insufficient_quota"),
        ({"code": 200}, "other"),
        ({"code": ["rate_limit_exceeded"]}, "other"),
        ({"code": "what"}, "other"),
        (None, "other"),
    ],
    ids=str,
)
def test_an_error_inside_a_stream_is_told_by_its_body(body: Any, word: str) -> None:
    assert error_type(openai.APIError("no", REQUEST, body=body)) == word


@pytest.mark.parametrize("status", [None, True, "429", 429.0])
def test_what_is_no_status_is_none(status: Any) -> None:
    class Odd(Exception):
        status_code = status

    assert status_of(Odd()) is None
    assert error_type(Odd()) == "other"


def test_every_word_that_can_come_out_is_of_the_closed_set() -> None:
    words = {error_type(answered(status)) for status in range(400, 600)}
    assert words < set(get_args(ErrorType))

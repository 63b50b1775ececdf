"""Reads the error in a response's body: the API's code, type and param, and the error type that they reveal.

Reads fields only, never the text of a message, because a server may change it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from monitored_openai._calls.error_types import CODES, SPECIFIC
from monitored_openai._endpoints.base import dictionary
from monitored_openai._json import decode
from monitored_openai._record import ErrorType

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PARAM = re.compile(r"(?=.{1,128}$)[a-z][a-z0-9_]*(?:\.?\[[0-9]{1,6}\]|\.[a-z0-9_]+)*")
"""Matches the path of a field in a request, such as `messages[0].content`. Some servers echo content as `param`."""
_MOST_BYTES = 64 * 1024
"""Limit in bytes for an error that is read; larger bodies are not errors of an API."""
_MOST_DETAILS = 16


@dataclass(frozen=True, slots=True)
class ApiError:
    """The facts in the error of one response."""

    fields: Mapping[str, str]
    """`code`, `type`, `param`, and the `reason` of a nested error, as far as the error has them."""
    specific_type: ErrorType | None
    """The error type that the fields reveal; `None` if they add nothing to the status."""


NO_API_ERROR = ApiError({}, None)


def parse_error(body: object, status: int | None) -> ApiError:
    """Parse the error in a body, given as bytes or as parsed JSON."""
    error = _error_in(body)
    return ApiError(_fields(error), _specific_type(error, status))


def error_body(body: object) -> Mapping[str, Any] | str | None:
    """Return the body of an error as a record contains it: an object, else its text."""
    if not isinstance(body, (bytes, str)):
        return body if isinstance(body, dict) else None
    decoded = _decoded(body)
    if isinstance(decoded, list) and len(decoded) == 1:
        decoded = decoded[0]
    return decoded if isinstance(decoded, dict) else body if isinstance(body, str) else body.decode("utf-8", "replace")


def _error_in(body: object) -> Mapping[str, Any]:
    """Return the error object of a body; an empty mapping if it has none.

    Gemini wraps its error into a list. Some servers have no `error` object: the fields are at the top level.
    """
    if isinstance(body, (bytes, str)):
        body = _decoded(body)
    if isinstance(body, list):
        body = body[0] if body else None
    whole = dictionary(body)
    error = whole.get("error")
    return error if isinstance(error, dict) else whole


def _fields(error: Mapping[str, Any]) -> dict[str, str]:
    kind = error.get("type")
    if kind is None and isinstance(error.get("status"), str):
        kind = error["status"]  # Google
    given = {"code": error.get("code"), "type": kind}
    fields = {name: text for name, value in given.items() if (text := _code(value)) is not None}
    param = error.get("param")
    if isinstance(param, str) and _PARAM.fullmatch(param):
        fields["param"] = param
    reason = next((code for code in _nested_codes(error) if code not in fields.values()), None)
    return fields if reason is None else {**fields, "reason": reason}


def _specific_type(error: Mapping[str, Any], status: int | None) -> ErrorType | None:
    for word in (*map(_code, _codes(error)), *_nested_codes(error)):
        kind = CODES.get(word) if word is not None else None
        if kind in SPECIFIC:
            return kind
    if status == 403 and dictionary(error.get("metadata")).get("reasons"):
        return "content_filter"  # OpenRouter's moderation lists its reasons
    if status == 404 and error.get("param") == "model":
        return "model_not_found"  # vLLM
    return None


def _nested_codes(error: Mapping[str, Any]) -> Iterator[str]:
    """Yield the codes of nested errors: Azure's inner error, Google's details, the error that a router received."""
    metadata = dictionary(error.get("metadata"))
    details = error.get("details")
    nested = [
        dictionary(error.get("innererror")).get("code"),
        *(dictionary(one).get("reason") for one in (details if isinstance(details, list) else ())[:_MOST_DETAILS]),
        *_codes(_error_in(metadata.get("raw"))),
    ]
    yield from (text for value in nested if (text := _code(value)) is not None)


def _codes(error: Mapping[str, Any]) -> tuple[object, ...]:
    return error.get("code"), error.get("type")


def _code(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**9 else None
    if not isinstance(value, str) or value == "None":  # LiteLLM writes Python's `None` as text
        return None
    return value if _CODE.fullmatch(value) else None


def _decoded(body: bytes | str) -> object:
    if len(body) > _MOST_BYTES:
        return None
    try:
        return decode(body.encode() if isinstance(body, str) else body)
    except ValueError:
        return None

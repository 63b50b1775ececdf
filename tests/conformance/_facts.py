"""The state of an object that a caller can see, as plain values that keep no reference to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic
from pydantic import BaseModel

_DUMPS_PARSED = tuple(map(int, pydantic.VERSION.split(".")[:2])) >= (2, 14)
_UNSENT = ("content-length",)
"""Headers that follow from the body, which is compared where the server gets it."""
_BOUNDARY = re.compile(rb"boundary=[0-9a-f]{32}")
"""Of a form with files: made anew for each request."""


def facts(value: Any) -> Any:
    """The facts of anything that the SDK returns or raises."""
    if value is None or isinstance(value, str | bytes | int | float | bool):
        return (type(value).__name__, value)
    if isinstance(value, BaseModel):
        return _model(value)
    if isinstance(value, BaseException):
        return _error(value)
    if isinstance(value, Mapping):
        return (type(value).__name__, [(key, facts(part)) for key, part in value.items()])
    if isinstance(value, list | tuple | set | frozenset):
        return (type(value).__name__, [facts(part) for part in value])
    if hasattr(value, "http_response"):
        return _response(value)
    return (type(value), type(value).__module__)


def _model(model: BaseModel) -> Any:
    to_dict = getattr(model, "to_dict", model.model_dump)
    # The SDK's own parsed models are not quite what their types say, and what holds one has no serializer at first.
    plain = to_dict(warnings=False) if _DUMPS_PARSED or not _holds_parsed(model) else None
    fields = [(name, facts(part)) for name, part in model.__dict__.items()]
    extra = sorted(model.model_extra or ())
    request_id = getattr(model, "_request_id", None)
    return (type(model), plain, sorted(model.model_fields_set), fields, extra, request_id)


def _holds_parsed(model: BaseModel) -> bool:
    return any(type(part).__name__.startswith("Parsed") for part in vars(model).values())


def _error(error: BaseException) -> Any:
    shown = {name: _part(part) for name, part in vars(error).items()}
    chain = [type(error.__cause__), type(error.__context__), error.__suppress_context__]
    return (type(error), type(error).__module__, str(error), repr(error), facts(error.args), shown, chain)


def _part(part: Any) -> Any:
    if hasattr(part, "status_code") and hasattr(part, "headers"):
        content = part.content if part.is_stream_consumed else None
        return (type(part), part.status_code, _headers(part.headers), content, part.is_closed)
    if hasattr(part, "method") and hasattr(part, "url"):
        return (type(part), part.method, str(part.url), _headers(part.headers))
    return facts(part)


def _response(response: Any) -> Any:
    """Of the objects that `with_raw_response` and `with_streaming_response` give."""
    return (
        type(response),
        type(response).__module__,
        response.status_code,
        response.method,
        str(response.url),
        response.http_version,
        response.retries_taken,
        response.request_id,
        response.is_closed,
        _headers(response.headers),
        _headers(response.http_request.headers),
    )


def _headers(headers: Any) -> list[tuple[bytes, bytes]]:
    raw: Iterable[tuple[bytes, bytes]] = headers.raw
    shown = [(name, value) for name, value in raw if name.decode("latin-1").lower() not in _UNSENT]
    return [(name, _BOUNDARY.sub(b"boundary", value)) for name, value in shown]

"""JSON in and out: pydantic's Rust parser and writer, several times as fast as `json`, which takes over where they refuse.

They refuse lone surrogates, which JSON can carry as escapes and Loki answers with a 400 for the whole request.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from monitored_openai._text_forms import enum_value


def decode(text: bytes) -> Any:
    """The value that the JSON stands for.

    Raises:
        ValueError: it is no JSON, or nested too deep.
    """
    try:
        return from_json(text)
    except ValueError:
        try:
            return json.loads(text)
        except RecursionError:
            raise ValueError("nested too deep") from None


def encode(value: Any) -> bytes:
    """Plain data as JSON in UTF-8; lone surrogates become `?`, and numbers must be finite."""
    try:
        return to_json(value)
    except (PydanticSerializationError, ValueError):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def snapshot(value: Any) -> bytes:
    """What the caller may change later, as JSON now: an enum member as its value, any other object without JSON form as
    its `str`.

    Not by pydantic, whose writer would use up an iterator that is the caller's.

    Raises:
        ValueError: it contains itself.
    """
    return json.dumps(value, default=_without_json_form).encode()


def _without_json_form(value: object) -> object:
    inner = enum_value(value)
    return str(value) if inner is value else inner

"""JSON by pydantic's Rust parser and writer, several times as fast as `json`, which handles the input that they reject.

They reject lone surrogates, which JSON can carry as escapes. Loki rejects a whole request that contains one.
"""

from __future__ import annotations

import json
from enum import Enum
from itertools import repeat
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

_MOST_NESTED_ENUMS = 4
"""A member may have a member of another class as its value."""


def decode(text: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: the text is not JSON, or nested too deep.
    """
    try:
        return from_json(text)
    except ValueError:
        try:
            return json.loads(text)
        except RecursionError:
            raise ValueError("nested too deep") from None


def encode(value: Any) -> bytes:
    """Return plain data as JSON in UTF-8; lone surrogates become `?`, and numbers must be finite."""
    try:
        return to_json(value)
    except (PydanticSerializationError, ValueError):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def snapshot(value: Any) -> bytes:
    """Return a value that the caller may change later as JSON: an enum member as its value, an unknown object as its `str`.

    Uses `json`, as pydantic's writer would exhaust the caller's iterators.

    Raises:
        ValueError: the value contains itself.
    """
    return json.dumps(value, default=_without_json_form).encode()


def _without_json_form(value: object) -> object:
    inner = enum_value(value)
    return str(value) if inner is value else inner


def enum_value(value: object) -> Any:
    """Return the value of an enum member, and any other object unchanged; a text member counts as its text."""
    for _ in repeat(None, _MOST_NESTED_ENUMS):
        if isinstance(value, str) or not isinstance(value, Enum):
            break
        value = value.value
    return value

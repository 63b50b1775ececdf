"""Fast JSON: pydantic's parser and writer in Rust, and the standard `json` for input that they reject.

Pydantic rejects lone surrogates, which are legal in JSON as escapes. Loki rejects each request with a lone surrogate.
"""

from __future__ import annotations

import json
from enum import Enum
from itertools import repeat
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

_MOST_NESTED_ENUMS = 4
"""Limit for enum members whose values are enum members themselves."""


def decode(text: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: The text is not JSON, or nested too deep.
    """
    try:
        return from_json(text)
    except ValueError:
        try:
            return json.loads(text)
        except RecursionError:
            raise ValueError("nested too deep") from None


def encode(value: Any) -> bytes:
    """Return plain data as JSON in UTF-8; a lone surrogate becomes `?`. Numbers must be finite."""
    try:
        return to_json(value)
    except (PydanticSerializationError, ValueError):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def snapshot(value: Any) -> bytes:
    """Return the present state of a mutable value as JSON.

    An enum member becomes its value, an unknown object its `str`. Uses `json`, because pydantic's writer would exhaust
    the caller's iterators.

    Raises:
        ValueError: The value contains itself.
    """
    return json.dumps(value, default=_without_json_form).encode()


def _without_json_form(value: object) -> object:
    inner = enum_value(value)
    return str(value) if inner is value else inner


def enum_value(value: object) -> Any:
    """Return the value of an enum member; return any other object, and a member that is also a `str`, unchanged."""
    for _ in repeat(None, _MOST_NESTED_ENUMS):
        if isinstance(value, str) or not isinstance(value, Enum):
            break
        value = value.value
    return value

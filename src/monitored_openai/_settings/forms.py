"""The forms in which a setting may be given: a text, a secret, a list or a mapping."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from pydantic import SecretStr

from monitored_openai._labels import InvalidValue


def plain_text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidValue("must be text")
    return str.__str__(value)  # the value of a text enum member, not its name


def secret_text(value: object) -> str:
    return plain_text(value.get_secret_value() if isinstance(value, SecretStr) else value)


def not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise InvalidValue("must be a number, not true or false")
    return value


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items = dict(pairs)
    if len(items) != len(pairs):
        raise InvalidValue("contains a key twice; write each key once")
    return items


def json_value(text: str, opening: str) -> object:
    """Return the JSON value in ``text`` if it begins with ``opening`` and is JSON, else ``None``."""
    if not text.lstrip().startswith(opening):
        return None
    try:
        return json.loads(text, object_pairs_hook=unique)
    except InvalidValue:
        raise
    except (ValueError, RecursionError):
        return None


def listed(value: object) -> list[str]:
    if isinstance(value, str):
        parsed = json_value(value, "[")
        value = [item.strip() for item in value.split(",")] if parsed is None else parsed
    if not isinstance(value, (list, tuple, AbstractSet)) or not all(isinstance(item, str) for item in value):
        raise InvalidValue("must be a list of texts; in the environment write a,b or a JSON list")
    return list(value)


def mapped(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        parsed = json_value(value, "{")
        pairs = [item.partition("=") for item in value.split(",")]
        if parsed is None and all(equals for _, equals, _ in pairs):
            parsed = unique([(key.strip(), item.strip()) for key, _, item in pairs])
        value = parsed
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidValue("must be a mapping with texts as keys; in the environment write k=v,k=v or a JSON object")
    return dict(value)

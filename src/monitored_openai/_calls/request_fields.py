"""What a request itself tells the API of whom and what it is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitored_openai._text_forms import enum_value, text_sent

TEXTS = ("user", "safety_identifier", "prompt_cache_key")
_PAIRS = "metadata"


def identifiers(body: Mapping[str, Any]) -> dict[str, Any]:
    """`user`, `safety_identifier`, `prompt_cache_key` and `metadata` of a request, those that have the API's form."""
    found: dict[str, Any] = {name: text for name in TEXTS if (text := text_sent(body.get(name))) is not None}
    pairs = body.get(_PAIRS)
    if isinstance(pairs, dict):
        texts = {
            str.__str__(key): str.__str__(text)
            for key, value in pairs.items()
            if isinstance(key, str) and isinstance(text := enum_value(value), str)
        }
        found.update({_PAIRS: texts} if texts else {})
    return found

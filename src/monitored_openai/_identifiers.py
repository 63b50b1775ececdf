"""What a request itself tells the API of whom and what it is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TEXTS = ("user", "safety_identifier", "prompt_cache_key")
_PAIRS = "metadata"


def identifiers(*bodies: Mapping[str, Any]) -> dict[str, Any]:
    """`user`, `safety_identifier`, `prompt_cache_key` and `metadata` of a request, those that have the API's form.

    Of several parts of a body the last one to have a parameter has it.
    """
    found: dict[str, Any] = {}
    for body in bodies:
        for name in TEXTS:
            if isinstance(text := body.get(name), str) and text:
                found[name] = text
        pairs = body.get(_PAIRS)
        if isinstance(pairs, dict):
            texts = {key: value for key, value in pairs.items() if isinstance(key, str) and isinstance(value, str)}
            found.update({_PAIRS: texts} if texts else {})
    return found

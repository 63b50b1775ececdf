"""Validators for the settings that change or read the content of calls: redaction, hashes and the user's functions."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

from pydantic import SecretStr

from monitored_openai._labels import InvalidValue, label_name
from monitored_openai._redaction.pattern_size import MOST_ITEMS, PatternTooLarge, pattern_size
from monitored_openai._redaction.presets import PRESETS, RedactionPreset
from monitored_openai._settings.forms import json_value, listed, secret_text

_MOST_SECONDS_OF_A_CHECK = 1.0
_SHORTEST_HASH_SECRET = 16


def _importable(function: object, arguments: int) -> Callable[..., Any]:
    """Return a top-level function; refuse any other.

    Each evaluation of a lambda, a local function or a method creates a new object, so equal settings would differ.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not callable(function) or not isinstance(module, str) or not isinstance(name, str):
        raise InvalidValue(
            "must be a function with a name, because settings cannot compare objects and partials; define it with def"
        )
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not function:
        raise InvalidValue(
            "must be a function at the top of a module, because each lambda, local function or method is a new object, "
            "which settings cannot compare; define it with def"
        )
    if inspect.iscoroutinefunction(function):
        raise InvalidValue(
            "must be a plain function, because the library does not await it; define it with def, not async def"
        )
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except (TypeError, ValueError):
        raise InvalidValue(
            f"must be a function that accepts {arguments} positional argument(s); correct its parameters"
        ) from None
    return function


def on_record(value: object) -> Callable[..., Any]:
    return _importable(value, arguments=1)


def redact(value: object) -> tuple[str, ...] | Callable[[str, str], str]:
    if callable(value):
        return _importable(value, arguments=2)
    if isinstance(value, str) and "," in value and re.search(r"[\[({]", value) and json_value(value, "[") is None:
        raise InvalidValue("has a comma that may belong to a pattern; write the patterns as a JSON list")
    if isinstance(value, AbstractSet):
        raise InvalidValue("must be a list, because the order of the patterns matters and a set has none; write a list")
    patterns = tuple(listed(value))
    if not patterns:
        return patterns
    _require_small(patterns)
    import regex  # supports a time limit for a search, `re` does not

    for pattern in patterns:
        try:
            matches_nothing = regex.compile(pattern).search("", timeout=_MOST_SECONDS_OF_A_CHECK) is not None
        except (regex.error, RecursionError, OverflowError, MemoryError, TimeoutError, Warning):
            raise InvalidValue("has a pattern that is not a valid regular expression; correct it") from None
        if matches_nothing:
            raise InvalidValue(
                "has a pattern that matches the empty text, and so at every position; require at least one character"
            )
    return patterns


def redact_presets(value: object) -> tuple[RedactionPreset, ...]:
    names = set(listed(value))
    if not names <= set(PRESETS):
        raise InvalidValue("has an unknown preset; use card, email, iban or phone")
    return tuple(preset for preset in PRESETS if preset in names)


def hash_attributes(value: object) -> tuple[str, ...]:
    names = sorted(set(listed(value)))
    for name in names:
        if not name.startswith("metadata."):
            label_name(name)
    return tuple(names)


def hash_secret(value: object) -> SecretStr:
    text = secret_text(value)
    if len(text) < _SHORTEST_HASH_SECRET:
        raise InvalidValue(
            f"is shorter than {_SHORTEST_HASH_SECRET} characters, so it could be guessed; set a longer random text"
        )
    return SecretStr(text)


def _require_small(patterns: tuple[str, ...]) -> None:
    """Refuse patterns that would take too much memory when compiled."""
    size = 0
    for place, pattern in enumerate(patterns, 1):
        try:
            size += pattern_size(pattern)
        except PatternTooLarge as error:
            raise InvalidValue(
                f"has a pattern that is too large (number {place}): it {error}; "
                "shorten it or lower its repetition counts"
            ) from None
    if size > MOST_ITEMS:
        raise InvalidValue(
            f"has patterns with more than {MOST_ITEMS:,} items in total; shorten them or lower their repetition counts"
        )

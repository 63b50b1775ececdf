"""Reads the model, the identifiers and the billed fields of a request, and describes its files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import PurePath
from typing import Any

from monitored_openai._json import enum_value
from monitored_openai._providers import provider_named

_TEXTS = ("user", "safety_identifier", "prompt_cache_key", "previous_response_id")
IDENTIFIERS = (*_TEXTS, "conversation", "prompt_id", "prompt_version")
"""Names of the identifiers, without `metadata`."""
_METADATA = "metadata"
_IDENTIFYING = frozenset({*_TEXTS, "conversation", "prompt", _METADATA})
_BILLED = frozenset(
    {
        *("service_tier", "prompt_cache_retention", "prompt_cache_options", "background_options"),
        *("web_search_options", "search_parameters"),
    }
)
"""Fields of a request that decide its price."""
SENDS_AUDIO = "input_audio"


def text_sent(value: object) -> str | None:
    """Return the text that the API receives for a text or an enum member; `None` for an empty text and other types.

    For an enum member that is also a `str`, the SDK sends the member's value and ignores its `__str__`.
    """
    if type(value) is not str:
        value = enum_value(value)
        value = str.__str__(value) if isinstance(value, str) else None
    return value or None


def identifiers(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the well-formed identifiers of a request: its texts, its conversation, its stored prompt, its metadata."""
    if _IDENTIFYING.isdisjoint(body):
        return {}
    found: dict[str, Any] = {name: text for name in _TEXTS if (text := text_sent(body.get(name))) is not None}
    conversation, prompt = body.get("conversation"), body.get("prompt")
    if conversation is not None:
        identifier = conversation.get("id") if isinstance(conversation, dict) else conversation
        found.update({"conversation": text} if (text := text_sent(identifier)) is not None else {})
    if isinstance(prompt, dict):
        given = {"prompt_id": prompt.get("id"), "prompt_version": prompt.get("version")}
        found.update({name: text for name, value in given.items() if (text := text_sent(value)) is not None})
    pairs = body.get(_METADATA)
    if isinstance(pairs, dict):
        texts = {
            str.__str__(key): str.__str__(text)
            for key, value in pairs.items()
            if isinstance(key, str) and isinstance(text := enum_value(value), str)
        }
        found.update({_METADATA: texts} if texts else {})
    return found


def billed_fields(body: Mapping[str, Any], provider: str) -> dict[str, Any]:
    """Return those fields of a request that decide its price, and `SENDS_AUDIO` if the provider's price needs it.

    Runs on the caller's thread if content is not captured, so it must be cheap.
    """
    found = {} if _BILLED.isdisjoint(body) else {name: body[name] for name in _BILLED if name in body}
    known = provider_named(provider)
    if known is not None and known.audio_unsplit and isinstance(messages := body.get("messages"), list):
        contents = (message.get("content") for message in messages if isinstance(message, dict))
        if any(map(_is_audio, chain.from_iterable(parts for parts in contents if isinstance(parts, list)))):
            found[SENDS_AUDIO] = True
    return found


def _is_audio(part: object) -> bool:
    return isinstance(part, dict) and enum_value(part.get("type")) == "input_audio"


def describe_files(files: Any) -> dict[str, Any]:
    """Return a description of the uploaded files by field: name, type and size in bytes.

    Does not read the files. A field with several files has a list of descriptions.
    """
    pairs: Iterable[tuple[str, Any]] = files.items() if isinstance(files, Mapping) else files
    form: dict[str, Any] = {}
    for field, file in pairs:
        form.setdefault(field.removesuffix("[]"), []).append(_describe_file(file))
    return {field: texts[0] if len(texts) == 1 else texts for field, texts in form.items()}


def _describe_file(file: Any) -> str:
    name, content, kind = (*file, None, None)[:3] if isinstance(file, tuple) else (None, file, None)
    name = name or (content if isinstance(content, os.PathLike) else getattr(content, "name", None))
    size = f"{len(content)} bytes" if isinstance(content, (bytes, bytearray)) else None
    file_name = PurePath(name).name if isinstance(name, (str, os.PathLike)) else None
    return f"[{', '.join(str(part) for part in ('file', file_name, kind, size) if part)}]"

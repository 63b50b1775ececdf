"""Converts a log entry into the columns of a stored call."""

from __future__ import annotations

import json
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from monitored_openai._json import encode
from monitored_openai._labels import clip_label_value
from monitored_openai._local.chains import Link, previous_of, response_of
from monitored_openai._local.conversation import Turn, turns
from monitored_openai._local.ingest import ReceivedEntry

GroupKey = Literal["session", "conversation", "trace"]

_SNIPPET_CHARACTERS = 240
_NAME_CHARACTERS = 200
_MOST_LABELS = 100
_LEVEL = 1
"""Compression level; a line is written once and rarely read."""
_SESSION_NAMES = ("session_id", "session")
_CONVERSATION_NAMES = ("conversation_id", "conversation", "thread_id", "thread")
"""Attributes that name a session or a conversation, the most exact first."""
_GAPS = {"unpriced": "cost", "usage_unknown": "usage"}
"""For each reason that an entry may give, the part of the entry that is then missing."""
_TEXTS = ("id", "operation", "provider", "request_model", "response_model", "response_id", "request_id", "trace_id")


def columns(entry: ReceivedEntry) -> tuple[Any, ...]:
    """Return the values of the columns of the table `call`, except those that SQLite computes."""
    call, spoken_turns = entry.call, turns(entry.call)
    identity = _name(call.get("id")) or f"{entry.timestamp_ns}"
    at_ns = min(max(entry.timestamp_ns, 0), 2**63 - 1)
    labels = _labels(entry)
    error = _name(call.get("error_type"))
    line = json.dumps(call, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    row = encode(
        {
            "id": identity,
            "at_ns": str(at_ns),  # as text: JavaScript's numbers are less precise
            "labels": labels,
            "error": error,
            "retries": _number(call.get("retries")),
            "duration": _number(call.get("duration_seconds")),
            "first_chunk": _number(call.get("time_to_first_chunk_seconds")),
            "input_tokens": _number(_part(call, "usage", "input_tokens")),
            "output_tokens": _number(_part(call, "usage", "output_tokens")),
            "cost": _number(_part(call, "cost", "total_usd")),
            "cost_incomplete": bool(call.get("cost_incomplete")),
            "asked": _snippet(spoken_turns, "asked"),
            "answered": _snippet(spoken_turns, "answered"),
            **_derived(call, spoken_turns),
        }
    )
    search_text = _search_text(call, labels, spoken_turns)
    return (
        identity,
        at_ns,
        len(line),
        int(error is not None),
        encode(labels).decode(),
        row.decode(),
        search_text,
        _packed(line),
    )


def link_of(identity: str, call: Mapping[str, Any]) -> Link:
    """Return the place of a stored call in a chain of responses."""
    conversation = _group_keys(call)["conversation"]
    return Link(identity=identity, response=response_of(call), previous=previous_of(call), conversation=conversation)


def renewed(row: str, call: Mapping[str, Any]) -> str:
    """Return the row of a call from an earlier version, with the values that the present version adds."""
    return encode({**json.loads(row), **_derived(call, turns(call))}).decode()


def _derived(call: Mapping[str, Any], spoken_turns: list[Turn]) -> dict[str, Any]:
    keys = {str(name): key for name, key in _group_keys(call).items()}
    return {**_marks(call, spoken_turns), **_gaps(call), **keys, "response": response_of(call)}


def _marks(call: Mapping[str, Any], spoken_turns: list[Turn]) -> dict[str, Any]:
    """Return the values of the list's badges: a stream, offered tools, structured output, and media by kind."""
    request = call.get("request")
    sent = request if isinstance(request, dict) else {}
    text = sent.get("text")
    form = sent.get("response_format") or (text.get("format") if isinstance(text, dict) else None)
    tools = sent.get("tools") or sent.get("functions")
    return {
        "streamed": call.get("time_to_first_chunk_seconds") is not None or sent.get("stream") is True,
        "tools": len(tools) if isinstance(tools, list) else 0,
        "structured": isinstance(form, dict) and form.get("type") in ("json_schema", "json_object"),
        "media": Counter(one.kind for turn in spoken_turns for one in turn.media),
    }


def _gaps(call: Mapping[str, Any]) -> dict[str, bool]:
    """Return whether the cost and the usage are unknown; a failed call without usage is known to cost nothing."""
    failed = call.get("error_type") is not None
    missing = {name: not failed and call.get(part) is None for name, part in _GAPS.items()}
    return {name: missing[name] or call.get(name) is not None for name in _GAPS}


def _group_keys(call: Mapping[str, Any]) -> dict[GroupKey, str | None]:
    """Return the session, the conversation and the trace of a call."""
    attributes = call.get("attributes")
    conversation = _part(call, "request", "conversation") or _part(call, "identifiers", "conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    named = attributes if isinstance(attributes, dict) else {}

    def first(names: tuple[str, ...]) -> str | None:
        return next((text for name in names if (text := _name(named.get(name)))), None)

    return {
        "session": first(_SESSION_NAMES),
        "conversation": _name(conversation) or first(_CONVERSATION_NAMES),
        "trace": _name(call.get("trace_id")),
    }


def _labels(entry: ReceivedEntry) -> dict[str, str]:
    call = entry.call
    attributes = call.get("attributes")
    own = {"model": call.get("request_model"), "operation": call.get("operation"), "provider": call.get("provider")}
    shared = {name: value for name, value in entry.stream.items() if name not in ("job", "shard")}
    pairs = [*shared.items(), *(attributes.items() if isinstance(attributes, dict) else ()), *own.items()]
    texts = ((name, value) for name, value in pairs[:_MOST_LABELS] + pairs[-len(own) :] if isinstance(value, str))
    named = {_name(name) or "?": clip_label_value(value) for name, value in texts}  # as the labels of the metrics
    return {name: value for name, value in named.items() if value}


def _search_text(call: Mapping[str, Any], labels: Mapping[str, str], spoken_turns: Iterable[Turn]) -> str:
    texts = [*(call.get(name) for name in (*_TEXTS, "error_type", "error_message")), *labels.values()]
    spoken = (part for turn in spoken_turns for part in (turn.tool, str(turn)))
    return clean("\n".join(str(text) for text in (*texts, *spoken) if text).casefold())


def _snippet(spoken_turns: list[Turn], side: str) -> str:
    """Return the beginning of the last question of the user, or of the first answer."""
    of_side = [turn for turn in spoken_turns if turn.side == side and str(turn)]
    by_users = [turn for turn in of_side if turn.role == "user"]
    if not of_side:
        return ""
    turn = (by_users or of_side)[-1] if side == "asked" else of_side[0]
    text = f"{turn.tool}({turn.text})" if turn.tool else turn.text or str(turn)
    return " ".join(text[: 4 * _SNIPPET_CHARACTERS].split())[:_SNIPPET_CHARACTERS]


def _part(call: Mapping[str, Any], field: str, name: str) -> Any:
    parts = call.get(field)
    return parts.get(name) if isinstance(parts, dict) else None


def _number(value: Any) -> float | int | None:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**53
    return value if usable and math.isfinite(value) else None


def _name(value: Any) -> str | None:
    return clean(value[:_NAME_CHARACTERS]) or None if isinstance(value, str) else None


def clean(text: str) -> str:
    """Replace lone surrogates, which SQLite cannot store."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _packed(line: bytes) -> bytes:
    return zlib.compress(line, _LEVEL)

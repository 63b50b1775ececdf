"""What was said in a call, turn by turn, whatever family of endpoints it belongs to and however odd its content."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

_MOST_PART_CHARACTERS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One thing that was said."""

    role: str
    """Who said it: system, user, assistant, tool, ..."""
    side: Literal["asked", "answered"]
    text: str
    tool: str | None = None
    """The function that is called with this text."""


def turns(call: Mapping[str, Any]) -> list[Turn]:
    """The turns of a call, question before answer; none of what is in no known form."""
    return [*_asked(call.get("request")), *_answered(call.get("response"))]


def _asked(request: Any) -> Iterator[Turn]:
    if isinstance(request, str):
        yield Turn(role="user", side="asked", text=request)
    if not isinstance(request, dict):
        return
    if instructions := request.get("instructions"):
        yield Turn(role="system", side="asked", text=_text(instructions))
    for field in ("messages", "prompt", "input"):
        said = request.get(field)
        for item in said if isinstance(said, list) else [said]:
            yield from _turns_of(item, "asked", "user")


def _answered(response: Any) -> Iterator[Turn]:
    if not isinstance(response, dict):
        yield from _turns_of(response, "answered", "assistant")
        return
    for choice in _items(response.get("choices")):
        if isinstance(choice, dict):
            yield from _turns_of(choice.get("message", choice.get("text")), "answered", "assistant")
    for item in _items(response.get("output")):
        yield from _turns_of(item, "answered", "assistant")
    yield from _turns_of(response.get("text"), "answered", "assistant")


def _turns_of(item: Any, side: Literal["asked", "answered"], role: str) -> Iterator[Turn]:
    """A message, an item of the Responses API, or a plain text."""
    if isinstance(item, str):
        yield Turn(role=role, side=side, text=item)
    if not isinstance(item, dict):
        return
    kind, speaker = item.get("type"), item.get("role")
    role = speaker if isinstance(speaker, str) else role
    if isinstance(kind, str) and kind.endswith("_call"):
        yield _tool_call(item, side)
        return
    if isinstance(kind, str) and kind.endswith("_call_output"):
        yield Turn(role="tool", side=side, text=_text(item.get("output")))
        return
    said = (("reasoning" if kind == "reasoning" else role), item.get("summary") or item.get("content"))
    for speaker, content in (said, ("refusal", item.get("refusal"))):
        if content:
            yield Turn(role=speaker, side=side, text=_text(content))
    for called in _items(item.get("tool_calls")):
        yield _tool_call(called, side)


def _tool_call(called: Any, side: Literal["asked", "answered"]) -> Turn:
    parts = called if isinstance(called, dict) else {}
    function = parts.get("function", parts.get("custom", parts))
    function = function if isinstance(function, dict) else {}
    name = function.get("name") or parts.get("type") or "?"
    arguments = function.get("arguments", function.get("input", called))
    return Turn(role="assistant", side=side, text=_text(arguments), tool=str(name))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(map(_part, content))
    return _short(content)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    text = part.get("text", part.get("refusal")) if isinstance(part, dict) else None
    return text if isinstance(text, str) else _short(part)


def _short(value: Any) -> str:
    """JSON of what is no text: an image's address or size, a sound, arguments that are an object already."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "[nested too deep]"
    return text if len(text) <= _MOST_PART_CHARACTERS else f"{text[:_MOST_PART_CHARACTERS]}…"


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

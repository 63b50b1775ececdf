"""Extracts the turns of a conversation from a call of any endpoint; tolerates malformed content."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from monitored_openai._local.media import Media, body_media, media_of

_MOST_PART_CHARACTERS = 2000
_MOST_DETAIL_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message of a conversation."""

    role: str
    """The speaker: system, user, assistant, tool, ..."""
    side: Literal["asked", "answered"]
    text: str
    tool: str | None = None
    """The function that the model calls with this text."""
    media: tuple[Media, ...] = ()
    """Images, audio and files in addition to the text."""

    def __str__(self) -> str:
        """Return the text with a mark for each image, audio and file."""
        return "\n".join(part for part in (self.text, *map(str, self.media)) if part)


def turns(call: Mapping[str, Any]) -> list[Turn]:
    """Return the turns of a call, questions first; content in an unknown form has none."""
    return [*_questions(call.get("request")), *_answers(call.get("response"))]


def _questions(request: Any) -> Iterator[Turn]:
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


def _answers(response: Any) -> Iterator[Turn]:
    if not isinstance(response, dict):
        yield from _turns_of(response, "answered", "assistant")
        return
    if (media := body_media(response)) is not None:
        yield Turn(role="assistant", side="answered", text="", media=(media,))
    for image in _items(response.get("data")):
        yield from _generated_image(image)
    for choice in _items(response.get("choices")):
        if isinstance(choice, dict):
            yield from _turns_of(choice.get("message", choice.get("text")), "answered", "assistant")
    for item in _items(response.get("output")):
        yield from _turns_of(item, "answered", "assistant")
    yield from _turns_of(response.get("text"), "answered", "assistant")


def _turns_of(item: Any, side: Literal["asked", "answered"], role: str) -> Iterator[Turn]:
    """Yield the turns of a message, an item of the Responses API, or a plain text."""
    if isinstance(item, str):
        yield Turn(role=role, side=side, text=item)
    if not isinstance(item, dict):
        return
    if (media := media_of(item)) is not None:
        yield Turn(role=role, side=side, text="", media=(media,))
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
            parts = tuple(filter(None, map(media_of, _items(content))))
            yield Turn(role=speaker, side=side, text=_text(content), media=parts)
    if isinstance(audio := item.get("audio"), dict):
        spoken = audio.get("transcript")
        sound = Media(kind="audio", detail=_short(audio.get("data") or audio.get("id")))
        yield Turn(role=role, side=side, text=spoken if isinstance(spoken, str) else "", media=(sound,))
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
        return "\n".join(_part(part) for part in content if media_of(part) is None)
    return _as_json(content)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    text = part.get("text", part.get("refusal")) if isinstance(part, dict) else None
    return text if isinstance(text, str) else _as_json(part)


def _generated_image(image: Any) -> Iterator[Turn]:
    """Yield the turn of an image that the images API returns."""
    if isinstance(image, dict) and (image.get("b64_json") or image.get("url")):
        prompt = image.get("revised_prompt")
        media = (Media(kind="image", detail=_short(image.get("b64_json") or image.get("url"))),)
        yield Turn(role="assistant", side="answered", text=prompt if isinstance(prompt, str) else "", media=media)


def _short(detail: Any) -> str:
    return detail[:_MOST_DETAIL_CHARACTERS] if isinstance(detail, str) else ""


def _as_json(value: Any) -> str:
    """Return bounded JSON of a value that is not a text: an image's URL, audio, parsed arguments."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "[nested too deep]"
    return text if len(text) <= _MOST_PART_CHARACTERS else f"{text[:_MOST_PART_CHARACTERS]}…"


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

"""The fake API's replies for embeddings, images and audio."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any
from zlib import crc32

from ._answers import CREATED, _pieces
from ._behaviour import Behaviour

PICTURE = base64.b64encode(b"picture" * 60).decode()
SOUND = b"\xff\xf3sound" * 50
BY_LENGTH = ("whisper-1", "tts-1")
"""The models that are billed by the second or by the character."""


def _seed(body: Mapping[str, Any]) -> int:
    return crc32(json.dumps([body.get("model"), body.get("input"), body.get("prompt")]).encode("utf-8", "replace"))


def embeddings(body: Mapping[str, Any], model: str, number: int, asked: Behaviour) -> dict[str, Any]:
    """One vector for each input, in base64 where that is asked for."""
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    vector: Any = [0.5, -0.25, 1.0]
    if body.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<3f", *vector)).decode()
    tokens = 2 + _seed(body) % 50
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(inputs))],
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def images(body: Mapping[str, Any], model: str, number: int, asked: Behaviour) -> dict[str, Any]:
    """Pictures; dall-e tells no usage, and no answer names the model."""
    if model.startswith("dall-e"):
        return {"created": CREATED, "data": [{"url": "https://images.test/1.png"}]}
    return {
        "created": CREATED,
        "data": [{"b64_json": PICTURE} for _ in range(int(body.get("n") or 1))],
        "background": "opaque",
        "output_format": "png",
        "quality": "high",
        "size": "1024x1024",
        "usage": _usage_of_images(body),
    }


def image_events(whole: Mapping[str, Any], asked: Behaviour) -> Iterator[dict[str, Any]]:
    """A picture that gets better."""
    common = {"created_at": CREATED, "background": "opaque", "output_format": "png", "quality": "high"}
    common |= {"size": "1024x1024", "b64_json": PICTURE}
    for index in range(asked.chunks or 3):
        yield {"type": "image_generation.partial_image", **common, "partial_image_index": index}
    yield {"type": "image_generation.completed", **common, "usage": whole["usage"]}


def speech(body: Mapping[str, Any], model: str, number: int, asked: Behaviour) -> bytes | str:
    """A sound, or the events of one, which tell the usage."""
    if body.get("stream_format") != "sse":
        return SOUND
    usage = {"input_tokens": 3 + len(body["input"]) // 4, "output_tokens": 40, "total_tokens": 0}
    usage["total_tokens"] = usage["input_tokens"] + usage["output_tokens"]
    events = [{"type": "speech.audio.delta", "audio": "AAAA"}, {"type": "speech.audio.done", "usage": usage}]
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events)


def transcription(body: Mapping[str, Any], model: str, number: int, asked: Behaviour) -> dict[str, Any] | str:
    """A text, billed by the token or, of the oldest model, by the second."""
    said = f"What was said {number}, in short."
    if body.get("response_format") in ("text", "srt", "vtt"):
        return said
    return {"text": said, "usage": _usage_of_audio(body)}


def transcription_events(whole: Mapping[str, Any], asked: Behaviour) -> Iterator[dict[str, Any]]:
    """A text as it is understood."""
    for piece in _pieces(whole["text"], asked.chunks or 3):
        yield {"type": "transcript.text.delta", "delta": piece}
    yield {"type": "transcript.text.done", **whole}


def translation(body: Mapping[str, Any], model: str, number: int, asked: Behaviour) -> dict[str, Any]:
    """A text in English, without a usage."""
    return {"text": f"What was said {number}, in English."}


def moderation(body: Mapping[str, Any], model: str, number: int, asked: Behaviour) -> dict[str, Any]:
    """Nothing to complain of."""
    result = {"flagged": False, "categories": {"violence": False}, "category_scores": {"violence": 0.01}}
    return {"id": f"modr-{number}", "model": model, "results": [result]}


def _usage_of_images(body: Mapping[str, Any]) -> dict[str, Any]:
    text, given, made = 4 + _seed(body) % 30, 100 + _seed(body) % 7, 200 + _seed(body) % 11
    return {
        "input_tokens": text + given,
        "input_tokens_details": {"text_tokens": text, "image_tokens": given},
        "output_tokens": made,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": made},
        "total_tokens": text + given + made,
    }


def _usage_of_audio(body: Mapping[str, Any]) -> dict[str, Any]:
    if body.get("model") in BY_LENGTH:
        return {"type": "duration", "seconds": 12}
    sound, text, made = 50 + _seed(body) % 9, _seed(body) % 5, 10 + _seed(body) % 6
    return {
        "type": "tokens",
        "input_tokens": sound + text,
        "input_token_details": {"audio_tokens": sound, "text_tokens": text},
        "output_tokens": made,
        "total_tokens": sound + text + made,
    }

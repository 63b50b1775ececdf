"""Ways to call the endpoints besides the completions: a row for each method and each variant of interest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.conformance import _readings as readings
from tests.conformance._outcomes import FAILURES, OK, Outcome
from tests.conformance._paths import Path, Verdict
from tests.conformance._readings import Reading
from tests.support.servers._behaviour import Behaviour
from tests.support.servers._media import image_events

ASKED: Mapping[str, Any] = {"model": "gpt-4o", "input": "Why is the sky blue?"}
STREAMED: Mapping[str, Any] = {"stream": True}
FUNCTION = {"type": "function", "name": "note", "strict": True, "parameters": Verdict.model_json_schema()}
_READINGS = {
    "parse_raw drop_unparsed parse read_json read_whole read_bytes read_lines loop steps loop_twice",
    "leave_unread break_and_close close_unread leave_with_early break_and_drop drop_unread",
}
_OUTCOMES = (
    "400 429-twice reset timeout dropped-half-way invalid-json invalid-json-raw invalid-event error-event"
    " drop-mid-stream cancelled cancelled-mid-stream length refusal"
).split()


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyPath(Path):
    """A way to make a call, and what its record calls it."""

    to: str
    operation: str
    model: str | None = "gpt-4o-2024-08-06"
    """The model that the response names."""
    kept: Callable[[Any], Any] = lambda served: served
    """What the record has of an answer."""
    seconds: float | None = None
    characters: int | None = None
    untold: str = "not_reported"
    """Why its tokens are not known where its answer does not name them."""
    free: bool = False
    apart: tuple[str, ...] = ()
    """The outcomes that it has not: media cannot be invalid."""
    begins: Callable[[Mapping[str, Any]], bool] = lambda event: True
    """Whether an event of a stream is one by which the answer has begun."""

    @property
    def endpoint(self) -> str:
        return self.to

    @property
    def streams(self) -> bool:
        return bool(self.body.get("stream")) or self.method.endswith("responses.stream")

    @property
    def injects(self) -> bool:
        return False

    def readings_chosen(self) -> Iterator[tuple[str, Reading]]:
        chosen = {name for names in _READINGS for name in names.split()} | {""}
        plainest = next(iter(self.readings))
        for name, reading in self.readings.items():
            if (name in chosen and self.core) or name == plainest:
                yield name, reading

    def outcomes(self) -> Iterator[Outcome]:
        yield OK
        for outcome in FAILURES:
            if self.core and outcome.name in _OUTCOMES and outcome.name not in self.apart and outcome.applies(self):
                yield outcome


def _responses(kind: Mapping[str, Reading], name: str, method: str, body: Mapping[str, Any], **more: Any) -> FamilyPath:
    waiting = {"response.created", "response.in_progress", "response.queued"}
    row: dict[str, Any] = {
        "to": "/responses",
        "operation": "chat",
        "begins": lambda event: event["type"] not in waiting,
    }
    return FamilyPath(name=name, method=method, body=body, readings=kind, **(row | more))


_CREATE = "responses.create"
_RAW = "responses.with_raw_response.create"
_BODY = "responses.with_streaming_response.create"
_TOOLS = {**ASKED, "tools": [FUNCTION], "reasoning": {"effort": "low", "summary": "auto"}}
_VERDICT = {**ASKED, "text_format": Verdict}
_COMPACT = {"to": "/responses/compact", "operation": "compaction", "model": None}

RESPONSES = (
    _responses(readings.VALUE, "responses", _CREATE, ASKED, core=True),
    _responses(readings.VALUE, "responses-tools", _CREATE, _TOOLS),
    _responses(readings.VALUE, "responses-extra", _CREATE, {**ASKED, "extra_body": {"top_k": 4}, "user": "me"}),
    _responses(readings.VALUE, "responses-parse", "responses.parse", _VERDICT),
    _responses(readings.VALUE, "responses-compact", "responses.compact", ASKED, **_COMPACT),
    _responses(readings.VALUE, "beta-responses", "beta.responses.create", ASKED),
    _responses(readings.RAW, "responses-raw", _RAW, ASKED, core=True),
    _responses(readings.BODY, "responses-body", _BODY, ASKED, opens="enter", core=True),
    _responses(readings.STREAM, "responses-stream", _CREATE, {**ASKED, **STREAMED}, core=True),
    _responses(readings.STREAM, "responses-stream-tools", _CREATE, {**_TOOLS, **STREAMED}),
    _responses(readings.STREAM, "responses-raw-stream", _RAW, {**ASKED, **STREAMED}, opens="parse"),
    _responses(readings.STREAM, "responses-body-stream", _BODY, {**ASKED, **STREAMED}, opens="enter, parse"),
    _responses(readings.EVENTS, "responses-body-events", _BODY, {**ASKED, **STREAMED}, opens="enter", core=True),
    _responses(readings.STREAM, "responses-helper", "responses.stream", ASKED, opens="enter", core=True),
    _responses(readings.STREAM, "responses-helper-parsed", "responses.stream", _VERDICT, opens="enter"),
)


def _rows(operation: str, to: str, rows: Mapping[str, tuple[str, Mapping[str, Any]]], **more: Any) -> list[FamilyPath]:
    kind = {"operation": operation, "to": to, "model": None, "readings": readings.VALUE}
    return [FamilyPath(name=name, method=method, body=body, **(kind | more)) for name, (method, body) in rows.items()]


def _without_vectors(served: Any) -> Any:
    return {**served, "data": [{**entry, "embedding": "[3 numbers]"} for entry in served["data"]]}


def _last_picture(served: Any) -> Any:
    *_, last = image_events(served, Behaviour())
    return last


def _media(served: Any) -> Any:
    return {"content_type": "audio/mpeg", "bytes": len(served)}


def _last_sound(served: Any) -> Any:
    return json.loads(served.strip().rpartition("data: ")[2])


_VECTORS: dict[str, Any] = {"model": "text-embedding-3-small", "kept": _without_vectors}
_VECTOR = {"model": "text-embedding-3-small", "input": "Why?"}
_IMAGE = {"model": "gpt-image-1", "prompt": "The sky."}
_EDIT = {**_IMAGE, "image": ("sky.png", b"picture", "image/png")}
_SAY = {"model": "tts-1", "input": "The sky is blue.", "voice": "alloy"}
_SAID: dict[str, Any] = {"apart": ("invalid-json", "dropped-half-way"), "characters": len(_SAY["input"])}
_HEAR = {"model": "gpt-4o-transcribe", "file": ("said.mp3", b"sound", "audio/mpeg")}
_TELL = "audio.transcriptions.create"

EMBEDDINGS = (
    *_rows("embeddings", "/embeddings", {"embeddings": ("embeddings.create", _VECTOR)}, core=True, **_VECTORS),
    *_rows(
        "embeddings",
        "/embeddings",
        {"embeddings-floats": ("embeddings.create", {**_VECTOR, "input": ["a", "b"], "encoding_format": "float"})},
        **_VECTORS,
    ),
    *_rows(
        "embeddings",
        "/embeddings",
        {"embeddings-raw": ("embeddings.with_raw_response.create", _VECTOR)},
        readings=readings.RAW,
        core=True,
        **_VECTORS,
    ),
)
IMAGES = (
    *_rows("image_generation", "/images/generations", {"images": ("images.generate", _IMAGE)}, core=True),
    *_rows(
        "image_generation",
        "/images/generations",
        {"images-untold": ("images.generate", {**_IMAGE, "model": "dall-e-3"})},
    ),
    *_rows("image_generation", "/images/edits", {"images-edit": ("images.edit", _EDIT)}, core=True),
    *_rows(
        "image_generation",
        "/images/edits",
        {"images-edit-several": ("images.edit", {**_EDIT, "image": [b"one", ("two.png", b"two")]})},
    ),
    *_rows(
        "image_generation",
        "/images/variations",
        {"images-variation": ("images.create_variation", {"model": "dall-e-2", "image": b"picture"})},
        untold="never_told",
    ),
    *_rows(
        "image_generation",
        "/images/generations",
        {"images-stream": ("images.generate", {**_IMAGE, **STREAMED})},
        kept=_last_picture,
        readings=readings.STREAM,
        core=True,
    ),
)
AUDIO = (
    *_rows("speech", "/audio/speech", {"speech": ("audio.speech.create", _SAY)}, kept=_media, core=True, **_SAID),
    *_rows(
        "speech",
        "/audio/speech",
        {"speech-sse": ("audio.speech.create", {**_SAY, "stream_format": "sse"})},
        kept=_last_sound,
        **_SAID,
    ),
    *_rows(
        "speech",
        "/audio/speech",
        {"speech-body": ("audio.speech.with_streaming_response.create", _SAY)},
        readings={name: readings.BODY[name] for name in ("read_bytes", "leave_unread")},
        opens="enter",
        kept=_media,
        **_SAID,
    ),
    *_rows("transcription", "/audio/transcriptions", {"transcription": (_TELL, _HEAR)}, core=True),
    *_rows(
        "transcription",
        "/audio/transcriptions",
        {"transcription-by-the-second": (_TELL, {**_HEAR, "model": "whisper-1"})},
        seconds=12.0,
    ),
    *_rows(
        "transcription",
        "/audio/transcriptions",
        {"transcription-text": (_TELL, {**_HEAR, "response_format": "text"})},
    ),
    *_rows(
        "transcription",
        "/audio/transcriptions",
        {"transcription-stream": (_TELL, {**_HEAR, **STREAMED})},
        kept=lambda served: {**served, "type": "transcript.text.done"},
        readings=readings.STREAM,
        core=True,
    ),
    *_rows("translation", "/audio/translations", {"translation": ("audio.translations.create", _HEAR)}),
)
OTHERS = (
    *_rows(
        "moderation",
        "/moderations",
        {"moderation": ("moderations.create", {"model": "omni-moderation-latest", "input": "Why?"})},
        model="omni-moderation-latest",
        free=True,
    ),
    *_rows(
        "decision",
        "/decisions",
        {"decision": ("decisions.create", {"model": "m", "input": "Why?", "questions": [{"type": "predicate"}]})},
        model="m",
    ),
)


FAMILY_PATHS = (*RESPONSES, *EMBEDDINGS, *IMAGES, *AUDIO, *OTHERS)

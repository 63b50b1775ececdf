"""Recognises images, audio and files in the content of a call, so that the page shows them as short marks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["image", "audio", "file", "video"]
_KINDS: Mapping[str, Kind] = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "output_image": "image",
    "image_generation_call": "image",
    "audio": "audio",
    "input_audio": "audio",
    "output_audio": "audio",
    "file": "file",
    "input_file": "file",
    "video": "video",
    "video_url": "video",
    "input_video": "video",
}
"""Kinds by the type of a content part or of an output item."""
_DETAILS = (
    "filename",
    "file_id",
    "url",
    "image_url",
    "video_url",
    "file_url",
    "file_data",
    "data",
    "result",
    "b64_json",
)
"""Fields that describe the content, the most informative first."""
_MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """An image, audio, a file or a video."""

    kind: Kind
    detail: str = ""
    """Its name, id, address, or its size and hash; empty if the entry has none of them."""

    def __str__(self) -> str:
        """Return it as a mark in a text, such as `[image: photo.png]`."""
        return f"[{self.kind}: {self.detail}]" if self.detail else f"[{self.kind}]"


def media_of(part: Any) -> Media | None:
    """Return the media in a content part or an output item; `None` for text and unknown parts."""
    if not isinstance(part, dict):
        return None
    kind = _KINDS.get(str(part.get("type")))
    if kind is None:
        return None
    return Media(kind=kind, detail=_detail(part, kind))


def _detail(part: Mapping[str, Any], kind: Kind) -> str:
    """Return the first known detail of a part, or of the object inside it that holds the content."""
    inner: Mapping[str, Any] = next(
        (part[name] for name in (f"{kind}_url", kind, f"input_{kind}") if isinstance(part.get(name), dict)), {}
    )
    for place in (inner, part):
        for name in _DETAILS:
            if isinstance(text := place.get(name), str) and text:
                return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
    return ""


def body_media(body: Mapping[str, Any]) -> Media | None:
    """Return the media of a response that is a file, such as speech; `None` for any other response."""
    kind = str(body.get("content_type")).partition("/")[0]
    if kind not in ("image", "audio", "video") or not isinstance(size := body.get("bytes"), int):
        return None
    return Media(kind=kind, detail=f"{body['content_type']}, {size:,} bytes")  # type: ignore[arg-type]  # one of the kinds

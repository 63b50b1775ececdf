"""Streams whose last event has it all: images, speech and transcriptions."""

from __future__ import annotations

from typing import Any

from monitored_openai._endpoints.base import dictionary
from monitored_openai._endpoints.reading import plain


class Events:
    """Such a stream as far as it got: its text and its last event. Pictures and sounds on the way are not kept."""

    __slots__ = ("_texts", "_whole")

    def __init__(self) -> None:
        self._whole: Any = None
        self._texts: list[str] = []

    def add(self, chunk: Any) -> bool | None:
        """Take in one event."""
        kind = str(getattr(chunk, "type", None))
        if kind.endswith((".done", ".completed")):
            self._whole = chunk
        elif kind.endswith(".delta") and isinstance(delta := getattr(chunk, "delta", None), str):
            self._texts.append(delta)
        return False

    def size(self) -> int:
        """About how many bytes of content are kept."""
        picture = getattr(self._whole, "b64_json", None)
        return sum(map(len, self._texts)) + (len(picture) if isinstance(picture, str) else 0)

    def body(self) -> dict[str, Any]:
        """The last event, or the text up to where the stream broke off."""
        said = {"text": "".join(self._texts)} if self._texts else {}
        return {**said, **dictionary(plain(self._whole))}

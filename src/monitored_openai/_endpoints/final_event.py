"""Endpoints whose streams end with an event that contains the whole result, such as images."""

from __future__ import annotations

from functools import partial
from typing import Any

from monitored_openai._endpoints.base import Endpoint, dictionary
from monitored_openai._endpoints.parsing import as_plain, parse_plain


class FinalEventAccumulator:
    """Collects the text and the final event of a stream, without partial images and audio."""

    __slots__ = ("_final_event", "_texts")

    def __init__(self) -> None:
        self._final_event: Any = None
        self._texts: list[str] = []

    def add(self, chunk: Any) -> bool | None:
        """Add one event."""
        kind = str(getattr(chunk, "type", None))
        if kind.endswith((".done", ".completed")):
            self._final_event = chunk
        elif kind.endswith(".delta") and isinstance(delta := getattr(chunk, "delta", None), str):
            self._texts.append(delta)
        return False

    def size(self) -> int:
        """Return the approximate number of bytes of content held."""
        image = getattr(self._final_event, "b64_json", None)
        return sum(map(len, self._texts)) + (len(image) if isinstance(image, str) else 0)

    def body(self) -> dict[str, Any]:
        """Return the fields of the final event, and the text of the deltas unless the event has its own."""
        streamed = {"text": "".join(self._texts)} if self._texts else {}
        return {**streamed, **dictionary(as_plain(self._final_event))}


plain_endpoint = partial(Endpoint, parse=parse_plain, accumulator=FinalEventAccumulator)
"""Return an endpoint that parses responses with `parse_plain`, unless an argument `parse` replaces it."""

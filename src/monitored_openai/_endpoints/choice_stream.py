"""Collects streams whose chunks have choices, and merges the chunks into one body, as without streaming.

`add` runs on the caller's thread for each chunk, and only keeps references. `size` runs there once, at the end of the
call. The merge runs on the exporter's thread, unless the queue is full and discards the content.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from openai import BaseModel

from monitored_openai._endpoints.base import dictionary
from monitored_openai._endpoints.parsing import adds_only_usage, choices_of
from monitored_openai._endpoints.stream_merge import merge_content, merge_state
from monitored_openai._logging import warn_sparsely

HEAD = frozenset({"id", "object", "created", "model", "service_tier", "system_fingerprint", "choices", "usage"})
"""Fields of a chunk that are not merged: the body takes them from the last chunk, else from the first."""
PADDING = frozenset({"obfuscation"})
"""Fields of a chunk that contain no data."""
WITHOUT_DATA = HEAD | PADDING
_NOT_MERGED = {"index", "delta", "text", "message"}
"""Fields of a choice that need more than `merge_state`; Perplexity repeats the message so far with each delta."""
_ONLY_TEXT = (list, tuple)
_CHUNK_BYTES = 2000
"""Approximate memory of one chunk that is kept as an object, in bytes."""


class ChoiceAccumulator:
    """Collects the texts of chunks that contain only a text, and all other chunks as objects, in their order."""

    __slots__ = ("_first", "_last", "_pieces", "_texts", "_usage")
    TEXT: ClassVar[str]
    """The field with the text in a choice that is not streamed."""

    def __init__(self) -> None:
        self._first: Any = None
        self._last: Any = None
        self._texts: list[str] = []
        """The texts of choice 0 since the last chunk with more than a text."""
        self._pieces: list[Any] = [self._texts]
        """In order: a list of texts of choice 0, an (index, text) pair of another choice, or a chunk."""
        self._usage: Any = None

    def _add_other(self, chunk: Any, last: Any) -> bool:
        """Add a chunk with more than a text; `last` is the chunk before it."""
        first = self._first
        if first is None:
            self._first = chunk
        self._texts = []
        self._pieces += (chunk, self._texts)
        if chunk.usage is None:
            return False
        self._usage = chunk.usage
        return adds_only_usage(chunk, first, last)

    def size(self) -> int:
        """Return the approximate number of bytes of content held."""
        return sum(map(_size_of, self._pieces))

    def body(self) -> dict[str, Any]:
        """Return the stream in the shape of a body that was not streamed."""
        body = _head(self._first or self._last, self._last)
        try:
            for chunk in self._pieces:
                if not isinstance(chunk, _ONLY_TEXT):
                    merge_state(body, _extras_of(chunk), repeats_lists=True)
            body["choices"] = self._choices()
        except Exception:
            warn_sparsely("chunks", "the content of a stream could not be merged", exc_info=True)
            body["choices"] = []
        usage = _sent(self._usage) if self._usage is not None else _usage_elsewhere(body)
        return body if usage is None else {**body, "usage": usage}

    def _choices(self) -> list[dict[str, Any]]:
        choices: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        texts: defaultdict[int, list[Any]] = defaultdict(list)
        for piece in self._pieces:
            if isinstance(piece, list):
                if piece:
                    texts[0] += piece
            elif isinstance(piece, tuple):
                texts[piece[0]].append(piece[1])
            else:
                for index, choice in _indexed(piece):
                    texts[index].append(self._text_of(choice))
                    self._merge_rest(choices[index], choice)
        for index, pieces in texts.items():
            content, place = merge_content(pieces), self._place_of_text(choices[index])
            if content is not None:
                place[self.TEXT] = content
        return [{"index": index, **choices[index]} for index in sorted(choices)]

    def _merge_rest(self, whole: dict[str, Any], choice: BaseModel) -> None:
        """Merge all fields of a choice but its text."""
        merge_state(whole, choice.model_dump(exclude=_NOT_MERGED, exclude_unset=True, warnings=False))

    def _place_of_text(self, whole: dict[str, Any]) -> dict[str, Any]:
        return whole

    def _text_of(self, choice: Any) -> Any:
        return getattr(choice, self.TEXT, None)


def _size_of(piece: Any) -> int:
    if isinstance(piece, list):
        return sum(map(len, piece))
    return len(piece[1]) if isinstance(piece, tuple) else _CHUNK_BYTES


def _indexed(chunk: Any) -> Iterator[tuple[int, BaseModel]]:
    """Yield the choices of a chunk with their index, which is their position if the server omits it."""
    for position, choice in enumerate(choices_of(chunk)):
        index = getattr(choice, "index", None)
        yield index if type(index) is int else position, choice


def _extras_of(chunk: Any) -> dict[str, Any]:
    """Return the fields of a chunk that the head of a body lacks and that are not null."""
    fields = {**vars(chunk), **(chunk.model_extra or {})}
    return {name: _sent(value) for name, value in fields.items() if value is not None and name not in WITHOUT_DATA}


def _head(first: Any, last: Any) -> dict[str, Any]:
    """Return the facts about a stream from its last chunk, else from its first; Azure's first chunk has none."""
    head: dict[str, Any] = {}
    for name in ("id", "object", "created", "model", "service_tier", "system_fingerprint"):
        sent = [getattr(chunk, name) for chunk in (last, first) if name in getattr(chunk, "model_fields_set", ())]
        if sent:
            head[name] = sent[0] or sent[-1]
    if isinstance(kind := head.get("object"), str):
        head["object"] = kind.removesuffix(".chunk")
    return head


def _usage_elsewhere(body: Mapping[str, Any]) -> Any:
    """Return a usage that the server reports in a choice or under a name of its own, as Moonshot and Groq do."""
    for place in (*body["choices"], body.get("x_groq")):
        if usage := dictionary(place).get("usage"):
            return usage
    return None


def _sent(value: Any) -> Any:
    """Return the data from which an SDK object was made; any other value unchanged."""
    return value.model_dump(exclude_unset=True, warnings=False) if isinstance(value, BaseModel) else value

"""Chat completions."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from openai import BaseModel
from openai.types.chat import ChatCompletionChunk

from monitored_openai._endpoints.base import Endpoint
from monitored_openai._endpoints.parsing import (
    adds_only_usage,
    as_dict,
    choices_of,
    merge_delta,
    parse_completion,
    stream_head,
)
from monitored_openai._logging import warn_sparsely


class ChatAccumulator:
    """Collects a chat stream: the texts of each choice, and choices with more than a text as objects."""

    __slots__ = ("_first", "_last", "_rest", "_texts", "_usage")

    def __init__(self) -> None:
        self._first: Any = None
        self._last: Any = None
        self._texts: defaultdict[int, list[Any]] = defaultdict(list)
        self._rest: list[Any] = []
        self._usage: Any = None

    def add(self, chunk: Any) -> bool:
        """Add one chunk; return true if it only contains the usage."""
        last, self._last = self._last, chunk
        try:
            choices = chunk.choices
            if chunk.usage is None and len(choices) == 1:
                (choice,) = choices
                delta = choice.delta
                if choice.finish_reason is None and delta.__pydantic_fields_set__ == _ONLY_CONTENT:
                    self._texts[choice.index].append(delta.content)  # most chunks of a stream
                    return False
        except (AttributeError, TypeError):  # the server omitted a field or sent null
            return self._add_other(chunk, last)
        return self._add_other(chunk, last)

    def _add_other(self, chunk: Any, last: Any) -> bool:
        first = self._first
        if first is None:
            self._first = chunk
        if chunk.usage is not None:
            self._usage = chunk.usage
        choices = choices_of(chunk)
        if not choices:
            return adds_only_usage(chunk, first, last)
        for choice in choices:
            self._texts[getattr(choice, "index", 0)].append(getattr(_delta_of(choice), "content", None))
            self._rest.append(choice)
        return False

    def size(self) -> int:
        """Return the approximate number of bytes of content held."""
        return sum(sum(map(len, self._texts_of(index))) for index in self._texts) + _REST_BYTES * len(self._rest)

    def _texts_of(self, index: int) -> list[str]:
        return [text for text in self._texts[index] if isinstance(text, str)]

    def body(self) -> dict[str, Any]:
        """Return the stream as a body that was not streamed."""
        try:
            choices = self._choices()
        except Exception:
            warn_sparsely("chunks", "the content of a stream could not be merged", exc_info=True)
            choices = []
        return {**stream_head(self._first or self._last, self._last), "choices": choices, "usage": as_dict(self._usage)}

    def _choices(self) -> list[dict[str, Any]]:
        choices: dict[int, dict[str, Any]] = {}
        for choice in self._rest:
            index = getattr(choice, "index", 0)
            whole = choices.setdefault(index, {"index": index, "message": {}})
            if choice.finish_reason is not None:
                whole["finish_reason"] = choice.finish_reason
            if (delta := _delta_of(choice)) is not None:
                merge_delta(whole["message"], delta.model_dump(exclude={"content"}, warnings=False))
        for index in self._texts:
            whole = choices.setdefault(index, {"index": index, "message": {}})
            if texts := self._texts_of(index):
                whole["message"]["content"] = "".join(texts)
        return list(choices.values())


def _delta_of(choice: Any) -> BaseModel | None:
    delta = getattr(choice, "delta", None)
    return delta if isinstance(delta, BaseModel) else None


_ONLY_CONTENT = {"content"}
_REST_BYTES = 1000
"""Approximate memory of one choice that is kept as an object, in bytes."""

CHAT = Endpoint(
    path="/chat/completions",
    operation="chat",
    api_type="chat_completions",
    usage_on_request=True,
    accumulator=ChatAccumulator,
    chunk_type=ChatCompletionChunk,
    parse=parse_completion,
)

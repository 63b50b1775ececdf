"""Legacy completions."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from openai.types import Completion

from monitored_openai._endpoints.base import Endpoint
from monitored_openai._endpoints.parsing import adds_only_usage, as_dict, choices_of, parse_completion, stream_head


class CompletionAccumulator:
    """Collects the stream of a legacy completion."""

    __slots__ = ("_finish_reasons", "_first", "_last", "_texts", "_usage")

    def __init__(self) -> None:
        self._first: Any = None
        self._last: Any = None
        self._texts: defaultdict[int, list[str]] = defaultdict(list)
        self._finish_reasons: dict[int, str] = {}
        self._usage: Any = None

    def add(self, chunk: Any) -> bool:
        """Add one chunk; return true if it only contains the usage."""
        first, last = self._first, self._last
        if first is None:
            self._first = chunk
        self._last = chunk
        usage = chunk.usage
        if usage is not None:
            self._usage = usage
        choices = choices_of(chunk)
        if not choices:
            return adds_only_usage(chunk, first, last)
        for choice in choices:  # a server may omit any field
            index, part, reason = (getattr(choice, name, None) for name in ("index", "text", "finish_reason"))
            self._texts[index or 0].append(part if isinstance(part, str) else "")
            if reason is not None:
                self._finish_reasons[index or 0] = reason
        return False

    def size(self) -> int:
        """Return the approximate number of bytes of content held."""
        return sum(sum(map(len, texts)) for texts in self._texts.values())

    def body(self) -> dict[str, Any]:
        """Return the stream as a body that was not streamed."""
        choices = [
            {"index": index, "text": "".join(texts), "finish_reason": self._finish_reasons.get(index)}
            for index, texts in self._texts.items()
        ]
        return {**stream_head(self._first, self._last), "choices": choices, "usage": as_dict(self._usage)}


COMPLETIONS = Endpoint(
    path="/completions",
    operation="text_completion",
    usage_on_request=True,
    accumulator=CompletionAccumulator,
    chunk_type=Completion,
    parse=parse_completion,
)

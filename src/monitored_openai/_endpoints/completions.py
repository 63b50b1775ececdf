"""Legacy completions."""

from __future__ import annotations

from typing import Any

from openai.types import Completion

from monitored_openai._endpoints.base import Endpoint
from monitored_openai._endpoints.choice_stream import PADDING, WITHOUT_DATA, ChoiceAccumulator
from monitored_openai._endpoints.parsing import parse_completion


class CompletionAccumulator(ChoiceAccumulator):
    """Collects the stream of a legacy completion."""

    __slots__ = ()
    TEXT = "text"

    def add(self, chunk: Any) -> bool:
        """Add one chunk; return true if it only contains the usage."""
        last, self._last = self._last, chunk
        try:
            choices = chunk.choices
            if chunk.usage is None and len(choices) == 1:
                (choice,) = choices
                if (  # most chunks of a stream
                    self._first is not None
                    and choice.finish_reason is None
                    and choice.logprobs is None
                    and not choice.__pydantic_extra__
                    and (index := choice.index).__class__ is int
                    and (text := choice.text).__class__ is str
                    and chunk.__pydantic_fields_set__ <= WITHOUT_DATA
                    and (not (extra := chunk.__pydantic_extra__) or extra.keys() <= PADDING)
                ):
                    self._pieces.append((index, text) if index else text)
                    return False
        except (AttributeError, TypeError):  # the server omitted a field or sent null
            return self._add_other(chunk, last)
        return self._add_other(chunk, last)


COMPLETIONS = Endpoint(
    path="/completions",
    operation="text_completion",
    usage_on_request=True,
    accumulator=CompletionAccumulator,
    chunk_type=Completion,
    parse=parse_completion,
)

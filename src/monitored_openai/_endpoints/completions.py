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
            fields = chunk.__dict__  # pydantic's own access to a field takes several times as long
            choices = fields["choices"]
            if fields["usage"] is None and len(choices) == 1 and self._first is not None:
                choice = choices[0]
                given = choice.__dict__
                if (  # most chunks of a stream
                    given["finish_reason"] is None
                    and given["logprobs"] is None
                    and (index := given["index"]).__class__ is int
                    and (text := given["text"]).__class__ is str
                    and not choice.__pydantic_extra__
                    and (not (extra := chunk.__pydantic_extra__) or extra.keys() <= PADDING)
                    and chunk.__pydantic_fields_set__.isdisjoint(_MERGED)
                ):
                    if index:
                        self._pieces.append((index, text))
                    else:
                        self._texts.append(text)
                    return False
        except (AttributeError, KeyError, TypeError):  # the server omitted a field or sent null
            return self._add_other(chunk, last)
        return self._add_other(chunk, last)


_MERGED = tuple(Completion.model_fields.keys() - WITHOUT_DATA)

COMPLETIONS = Endpoint(
    path="/completions",
    operation="text_completion",
    usage_on_request=True,
    accumulator=CompletionAccumulator,
    chunk_type=Completion,
    parse=parse_completion,
)

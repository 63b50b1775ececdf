"""Chat completions."""

from __future__ import annotations

from typing import Any

from openai import BaseModel
from openai.types.chat import ChatCompletionChunk

from monitored_openai._endpoints.base import Endpoint
from monitored_openai._endpoints.choice_stream import PADDING, WITHOUT_DATA, ChoiceAccumulator
from monitored_openai._endpoints.parsing import parse_completion
from monitored_openai._endpoints.stream_merge import merge_delta


class ChatAccumulator(ChoiceAccumulator):
    """Collects a chat stream."""

    __slots__ = ()
    TEXT = "content"

    def add(self, chunk: Any) -> bool:
        """Add one chunk; return true if it only contains the usage."""
        last, self._last = self._last, chunk
        try:
            fields = chunk.__dict__  # pydantic's own access to a field takes several times as long
            choices = fields["choices"]
            if fields["usage"] is None and len(choices) == 1 and self._first is not None:
                choice = choices[0]
                given = choice.__dict__
                delta = given["delta"]
                if (  # most chunks of a stream
                    given["finish_reason"] is None
                    and given["logprobs"] is None
                    and delta.__pydantic_fields_set__ == _ONLY_CONTENT
                    and (index := given["index"]).__class__ is int
                    and (text := delta.__dict__["content"]).__class__ is str
                    and not delta.__pydantic_extra__
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

    def _text_of(self, choice: Any) -> Any:
        return getattr(_delta_of(choice), "content", None)

    def _merge_rest(self, whole: dict[str, Any], choice: BaseModel) -> None:
        super()._merge_rest(whole, choice)
        message = self._place_of_text(whole)
        if (delta := _delta_of(choice)) is not None:
            if "content" in delta.model_fields_set:
                message.setdefault("content", None)
            merge_delta(message, delta.model_dump(exclude={"content"}, exclude_unset=True, warnings=False))
        if isinstance(so_far := (choice.model_extra or {}).get("message"), dict):
            whole[_SO_FAR] = so_far

    def _place_of_text(self, whole: dict[str, Any]) -> dict[str, Any]:
        message: dict[str, Any] = whole.setdefault("message", {})
        return message

    def _choices(self) -> list[dict[str, Any]]:
        choices = super()._choices()
        for choice in choices:
            if so_far := choice.pop(_SO_FAR, None):
                merged = {name: value for name, value in choice["message"].items() if value is not None}
                choice["message"] = {**so_far, **merged}
            if isinstance(calls := choice["message"].get("tool_calls"), list):
                choice["message"]["tool_calls"] = _in_order(calls)
        return choices


def _in_order(calls: list[Any]) -> list[Any]:
    """Return the tool calls by their index, without it, as in a body that was not streamed."""
    indexes = [call.get("index") if isinstance(call, dict) else None for call in calls]
    if all(type(index) is int for index in indexes):
        calls = sorted(calls, key=lambda call: int(call["index"]))
    without = ({n: v for n, v in call.items() if n != "index"} if isinstance(call, dict) else call for call in calls)
    return list(without)


def _delta_of(choice: Any) -> BaseModel | None:
    delta = getattr(choice, "delta", None)
    return delta if isinstance(delta, BaseModel) else None


_ONLY_CONTENT = {"content"}
_MERGED = tuple(ChatCompletionChunk.model_fields.keys() - WITHOUT_DATA)
"""Fields of a chunk in the SDK that are merged over all chunks; few versions of the SDK have one."""
_SO_FAR = "message_so_far"
"""The latest whole message that the server sent with a delta; it only adds fields that the deltas lack."""

CHAT = Endpoint(
    path="/chat/completions",
    operation="chat",
    api_type="chat_completions",
    usage_on_request=True,
    accumulator=ChatAccumulator,
    chunk_type=ChatCompletionChunk,
    parse=parse_completion,
)

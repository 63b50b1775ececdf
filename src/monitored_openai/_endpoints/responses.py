"""Responses: how their bodies and the events of their streams are read; making, compacting, looking at and cancelling."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from openai import BaseModel

from monitored_openai._endpoints.base import BACKGROUND, Endpoint, ParsedResponse, amount, dictionary, text
from monitored_openai._endpoints.reading import plain, read_usage, why_unknown
from monitored_openai._logging import warn_sparsely

_NOT_BEGUN = frozenset({"response.created", "response.queued", "response.in_progress"})
_WAITING = frozenset({"queued", "in_progress"})
_PARTS = {
    "response.output_text.delta": ("content", "output_text", "text"),
    "response.refusal.delta": ("content", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_text", "text"),
}
"""For the deltas that are parts of an item: the list in it, the type of the part, and the field that grows."""
_FIELDS = {
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.code_interpreter_call_code.delta": "code",
}
"""For the deltas of an item itself: the field that grows."""
_ITEM_BYTES = 1000
"""Roughly what one item of the output takes."""


class ResponseAccumulator:
    """A stream's events as far as they got: the last state of the whole, and what has been said since."""

    __slots__ = ("_deltas", "_done", "_error", "_items", "_response")

    def __init__(self) -> None:
        self._response: Any = None
        self._items: dict[int, Any] = {}
        self._done: set[int] = set()
        self._deltas: defaultdict[tuple[str, int, int], list[str]] = defaultdict(list)
        self._error: dict[str, Any] | None = None

    def add(self, chunk: Any) -> bool | None:
        """Take in one event; `None` when the answer has not begun by it."""
        event, kind = chunk, chunk.type
        if kind in _PARTS:
            part = event.summary_index if kind == "response.reasoning_summary_text.delta" else event.content_index
            self._deltas[kind, event.output_index, part].append(event.delta or "")
        elif kind in _FIELDS:
            self._deltas[kind, event.output_index, 0].append(event.delta or "")
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._items[event.output_index] = event.item
            if kind == "response.output_item.done":
                self._done.add(event.output_index)
        elif kind == "error":
            self._error = {"code": event.code, "message": event.message}
        elif kind is None and (data := dictionary(getattr(event, "data", None))).get("type") == "error":
            self._error = {"code": data.get("code"), "message": data.get("message")}  # the SDK before 2.x
        elif (response := getattr(event, "response", None)) is not None:
            self._response = response
            return None if kind in _NOT_BEGUN else False
        return False

    def size(self) -> int:
        """About how many bytes of content are kept."""
        return sum(len("".join(map(str, texts))) for texts in self._deltas.values()) + _ITEM_BYTES * len(self._items)

    def body(self) -> dict[str, Any]:
        """The stream put together as if it had not been streamed."""
        body: dict[str, Any] = dict(dictionary(plain(self._response)))
        if not body.get("output"):
            try:
                body["output"] = self._output()
            except Exception:
                warn_sparsely("events", "the content of a stream could not be put together", exc_info=True)
        return body if self._error is None else {"status": "failed", **body, "error": self._error}

    def _output(self) -> list[Any]:
        items = {index: plain(item) for index, item in self._items.items()}
        for (kind, index, _), texts in self._deltas.items():
            if index in self._done:
                continue
            item = items.setdefault(index, {})
            whole = "".join(map(str, texts))
            if kind in _FIELDS:
                item[_FIELDS[kind]] = whole
            else:
                parts, part_type, field = _PARTS[kind]
                item[parts] = [*(item.get(parts) or ()), {"type": part_type, field: whole}]
        return [items[index] for index in sorted(items)]


def read_response(body: Mapping[str, Any]) -> ParsedResponse:
    """Read the body of a response."""
    status, error = text(body.get("status")), dictionary(body.get("error"))
    usage, finished = read_usage(body.get("usage")), status not in _WAITING
    in_background = usage is None and not finished and body.get("background") is True
    failed = bool(error) or status == "failed"
    reason = "failed" if failed else text(dictionary(body.get("incomplete_details")).get("reason")) or status
    return ParsedResponse(
        model=text(body.get("model")),
        id=text(body.get("id")),
        service_tier=text(body.get("service_tier")),
        finish_reasons=(reason,) if reason else (),
        usage=usage,
        usage_unknown=BACKGROUND if in_background else why_unknown(usage, body.get("usage")),
        body=body,
        error_code=text(error.get("code")) or "failed" if failed else None,
        error_message=text(error.get("message")),
        finished=finished,
        provider_cost=amount(dictionary(body.get("usage")).get("cost")),
    )


def _family(path: str, operation: str, **more: Any) -> Endpoint:
    return Endpoint(
        path=path,
        operation=operation,
        answer=read_response,
        chunks=ResponseAccumulator,
        chunk_type=BaseModel,
        **more,
    )


RESPONSES = _family("/responses", "chat", owes=True)
COMPACT = _family("/responses/compact", "compaction", names_model=False)
RETRIEVE = _family("/responses/{response_id}", "retrieve", method="get", repeats=True)
CANCEL = _family("/responses/{response_id}/cancel", "cancel", repeats=True)

"""Responses: create, compact, retrieve and cancel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any

from monitored_openai._endpoints.base import BACKGROUND, Endpoint, ParsedResponse, dictionary, text
from monitored_openai._endpoints.parsing import as_plain, plain_facts
from monitored_openai._endpoints.tools import response_tools
from monitored_openai._endpoints.usage import cache_retention
from monitored_openai._logging import warn_sparsely

_BEFORE_OUTPUT = frozenset({"response.created", "response.queued", "response.in_progress"})
_UNFINISHED = frozenset({"queued", "in_progress"})
_PARTS = {
    "response.output_text.delta": ("content", "output_text", "text"),
    "response.refusal.delta": ("content", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_text", "text"),
}
"""Deltas for a part of an item, by type: the item's list, the type of the part, the field that the delta extends."""
_FIELDS = {
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.code_interpreter_call_code.delta": "code",
}
"""Deltas for an item itself, by type: the field that the delta extends."""
_ITEM_BYTES = 1000
"""Approximate memory of one item of the output, in bytes."""


class ResponseAccumulator:
    """Collects the events of a stream: the latest state of the response, its items and their deltas."""

    __slots__ = ("_deltas", "_done", "_error", "_items", "_response")

    def __init__(self) -> None:
        self._response: Any = None
        self._items: dict[int, Any] = {}
        self._done: set[int] = set()
        self._deltas: defaultdict[tuple[str, int, int], list[str]] = defaultdict(list)
        self._error: dict[str, Any] | None = None

    def add(self, chunk: Any) -> bool | None:
        """Add one event; return `None` if it precedes the first output."""
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
            self._error = {"code": event.code, "message": event.message, "param": getattr(event, "param", None)}
        elif kind is None and (data := dictionary(getattr(event, "data", None))).get("type") == "error":
            self._error = {name: data.get(name) for name in ("code", "message", "param")}  # SDK 1.x
        elif (response := getattr(event, "response", None)) is not None:
            self._response = response
            return None if kind in _BEFORE_OUTPUT else False
        return False

    def size(self) -> int:
        """Return the approximate number of bytes of content held."""
        return sum(len("".join(map(str, texts))) for texts in self._deltas.values()) + _ITEM_BYTES * len(self._items)

    def body(self) -> dict[str, Any]:
        """Return the stream as a body that was not streamed."""
        body: dict[str, Any] = dict(dictionary(as_plain(self._response)))
        if not body.get("output"):
            try:
                body["output"] = self._output()
            except Exception:
                warn_sparsely("events", "the content of a stream could not be merged", exc_info=True)
        return body if self._error is None else {"status": "failed", **body, "error": self._error}

    def _output(self) -> list[Any]:
        items = {index: as_plain(item) for index, item in self._items.items()}
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


def parse_response(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse the body of a response."""
    return ParsedResponse(**_facts(body), **response_tools(body))


def parse_compacted(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse the body of a compacted response, which repeats the tool calls of other responses."""
    return ParsedResponse(**_facts(body))


def _facts(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `ParsedResponse`, without those about tools."""
    status, error = text(body.get("status")), dictionary(body.get("error"))
    facts, finished = plain_facts(body), status not in _UNFINISHED
    background = body.get("background") is True
    failed = bool(error) or status == "failed"
    reason = "failed" if failed else text(dictionary(body.get("incomplete_details")).get("reason")) or status
    if background and not finished and facts["usage"] is None:
        facts["usage_unknown"] = BACKGROUND
    facts["finish_reasons"] = (reason,) if reason else ()
    return {
        **facts,
        "error_code": text(error.get("code")) or "failed" if failed else None,
        "error_message": text(error.get("message")),
        "finished": finished,
        "cache_retention": cache_retention(body),
        "background": background,
    }


_endpoint = partial(Endpoint, api_type="responses", parse=parse_response, accumulator=ResponseAccumulator)
RESPONSES = _endpoint("/responses", "chat", defers_usage=True)
COMPACT = _endpoint("/responses/compact", "compaction", parse=parse_compacted, returns_model=False)
RETRIEVE = _endpoint("/responses/{response_id}", "retrieve", method="get", reports_deferred_usage=True)
CANCEL = _endpoint("/responses/{response_id}/cancel", "cancel", reports_deferred_usage=True)

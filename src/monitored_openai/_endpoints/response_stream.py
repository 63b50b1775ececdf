"""Collects the events of a response's stream, and merges them into one body, as without streaming."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from monitored_openai._endpoints.base import dictionary
from monitored_openai._endpoints.parsing import as_plain
from monitored_openai._logging import warn_sparsely

_BEFORE_OUTPUT = frozenset({"response.created", "response.queued", "response.in_progress"})
_PARTS = {
    "output_text": ("content", "output_text", "text"),
    "refusal": ("content", "refusal", "refusal"),
    "reasoning_text": ("content", "reasoning_text", "text"),
    "reasoning_summary_text": ("summary", "summary_text", "text"),
}
"""By the middle of a delta's type: the list of the item, the type of the part, and the field that the delta extends."""
_FIELDS = {
    "function_call_arguments": "arguments",
    "mcp_call_arguments": "arguments",
    "custom_tool_call_input": "input",
    "code_interpreter_call_code": "code",
}
"""The field of an item that a delta extends, by the middle of its type."""
_DELTAS = {f"response.{name}.delta": name for name in (*_PARTS, *_FIELDS)}
_DONE = {f"response.{name}.done": name for name in (*_PARTS, *_FIELDS)}
_PART_EVENTS = {
    "response.content_part.added": "content",
    "response.content_part.done": "content",
    "response.reasoning_summary_part.added": "summary",
    "response.reasoning_summary_part.done": "summary",
}
"""Events with a whole part, by type: the item's list."""
_ANNOTATION = "response.output_text.annotation.added"
_ITEM_BYTES = 1000
"""Approximate memory of one item of the output, or of one rare event, in bytes."""
_MOST_PARTS = 1000

_Place = tuple[str, Any, Any, Any]
"""The place of a delta: the middle of its type, `output_index`, the index of the part, and `item_id`."""


class ResponseAccumulator:
    """Collects the events of a stream: the latest state of the response, its items and their deltas."""

    __slots__ = ("_deltas", "_done", "_error", "_items", "_others", "_response")

    def __init__(self) -> None:
        self._response: Any = None
        self._items: dict[Any, Any] = {}
        self._done: set[Any] = set()
        self._deltas: defaultdict[_Place, list[str]] = defaultdict(list)
        self._others: list[Any] = []
        self._error: dict[str, Any] | None = None

    def add(self, chunk: Any) -> bool | None:
        """Add one event; return `None` if it precedes the first output."""
        event, kind = chunk, chunk.type
        if (name := _DELTAS.get(kind)) is not None:
            self._deltas[_place(name, event)].append(getattr(event, "delta", None) or "")
            if getattr(event, "logprobs", None):
                self._others.append(event)
        elif kind in ("response.output_item.added", "response.output_item.done"):
            index = getattr(event, "output_index", None)
            index = len(self._items) if index is None else index
            self._items[index] = event.item
            if kind == "response.output_item.done":
                self._done.add(index)
        elif kind == "error":
            self._error = {"code": event.code, "message": event.message, "param": getattr(event, "param", None)}
        elif kind is None and (data := dictionary(getattr(event, "data", None))).get("type") == "error":
            self._error = {name: data.get(name) for name in ("code", "message", "param")}  # SDK 1.x
        elif (response := getattr(event, "response", None)) is not None:
            self._response = response
            return None if kind in _BEFORE_OUTPUT else False
        elif kind in _DONE or kind in _PART_EVENTS or kind == _ANNOTATION or isinstance(_text(event), str):
            self._others.append(event)
        return False

    def size(self) -> int:
        """Return the approximate number of bytes of content held."""
        texts = sum(len("".join(map(str, texts))) for texts in self._deltas.values())
        return texts + _ITEM_BYTES * (len(self._items) + len(self._others))

    def body(self) -> dict[str, Any]:
        """Return the stream in the shape of a body that was not streamed."""
        body: dict[str, Any] = dict(dictionary(as_plain(self._response)))
        if not body.get("output"):
            try:
                body["output"] = self._output()
            except Exception:
                warn_sparsely("events", "the content of a stream could not be merged", exc_info=True)
        return body if self._error is None else {"status": "failed", **body, "error": self._error}

    def _output(self) -> list[Any]:
        output = _Output({index: as_plain(item) for index, item in self._items.items()}, self._done)
        for event in self._others:
            if event.type in _PART_EVENTS:
                output.set_part(event, _PART_EVENTS[event.type])
        for (name, index, part, item_id), texts in self._deltas.items():
            output.extend(name, output.position(index, item_id), part, "".join(map(str, texts)))
        for event in self._others:
            output.add(event)
        return output.items()


class _Output:
    """The items of an output while the events are merged. Items that the server has sent whole do not change."""

    def __init__(self, items: dict[Any, Any], done: set[Any]) -> None:
        self._items, self._done = items, done

    def items(self) -> list[Any]:
        return [
            self._items[index]
            for index in sorted(self._items, key=lambda index: (type(index) is not int, str(index).zfill(9)))
        ]

    def position(self, index: Any, item_id: Any) -> Any:
        """Return the position of an item; without an index, of the item with the same id, else of the last one."""
        if index is not None:
            return index
        same = [at for at, item in self._items.items() if item_id is not None and dictionary(item).get("id") == item_id]
        return same[0] if same else max((at for at in self._items if type(at) is int), default=0)

    def extend(self, name: str, position: Any, part: Any, whole: str) -> None:
        """Append a text to a field of an item, or to a part of it."""
        if position in self._done:
            return
        item = self._item(position)
        if name in _FIELDS:
            item[_FIELDS[name]] = (item.get(_FIELDS[name]) or "") + whole
            return
        parts, part_type, field = _PARTS.get(name, ("content", name, "text"))
        target = self._part(item, parts, part, part_type)
        target[field] = (target.get(field) or "") + whole

    def set_part(self, event: Any, parts: str) -> None:
        """Create the part that an event begins or ends; only the event that begins it sets its fields."""
        position = self._position_of(event)
        if position not in self._done:
            whole = dictionary(as_plain(getattr(event, "part", None)))
            self._part(self._item(position), parts, _part_index(event), str(whole.get("type"))).update(
                {} if event.type.endswith(".done") else whole
            )

    def add(self, event: Any) -> None:
        """Add a rare event: an annotation, log probabilities, a whole text, or a delta of an unknown type."""
        position, kind = self._position_of(event), event.type
        if position in self._done or kind in _PART_EVENTS:
            return
        item = self._item(position)
        if kind == _ANNOTATION:
            part = self._part(item, "content", _part_index(event), "output_text")
            part["annotations"] = [*(part.get("annotations") or ()), as_plain(getattr(event, "annotation", None))]
        elif kind in _DELTAS:
            part = self._part(item, "content", _part_index(event), "output_text")
            part["logprobs"] = [*(part.get("logprobs") or ()), *map(as_plain, event.logprobs)]
        elif kind in _DONE:
            self._set_whole(item, _DONE[kind], event)
        else:
            self.extend(str(kind).removeprefix("response.").removesuffix(".delta"), position, None, _text(event) or "")

    def _set_whole(self, item: dict[str, Any], name: str, event: Any) -> None:
        if name in _FIELDS:
            field, target = _FIELDS[name], item
        else:
            parts, part_type, field = _PARTS[name]
            target = self._part(item, parts, _part_index(event), part_type)
        whole = getattr(event, field, None)
        if isinstance(whole, str) and len(whole) >= len(target.get(field) or ""):
            target[field] = whole

    def _position_of(self, event: Any) -> Any:
        return self.position(getattr(event, "output_index", None), getattr(event, "item_id", None))

    def _item(self, position: Any) -> dict[str, Any]:
        item = self._items.setdefault(position, {})
        if not isinstance(item, dict):
            item = self._items[position] = {}
        return item

    @staticmethod
    def _part(item: dict[str, Any], name: str, index: Any, part_type: str) -> dict[str, Any]:
        """Return a part of an item's list; if the index is missing, the last part of the same type."""
        parts: list[Any] = list(item.get(name) or ())
        item[name] = parts
        if type(index) is not int or not 0 <= index < _MOST_PARTS:
            same = [at for at, part in enumerate(parts) if dictionary(part).get("type") == part_type]
            index = same[-1] if same else len(parts)
        while len(parts) <= index:
            parts.append({"type": part_type})
        part: dict[str, Any] = dict(dictionary(parts[index]))
        parts[index] = part
        return part


def _place(name: str, event: Any) -> _Place:
    index = getattr(event, "output_index", None)
    return name, index, _part_index(event), getattr(event, "item_id", None) if index is None else None


def _part_index(event: Any) -> Any:
    index = getattr(event, "content_index", None)
    return getattr(event, "summary_index", None) if index is None else index


def _text(event: Any) -> str | None:
    """Return the text of a delta of an unknown type; `None` for any other event."""
    delta = getattr(event, "delta", None)
    return delta if isinstance(delta, str) and str(event.type).endswith(".delta") else None

"""Merges the fragments of a streamed message by their content, because servers differ in indexes, ids and names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from monitored_openai._endpoints.base import dictionary
from monitored_openai._json import decode

_CONSTANT = frozenset({"id", "type", "role", "format", "object", "index"})
"""Fields that each fragment repeats whole."""
_JOINED_PARTS = frozenset({"text", "output_text", "thinking", "refusal"})
"""Types of content parts that a stream sends in pieces."""


def merge_delta(whole: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Merge one delta into the message so far: append texts, and merge lists entry by entry."""
    for name, value in delta.items():
        before = whole.get(name)
        if before is None:
            whole[name] = None
        if value is None or (name in _CONSTANT and before not in (None, "")):
            continue
        if isinstance(value, str) and isinstance(before, str):
            repeated = name == "name" and value == before
            whole[name] = before if repeated else before + value
        elif isinstance(value, dict) and isinstance(before, dict | None):
            merge_delta(_own(whole, name, dict), value)
        elif isinstance(value, list) and isinstance(before, list | None):
            _merge_entries(_own(whole, name, list), value, are_calls=name == "tool_calls")
        elif isinstance(value, str | dict | list) and before not in (None, ""):
            whole[name] = [*before, value] if isinstance(before, list) else [before, value]
        elif before == "" or not isinstance(before, str | dict | list):
            whole[name] = value


def merge_state(whole: dict[str, Any], fields: Mapping[str, Any], *, repeats_lists: bool = False) -> None:
    """Merge fields outside the deltas: a later value replaces an earlier one, lists grow, objects merge.

    `repeats_lists`: True if a list that starts with the list so far replaces it, because some servers send all
    citations in each chunk. An object with a true `filtered` or `detected` (a hit of a content filter) never changes.
    """
    for name, value in fields.items():
        before = whole.get(name)
        if before is None:
            whole[name] = value
        elif isinstance(value, dict) and isinstance(before, dict):
            if before.get("filtered") is not True and before.get("detected") is not True:
                whole[name] = merged = dict(before)
                merge_state(merged, value, repeats_lists=repeats_lists)
        elif isinstance(value, list) and isinstance(before, list):
            whole[name] = value if repeats_lists and value[: len(before)] == before else [*before, *value]
        elif value is not None:
            whole[name] = value


def merge_content(pieces: Iterable[Any]) -> Any:
    """Merge pieces of a content: to a text, or to a list of parts if one of the pieces is not a text."""
    sent = [piece for piece in pieces if piece is not None]
    if not sent:
        return None
    if set(map(type, sent)) == {str}:
        return "".join(sent)
    parts: list[Any] = []
    for piece in sent:
        for part in piece if isinstance(piece, list) else [piece]:
            _add_part(parts, {"type": "text", "text": part} if isinstance(part, str) else part)
    return parts


def _add_part(parts: list[Any], part: Any) -> None:
    """Append a part, or extend the last part if it has the same type and the stream sends that type in pieces."""
    if not isinstance(part, dict):
        parts.append(part)
        return
    kind, last = part.get("type"), parts[-1] if parts else None
    if kind == "text" and part.get("text") == "" and len(part) == 2:
        return
    joins = isinstance(last, dict) and last.get("type") == kind and isinstance(kind, str) and kind in _JOINED_PARTS
    whole: dict[str, Any] = last if joins else {}  # type: ignore[assignment]  # it is a dictionary if it joins
    if not joins:
        parts.append(whole)
    for name, value in part.items():
        if isinstance(value, list) and isinstance(whole.get(name), list | None):
            inner = _own(whole, name, list)
            for inner_part in value:
                _add_part(inner, inner_part)
        else:
            merge_delta(whole, {name: value})


def _own(whole: dict[str, Any], name: str, kind: type[Any]) -> Any:
    """Return the container in a field, which is a new one if the field has none."""
    if whole.get(name) is None:
        whole[name] = kind()
    return whole[name]


def _merge_entries(whole: list[Any], fragments: list[Any], *, are_calls: bool) -> None:
    for fragment in fragments:
        if not isinstance(fragment, dict):
            whole.append(fragment)
            continue
        entry = _entry_of(whole, fragment, are_calls=are_calls)
        if entry is None:
            entry = {}
            whole.append(entry)
        merge_delta(entry, fragment)


def _entry_of(whole: list[Any], fragment: Mapping[str, Any], *, are_calls: bool) -> dict[str, Any] | None:
    """Return the entry that a fragment continues; `None` if the fragment begins an entry.

    A new id with a name begins a new call, because some servers give all parallel calls the index 0. A new id without
    a name does not, because other servers invent an id for each fragment. A fragment without id and index
    continues the last call or reasoning.
    """
    index, entry_id = fragment.get("index"), fragment.get("id") or None
    unmarked = index is None and entry_id is None
    same_id = _with_id(whole, entry_id, fragment)
    if same_id is not None:
        return same_id
    for entry in reversed(whole):
        if not isinstance(entry, dict) or not _agree(entry.get("type"), fragment.get("type")):
            if unmarked:
                return None
            continue
        other_index, other_id = entry.get("index"), entry.get("id") or None
        if unmarked:
            continues = are_calls or str(fragment.get("type")).startswith("reasoning.")
            return entry if continues and not (are_calls and _begins_call(entry, fragment)) else None
        if index is not None and index == other_index:
            if entry_id is None or other_id is None:
                return None if are_calls and _begins_call(entry, fragment) else entry
            if are_calls and not _call_of(fragment).get("name"):
                return entry
    return None


def _with_id(whole: list[Any], entry_id: Any, fragment: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the last entry with this id whose type and index agree with those of the fragment."""
    if entry_id is None:
        return None
    for entry in reversed(whole):
        if not isinstance(entry, dict) or entry.get("id") != entry_id:
            continue
        if all(_agree(entry.get(name), fragment.get(name)) for name in ("type", "index")):
            return entry
    return None


def _agree(one: Any, other: Any) -> bool:
    return one is None or other is None or one == other


def _begins_call(entry: Mapping[str, Any], fragment: Mapping[str, Any]) -> bool:
    """Return whether a fragment without an id of its own begins another call: a name after complete arguments."""
    before, more = _call_of(entry), _call_of(fragment)
    if not more.get("name") or not before.get("name"):
        return False
    if fragment.get("index") is None and more["name"] != before["name"]:
        return True
    return bool(more.get("arguments")) and _is_complete(before.get("arguments"))


def _call_of(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return dictionary(entry.get("function") or entry.get("custom"))


def _is_complete(arguments: object) -> bool:
    if not isinstance(arguments, str) or not arguments.rstrip().endswith("}"):
        return False
    try:
        return isinstance(decode(arguments.encode()), dict)
    except ValueError:
        return False

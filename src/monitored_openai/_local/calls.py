"""Stores log entries as calls that the page lists, searches and opens."""

from __future__ import annotations

import json
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from monitored_openai._json import encode
from monitored_openai._local import strict_json
from monitored_openai._local.conversation import Turn, turns
from monitored_openai._local.history import History
from monitored_openai._local.ingest import ReceivedEntry

_SNIPPET_CHARACTERS = 240
_NAME_CHARACTERS = 200
_MOST_LABELS = 100
_MOST_LIST_BYTES = 8 * 1024 * 1024
_LEVEL = 1
"""Compression level; a line is written once and rarely read."""
GroupKey = Literal["session", "conversation", "trace"]
Order = Literal["time", "cost", "duration", "tokens"]
_SESSION_NAMES = ("session_id", "session")
_CONVERSATION_NAMES = ("conversation_id", "conversation", "thread_id", "thread")
"""Attributes that name a session or a conversation, the most exact first."""
_ORDERS = {"cost": "coalesce(cost, -1)", "duration": "coalesce(duration, -1)", "tokens": "coalesce(tokens, -1)"}
"""The SQL by which calls are sorted; -1 stands for unknown."""
_MOST_GROUPS = 200
_GROUPS = """
SELECT KEY AS key, count(*) AS calls, sum(failed) AS errors, total(cost) AS cost,
    sum(cost IS NULL OR json_extract(row, '$.cost_incomplete')) AS cost_incomplete,
    total(input_tokens) AS input_tokens, total(output_tokens) AS output_tokens,
    sum(input_tokens IS NULL OR output_tokens IS NULL) AS usage_unknown, total(duration) AS duration,
    CAST(min(at_ns) AS TEXT) AS first_ns, CAST(max(at_ns) AS TEXT) AS last_ns
FROM call WHERE CONDITION AND KEY IS NOT NULL GROUP BY KEY ORDER BY max(at_ns) DESC LIMIT ?
"""
_TEXTS = ("id", "operation", "provider", "request_model", "response_model", "response_id", "request_id", "trace_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """The calls that a list contains."""

    words: tuple[str, ...] = ()
    """Words that the call contains, in any case."""
    where: Mapping[str, str]
    failed: bool = False
    since_ns: int = 0
    """Nanoseconds since the epoch; earlier calls are left out."""
    until_ns: int | None = None
    """Nanoseconds since the epoch; calls at this time and later are left out."""
    group: tuple[GroupKey, str] | None = None
    """The calls of one session, conversation or trace."""
    order: Order = "time"
    """Newest, most expensive, longest or largest first; calls with an unknown value come last."""
    before: tuple[int, str] | None = None
    """Time and id of the last call of the previous page."""
    limit: int = 50

    @property
    def sql(self) -> tuple[str, list[object]]:
        """The condition without the page, and its values."""
        conditions, values = ["at_ns >= ?"], list[object]([self.since_ns])
        if self.until_ns is not None:
            conditions.append("at_ns < ?")
            values.append(self.until_ns)
        if self.failed:
            conditions.append("failed")
        if self.group is not None:
            conditions.append(f"{self.group[0]} = ?")
            values.append(_clean(self.group[1]))
        for name, value in self.where.items():
            conditions.append("coalesce(json_extract(labels, ?), '') = ?")
            values += [f'$."{name}"', value]
        for word in self.words:
            conditions.append("instr(search, ?)")
            values.append(_clean(word.casefold()))
        return " AND ".join(conditions), values


def keep(history: History, entries: Iterable[ReceivedEntry]) -> None:
    """Add calls; ignore known ids and the test entry of `doctor`.

    Raises:
        sqlite3.OperationalError: the history cannot be written now; nothing was added.
    """
    rows = [_columns(entry) for entry in entries if entry.metadata.get("doctor") != "true"]
    with history.writing() as connection:
        connection.executemany("INSERT OR IGNORE INTO call VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def search(history: History, chosen: CallFilter) -> list[bytes]:
    """Return the first calls that fit the filter, each as the JSON of a row; fewer if the rows have too many bytes."""
    condition, values = chosen.sql
    sorted_by = ("at_ns", "id") if chosen.order == "time" else (_ORDERS[chosen.order], "at_ns", "id")
    keys = ", ".join(sorted_by)
    if chosen.before is not None and chosen.order == "time":
        condition += " AND (at_ns, id) < (?, ?)"
        values += [chosen.before[0], _clean(chosen.before[1])]
    elif chosen.before is not None:
        condition += f" AND ({keys}) < (SELECT {keys} FROM call WHERE id = ?)"  # noqa: S608  # fixed texts
        values.append(_clean(chosen.before[1]))
    order = ", ".join(f"{key} DESC" for key in sorted_by)
    sql = f"SELECT row FROM call WHERE {condition} ORDER BY {order} LIMIT ?"  # noqa: S608  # fixed texts
    with history.reading() as connection:
        cursor = connection.execute(sql, (*values, chosen.limit))
        rows, size = list[bytes](), 0
        for (row,) in cursor:
            rows.append(row.encode())
            size += len(rows[-1]) + 1
            if size > _MOST_LIST_BYTES:
                break
        cursor.close()
        return rows


def groups(history: History, chosen: CallFilter, by: GroupKey) -> list[dict[str, Any]]:
    """Return the newest sessions, conversations or traces of the calls that fit the filter, with their sums."""
    condition, values = chosen.sql
    with history.reading() as connection:
        cursor = connection.execute(_GROUPS.replace("KEY", by).replace("CONDITION", condition), (*values, _MOST_GROUPS))
        columns = [name for name, *_ in cursor.description]
        return [dict(zip(columns, found, strict=True)) for found in cursor.fetchall()]


def number(history: History) -> int:
    """Return the number of calls."""
    with history.reading() as connection:
        (count,) = connection.execute("SELECT count(*) FROM call").fetchone()
    return int(count)


def details(history: History, identity: str) -> bytes | None:
    """Return a call with its conversation and its log line, as JSON; `None` if it is unknown."""
    with history.reading() as connection:
        row = connection.execute("SELECT row, line FROM call WHERE id = ?", (_clean(identity),)).fetchone()
    if row is None:
        return None
    line = zlib.decompress(row[1])
    spoken_turns = [
        {
            "role": turn.role,
            "side": turn.side,
            "text": turn.text,
            "tool": turn.tool,
            "media": [{"kind": one.kind, "detail": one.detail} for one in turn.media],
        }
        for turn in turns(_opened(line))
    ]
    return b'{"row":%b,"turns":%b,"line":%b}' % (row[0].encode(), encode(spoken_turns), encode(line.decode()))


def _opened(line: bytes) -> Mapping[str, Any]:
    try:
        return strict_json.parse(line)  # type: ignore[no-any-return]  # the history keeps objects only
    except ValueError:  # nested too deep
        return {}


def _columns(entry: ReceivedEntry) -> tuple[Any, ...]:
    call, spoken_turns = entry.call, turns(entry.call)
    identity = _name(call.get("id")) or f"{entry.timestamp_ns}"
    at_ns = min(max(entry.timestamp_ns, 0), 2**63 - 1)
    labels = _labels(entry)
    error = _name(call.get("error_type"))
    line = json.dumps(call, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    row = encode(
        {
            "id": identity,
            "at_ns": str(at_ns),  # as text: JavaScript's numbers are less precise
            "labels": labels,
            "error": error,
            "retries": _number(call.get("retries")),
            "duration": _number(call.get("duration_seconds")),
            "first_chunk": _number(call.get("time_to_first_chunk_seconds")),
            "input_tokens": _number(_part(call, "usage", "input_tokens")),
            "output_tokens": _number(_part(call, "usage", "output_tokens")),
            "cost": _number(_part(call, "cost", "total_usd")),
            "cost_incomplete": bool(call.get("cost_incomplete")),
            "asked": _snippet(spoken_turns, "asked"),
            "answered": _snippet(spoken_turns, "answered"),
            **_marks(call, spoken_turns),
            **_group_keys(call),
        }
    )
    search_text = _search_text(call, labels, spoken_turns)
    return (
        identity,
        at_ns,
        len(line),
        int(error is not None),
        encode(labels).decode(),
        row.decode(),
        search_text,
        _packed(line),
    )


def _marks(call: Mapping[str, Any], spoken_turns: list[Turn]) -> dict[str, Any]:
    """Return the values of the list's badges: a stream, offered tools, structured output, and media by kind."""
    request = call.get("request")
    sent = request if isinstance(request, dict) else {}
    text = sent.get("text")
    form = sent.get("response_format") or (text.get("format") if isinstance(text, dict) else None)
    tools = sent.get("tools") or sent.get("functions")
    return {
        "streamed": call.get("time_to_first_chunk_seconds") is not None or sent.get("stream") is True,
        "tools": len(tools) if isinstance(tools, list) else 0,
        "structured": isinstance(form, dict) and form.get("type") in ("json_schema", "json_object"),
        "media": Counter(one.kind for turn in spoken_turns for one in turn.media),
    }


def _group_keys(call: Mapping[str, Any]) -> dict[GroupKey, str | None]:
    """Return the session, the conversation and the trace of a call."""
    request, attributes = call.get("request"), call.get("attributes")
    conversation = request.get("conversation") if isinstance(request, dict) else None
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    named = attributes if isinstance(attributes, dict) else {}

    def first(names: tuple[str, ...]) -> str | None:
        return next((text for name in names if (text := _name(named.get(name)))), None)

    return {
        "session": first(_SESSION_NAMES),
        "conversation": _name(conversation) or first(_CONVERSATION_NAMES),
        "trace": _name(call.get("trace_id")),
    }


def _labels(entry: ReceivedEntry) -> dict[str, str]:
    call = entry.call
    attributes = call.get("attributes")
    own = {"model": call.get("request_model"), "operation": call.get("operation"), "provider": call.get("provider")}
    shared = {name: value for name, value in entry.stream.items() if name not in ("job", "shard")}
    pairs = [*shared.items(), *(attributes.items() if isinstance(attributes, dict) else ()), *own.items()]
    named = {_name(name) or "?": _name(value) for name, value in pairs[:_MOST_LABELS] + pairs[-len(own) :]}
    return {name: value for name, value in named.items() if value is not None}


def _search_text(call: Mapping[str, Any], labels: Mapping[str, str], spoken_turns: Iterable[Turn]) -> str:
    texts = [*(call.get(name) for name in (*_TEXTS, "error_type", "error_message")), *labels.values()]
    spoken = (part for turn in spoken_turns for part in (turn.tool, str(turn)))
    return _clean("\n".join(str(text) for text in (*texts, *spoken) if text).casefold())


def _snippet(spoken_turns: list[Turn], side: str) -> str:
    """Return the beginning of the last question of the user, or of the first answer."""
    of_side = [turn for turn in spoken_turns if turn.side == side and str(turn)]
    by_users = [turn for turn in of_side if turn.role == "user"]
    if not of_side:
        return ""
    turn = (by_users or of_side)[-1] if side == "asked" else of_side[0]
    text = f"{turn.tool}({turn.text})" if turn.tool else turn.text or str(turn)
    return " ".join(text[: 4 * _SNIPPET_CHARACTERS].split())[:_SNIPPET_CHARACTERS]


def _part(call: Mapping[str, Any], field: str, name: str) -> Any:
    parts = call.get(field)
    return parts.get(name) if isinstance(parts, dict) else None


def _number(value: Any) -> float | int | None:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**53
    return value if usable and math.isfinite(value) else None


def _name(value: Any) -> str | None:
    return _clean(value[:_NAME_CHARACTERS]) or None if isinstance(value, str) else None


def _clean(text: str) -> str:
    """Replace lone surrogates, which SQLite cannot store."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _packed(line: bytes) -> bytes:
    return zlib.compress(line, _LEVEL)

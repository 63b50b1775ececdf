"""Stores log entries as calls that the page lists, searches and opens."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from monitored_openai._json import encode
from monitored_openai._local import strict_json
from monitored_openai._local.call_columns import GroupKey, clean, columns, link_of
from monitored_openai._local.chains import join
from monitored_openai._local.conversation import turns
from monitored_openai._local.history import History
from monitored_openai._local.ingest import ReceivedEntry

_MOST_LIST_BYTES = 8 * 1024 * 1024
Order = Literal["time", "cost", "duration", "tokens"]
_ORDERS = {"cost": "coalesce(cost, -1)", "duration": "coalesce(duration, -1)", "tokens": "coalesce(tokens, -1)"}
"""The SQL by which calls are sorted; -1 stands for unknown."""
_MOST_GROUPS = 200
_GROUPS = """
SELECT KEY AS key, count(*) AS calls, sum(failed) AS errors, total(cost) AS cost,
    sum((cost IS NULL AND coalesce(json_extract(row, '$.unpriced'), 1)) OR json_extract(row, '$.cost_incomplete'))
        AS cost_incomplete,
    total(input_tokens) AS input_tokens, total(output_tokens) AS output_tokens,
    sum((input_tokens IS NULL OR output_tokens IS NULL) AND coalesce(json_extract(row, '$.usage_unknown'), 1))
        AS usage_unknown, total(duration) AS duration,
    CAST(min(at_ns) AS TEXT) AS first_ns, CAST(max(at_ns) AS TEXT) AS last_ns
FROM call WHERE CONDITION AND KEY IS NOT NULL GROUP BY KEY ORDER BY max(at_ns) DESC LIMIT ?
"""


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
        """The condition for the calls of all pages, and its values."""
        conditions, values = ["at_ns >= ?"], list[object]([self.since_ns])
        if self.until_ns is not None:
            conditions.append("at_ns < ?")
            values.append(self.until_ns)
        if self.failed:
            conditions.append("failed")
        if self.group is not None:
            conditions.append(f"{self.group[0]} = ?")
            values.append(clean(self.group[1]))
        for name, value in self.where.items():
            conditions.append("coalesce(json_extract(labels, ?), '') = ?")
            values += [f'$."{name}"', value]
        for word in self.words:
            conditions.append("instr(search, ?)")
            values.append(clean(word.casefold()))
        return " AND ".join(conditions), values

    @property
    def keys(self) -> tuple[str, ...]:
        """The SQL by which calls are sorted, largest first."""
        return ("at_ns", "id") if self.order == "time" else (_ORDERS[self.order], "at_ns", "id")

    @property
    def page_sql(self) -> tuple[str, list[object]]:
        """The condition for the calls after the previous page, and its values."""
        condition, values = self.sql
        if self.before is None:
            return condition, values
        at_ns, identity = self.before[0], clean(self.before[1])
        if self.order == "time":
            return f"{condition} AND (at_ns, id) < (?, ?)", [*values, at_ns, identity]
        keys = ", ".join(self.keys)
        return f"{condition} AND ({keys}) < (SELECT {keys} FROM call WHERE id = ?)", [*values, identity]  # noqa: S608  # fixed texts


def keep(history: History, entries: Iterable[ReceivedEntry]) -> None:
    """Add calls; ignore known ids and the test entry of `doctor`.

    Raises:
        sqlite3.OperationalError: the history cannot be written now; nothing was added.
    """
    real = sorted((one for one in entries if one.metadata.get("doctor") != "true"), key=lambda one: one.timestamp_ns)
    rows = [columns(entry) for entry in real]
    with history.writing() as connection:
        connection.executemany("INSERT OR IGNORE INTO call VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        join(connection, (link_of(row[0], entry.call) for row, entry in zip(rows, real, strict=True)))


def search(history: History, chosen: CallFilter, *, whole: bool = False) -> list[bytes]:
    """Return the first calls that fit the filter, each as JSON; fewer if they have too many bytes.

    A call is its row in the list. With `whole`, it is an object of its `row` and its `line`, the text of its log entry.
    """
    condition, values = chosen.page_sql
    order = ", ".join(f"{key} DESC" for key in chosen.keys)
    fields = "row, line" if whole else "row, NULL"
    sql = f"SELECT {fields} FROM call WHERE {condition} ORDER BY {order} LIMIT ?"  # noqa: S608  # fixed texts
    with history.reading() as connection:
        cursor = connection.execute(sql, (*values, chosen.limit))
        found, size = list[bytes](), 0
        for row, line in cursor:
            found.append(row.encode() if line is None else _whole(row, line))
            size += len(found[-1]) + 1
            if size > _MOST_LIST_BYTES:
                break
        cursor.close()
        return found


def count(history: History, chosen: CallFilter) -> int:
    """Return the number of calls that fit the filter and come after its previous page."""
    condition, values = chosen.page_sql
    sql = f"SELECT count(*) FROM call WHERE {condition}"  # noqa: S608  # fixed texts
    with history.reading() as connection:
        (found,) = connection.execute(sql, values).fetchone()
    return int(found)


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
        row = connection.execute("SELECT row, line FROM call WHERE id = ?", (clean(identity),)).fetchone()
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


def _whole(row: str, line: bytes) -> bytes:
    return b'{"row":%b,"line":%b}' % (row.encode(), encode(zlib.decompress(line).decode()))


def _opened(line: bytes) -> Mapping[str, Any]:
    try:
        return strict_json.parse(line)  # type: ignore[no-any-return]  # the history keeps objects only
    except ValueError:  # nested too deep
        return {}

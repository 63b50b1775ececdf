"""Evaluates the LogQL of `monitored-openai tail` on the history."""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from monitored_openai._local import strict_json
from monitored_openai._local.history import History
from monitored_openai._local.query.matchers import MATCHERS, STRING, Matcher, matchers_in, unquoted

_FILTER = rf"\|= {STRING}|\| [A-Za-z_]\w*!?={STRING}"
_QUERY = re.compile(rf"\{{(?P<stream>{MATCHERS})\}}(?P<filters>(?: (?:{_FILTER}))*+)", re.DOTALL)
_COUNT = re.compile(r"sum\(count_over_time\((?P<query>.*) \[(?P<range>[0-9]{1,18})ns\]\)\)", re.DOTALL)
_NOT_KEPT = {"job", "shard"}
_FIELDS = {"model": "response_model"}
"""Names of structured metadata that differ from the names in the line."""
_MOST_FILTERS = 64
_READ_ROWS, _READ_BYTES = 500, 2 * 1024 * 1024
"""Limits for one read; the page's requests wait until it ends."""


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A parsed log selection."""

    matchers: tuple[Matcher, ...]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, logql: str) -> LogQuery:
        """Parse an expression.

        Raises:
            ValueError: `monitored-openai tail` does not send such an expression.
        """
        found = _QUERY.fullmatch(logql)
        if found is None:
            raise ValueError("this page answers only the queries of `monitored-openai tail`")
        filters = re.findall(_FILTER, found["filters"], re.DOTALL)
        if len(filters) > _MOST_FILTERS:
            raise ValueError(f"more than {_MOST_FILTERS} filters")
        texts = tuple(unquoted(one.removeprefix("|= ")) for one in filters if one.startswith("|="))
        fields = (matcher for one in filters if not one.startswith("|=") for matcher in matchers_in(one[2:]))
        stream = (one for one in matchers_in(found["stream"]) if one.name not in _NOT_KEPT)
        return cls((*stream, *fields), texts)

    def selects(self, labels: Mapping[str, str], line: str) -> bool:
        """Return true if the query selects an entry with these labels and this line."""
        if not all(text in line for text in self.texts):
            return False
        call = _call(line) if self.matchers else {}
        return all(one.fits(_field(one.name, call, labels)) for one in self.matchers)


def counted(logql: str) -> tuple[LogQuery, int]:
    """Parse a counting expression; return its query and its range in nanoseconds.

    Raises:
        ValueError: `monitored-openai tail` does not send such an expression.
    """
    found = _COUNT.fullmatch(logql)
    if found is None:
        raise ValueError("this page answers only the queries of `monitored-openai tail`")
    return LogQuery.of(found["query"]), int(found["range"])


def entries(history: History, query: LogQuery, start: int, end: int, *, newest: bool) -> Iterator[tuple[int, str]]:
    """Yield time and line of the selected entries with start <= time < end, oldest or newest first."""
    order, beyond = ("DESC", "<") if newest else ("ASC", ">")
    sql = (
        "SELECT at_ns, id, labels, line FROM call WHERE at_ns >= ? AND at_ns < ? "  # noqa: S608  # fixed texts
        f"AND (at_ns, id) {beyond} (?, ?) ORDER BY at_ns {order}, id {order} LIMIT {_READ_ROWS}"
    )
    last: tuple[int, str] = (end, "") if newest else (start - 1, "")
    while rows := _rows(history, sql, (start, end, *last)):
        for at, _, labels, packed in rows:
            line = zlib.decompress(packed).decode()
            if query.selects(json.loads(labels), line):
                yield at, line
        last = (rows[-1][0], rows[-1][1])


def _rows(history: History, sql: str, values: tuple[object, ...]) -> list[Any]:
    with history.reading() as connection:
        cursor: sqlite3.Cursor = connection.execute(sql, values)
        rows, size = [], 0
        for row in cursor:
            rows.append(row)
            size += len(row[2]) + len(row[3])
            if size > _READ_BYTES:
                break
        cursor.close()
        return rows


def _call(line: str) -> Mapping[str, Any]:
    try:
        return strict_json.parse(line)  # type: ignore[no-any-return]  # the history keeps objects only
    except ValueError:  # nested too deep
        return {}


def _field(name: str, call: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    value = call.get(_FIELDS.get(name, name))
    return value if isinstance(value, str) else labels.get(name, "") if name not in _FIELDS else ""

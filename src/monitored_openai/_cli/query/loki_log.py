"""Reads the entries of one LogQL query from Loki in pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from monitored_openai._cli.query.http_api import HttpApi


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A log entry."""

    at_ns: int
    line: str

    @property
    def key(self) -> tuple[int, int]:
        """Identifies the entry: Loki shows equal lines of one stream and timestamp once."""
        return self.at_ns, hash(self.line)

    @cached_property
    def call(self) -> Mapping[str, Any]:
        """The call record in the line; empty if the line has none."""
        try:
            call = json.loads(self.line)
        except (ValueError, RecursionError):
            return {}
        return call if isinstance(call, dict) else {}


class LokiLog:
    """The entries that a LogQL query selects."""

    def __init__(self, loki: HttpApi, logql: str) -> None:
        self._loki = loki
        self._logql = logql

    def page(self, start: int, end: int, *, limit: int, newest: bool = False) -> list[Entry]:
        """Return the `limit` oldest (or newest) entries with start <= time < end in nanoseconds, in time order.

        Raises:
            UserError: Loki refuses, or the server is not Loki.
        """
        fields = {"query": self._logql, "start": str(start), "end": str(end), "limit": str(limit)}
        result = self._result("query_range", {**fields, "direction": "backward" if newest else "forward"})
        with self._loki.expecting("Loki"):
            entries = [Entry(at_ns=int(at), line=str(line)) for stream in result for at, line, *_ in stream["values"]]
        return sorted(entries, key=lambda entry: entry.at_ns)

    def count(self, start: int, end: int) -> int:
        """Return the number of entries with start <= time < end in nanoseconds; too high if some were sent twice.

        Raises:
            UserError: Loki refuses, or the server is not Loki.
        """
        if start >= end:
            return 0
        # LogQL's range excludes its start and includes its end
        result = self._result(
            "query", {"query": f"sum(count_over_time({self._logql} [{end - start}ns]))", "time": str(end - 1)}
        )
        with self._loki.expecting("Loki"):
            return sum(int(series["value"][1]) for series in result)

    def _result(self, endpoint: str, fields: Mapping[str, str]) -> list[Any]:
        reply = self._loki.get(f"/loki/api/v1/{endpoint}", fields)
        with self._loki.expecting("Loki"):
            return list(reply["data"]["result"])

"""The entries of one LogQL query, read from Loki in pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from monitored_openai._cli.errors import UserError
from monitored_openai._cli.query.http_api import Backend


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry of the log."""

    at_ns: int
    line: str

    @property
    def key(self) -> tuple[int, int]:
        """Identifies the entry: Loki keeps a line once for each timestamp of a stream."""
        return self.at_ns, hash(self.line)

    @cached_property
    def call(self) -> Mapping[str, Any]:
        """The call that the line describes; empty for any other line."""
        try:
            call = json.loads(self.line)
        except (ValueError, RecursionError):
            return {}
        return call if isinstance(call, dict) else {}


class LokiLog:
    """The entries that a LogQL query selects."""

    def __init__(self, loki: Backend, logql: str) -> None:
        self._loki = loki
        self._logql = logql

    def page(self, start: int, end: int, *, limit: int, newest: bool = False) -> list[Entry]:
        """The `limit` oldest (or newest) entries with start <= time < end in nanoseconds, in the order of time.

        Raises:
            Mistake: Loki refuses, or the server is not Loki.
        """
        asked = {"query": self._logql, "start": str(start), "end": str(end), "limit": str(limit)}
        result = self._result("query_range", {**asked, "direction": "backward" if newest else "forward"})
        try:
            found = [Entry(at_ns=int(at), line=str(line)) for one in result for at, line, *_ in one["values"]]
        except (KeyError, TypeError, ValueError) as error:
            raise self._is_no_loki() from error
        return sorted(found, key=lambda entry: entry.at_ns)

    def count(self, start: int, end: int) -> int:
        """The number of entries with start <= time < end in nanoseconds.

        Raises:
            Mistake: Loki refuses, or the server is not Loki.
        """
        if start >= end:
            return 0
        # a range of LogQL leaves its beginning out and has its end in it
        result = self._result(
            "query", {"query": f"sum(count_over_time({self._logql} [{end - start}ns]))", "time": str(end - 1)}
        )
        try:
            return sum(int(one["value"][1]) for one in result)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise self._is_no_loki() from error

    def _result(self, kind: str, asked: Mapping[str, str]) -> list[Any]:
        answer = self._loki.get(f"/loki/api/v1/{kind}", asked)
        try:
            return list(answer["data"]["result"])
        except (KeyError, TypeError) as error:
            raise self._is_no_loki() from error

    def _is_no_loki(self) -> UserError:
        return UserError(f"{self._loki.url} answers, but not as Loki does: is the address right?")

"""The answers of the back ends to the queries of the panels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from tests.support.grafana import filled
from tests.support.logql_values import is_metric, value
from tests.support.servers.loki import Entry

POINTS = 180
"""Steps of a graph."""
MOST_ENTRIES = 40
CHOSEN = {
    **dict.fromkeys(("environment", "service", "model", "error"), ".*"),
    "attribute": "feature",
    "budget": "1000",
    "deployment": "version",
    "job": "integrations/openai",
    **dict.fromkeys(("search", "trace", "request"), ""),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackEnds:
    """The real Prometheus, and the entries that Loki has."""

    prometheus: str
    entries: Sequence[Entry]
    now: float

    def answers(self, panel: Mapping[str, Any], seconds: float) -> list[dict[str, Any]]:
        """Return the answer to each query of a panel over the dashboard's range in seconds."""
        seconds = self._since(panel.get("timeFrom"), seconds)
        step = max(60, int(seconds / POINTS))
        over = {"__range": f"{int(seconds)}s", "__range_s": f"{int(seconds)}"}
        over |= {"__interval": f"{step}s", "__rate_interval": f"{max(240, step)}s"}
        return [
            {
                "target": target | {"legendFormat": filled(target.get("legendFormat", ""), CHOSEN)},
                **self._answer(target, filled(target["expr"], CHOSEN | over), seconds, step),
            }
            for target in panel["targets"]
        ]

    def _since(self, start: str | None, seconds: float) -> float:
        now = datetime.fromtimestamp(self.now, UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if start == "now/d":
            return (now - midnight).total_seconds()
        if start == "now/M":
            return (now - midnight.replace(day=1)).total_seconds()
        return seconds

    def _answer(self, target: Mapping[str, Any], expr: str, seconds: float, step: int) -> dict[str, Any]:
        if target["datasource"]["type"] == "loki":
            return self._of_log(target, expr, seconds, step)
        if target.get("instant"):
            return {"result": self._ask("query", query=expr, time=self.now)}
        start, end = (int(at / step) * step for at in (self.now - seconds, self.now))
        return {"result": self._ask("query_range", query=expr, start=start, end=end, step=step)}

    def _ask(self, path: str, **asked: Any) -> Any:
        answer = httpx.get(f"{self.prometheus}/api/v1/{path}", params=asked, timeout=60)
        answer.raise_for_status()
        return answer.json()["data"]["result"]

    def _of_log(self, target: Mapping[str, Any], expr: str, seconds: float, step: int) -> dict[str, Any]:
        if not is_metric(expr):
            return {"result": [], "entries": self._entries(expr, seconds)}
        if target["queryType"] == "instant":
            found = value(expr, self._between(self.now - seconds, self.now))
            return {"result": [{"metric": dict(of), "value": [self.now, str(got)]} for of, got in found.items()]}
        lines: dict[Any, list[list[Any]]] = {}
        end = int(self.now / step) * step
        for at in range(end - int(seconds), end + 1, step):
            for labels, got in value(expr, self._between(at - step, at)).items():
                lines.setdefault(labels, []).append([at, str(got)])
        return {"result": [{"metric": dict(labels), "values": values} for labels, values in lines.items()]}

    def _between(self, start: float, end: float) -> list[Entry]:
        return [entry for entry in self.entries if start * 1e9 < entry.ts <= end * 1e9]

    def _entries(self, expr: str, seconds: float) -> list[dict[str, Any]]:
        filters, _, fields = expr.partition(" | json ")
        newest = reversed(self._between(self.now - seconds, self.now))
        chosen = (entry for entry in newest if value(f"count_over_time({filters} [1h])", [entry]))
        return [
            {
                "at": entry.ts // 1_000_000,
                "line": entry.line,
                "fields": {**entry.labels, **entry.metadata, **_extracted(fields, json.loads(entry.line))},
            }
            for entry, _ in zip(chosen, range(MOST_ENTRIES), strict=False)
        ]


def _extracted(fields: str, line: Any) -> dict[str, str]:
    """Return the fields that Loki's stage `json` extracts from a line."""
    found = {}
    for name, path in re.findall(r'(\w+)="([^"]*)"', fields):
        got = _at(re.findall(r"\w+", path), line)
        if got is not None:
            found[name] = got if isinstance(got, str) else json.dumps(got, ensure_ascii=False)
    return found


def _at(path: Iterable[str], line: Any) -> Any:
    for part in path:
        if isinstance(line, list) and part.isdigit() and int(part) < len(line):
            line = line[int(part)]
        elif isinstance(line, dict) and part in line:
            line = line[part]
        else:
            return None
    return line

"""The fake Loki's queries: range queries for entries, and instant queries for their number."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

PATHS = ("/loki/api/v1/query_range", "/loki/api/v1/query")
MOST_ENTRIES = 5000
"""Loki's default max_entries_limit_per_query."""

_STRING = r'"(?:[^"\\]|\\.)*"'
_STREAM = re.compile(r"\{([^{}]*)\}")
_LABEL = re.compile(rf"(\w+)(!?=)({_STRING})")
_COUNT = re.compile(r"sum\(count_over_time\((.*) \[(\d+)ns\]\)\)", re.DOTALL)


class Stored(Protocol):
    """An entry as the fake keeps it."""

    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def ts(self) -> int: ...
    @property
    def line(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, str]: ...


def answer(target: str, entries: Iterable[Stored], samples: Iterable[Stored]) -> tuple[int, bytes]:
    """Status and body for a query of one tenant's entries; ``samples`` are those that a query for numbers counts."""
    parts = urlsplit(target)
    asked = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    if parts.path == PATHS[1]:
        return 200, _count(asked, samples)
    limit = int(asked["limit"])
    if limit > MOST_ENTRIES:
        return (
            400,
            f"max entries limit per query exceeded, limit > max_entries_limit ({limit} > {MOST_ENTRIES})".encode(),
        )
    start, end = int(asked["start"]), int(asked["end"])
    found = list(_selected(asked["query"], (entry for entry in entries if start <= entry.ts < end)))
    found.sort(key=lambda entry: entry.ts, reverse=asked["direction"] == "backward")
    streams: dict[tuple[tuple[str, str], ...], list[list[str]]] = {}
    for entry in found[:limit]:
        labels = tuple(sorted({**entry.labels, **entry.metadata}.items()))
        streams.setdefault(labels, []).append([str(entry.ts), entry.line])
    return 200, _body("streams", [{"stream": dict(labels), "values": values} for labels, values in streams.items()])


def _count(asked: Mapping[str, str], entries: Iterable[Stored]) -> bytes:
    found = _COUNT.fullmatch(asked["query"])
    assert found, asked["query"]
    end = int(asked["time"])
    within = (entry for entry in entries if end - int(found[2]) < entry.ts <= end)
    number = sum(1 for _ in _selected(found[1], within))
    return _body("vector", [{"metric": {}, "value": [end / 1e9, str(number)]}] if number else [])


def _selected(query: str, entries: Iterable[Stored]) -> Iterator[Stored]:
    stream = _STREAM.match(query)
    assert stream, query
    rest = query[stream.end() :]
    texts = [json.loads(text) for text in re.findall(rf"\|= ({_STRING})", rest)]
    filters = _LABEL.findall(stream[1]) + _LABEL.findall(re.sub(rf"\|= {_STRING}", "", rest))
    for entry in entries:
        labels = {**entry.labels, **entry.metadata}
        fits = all((labels.get(name, "") == json.loads(value)) == (sign == "=") for name, sign, value in filters)
        if fits and all(text in entry.line for text in texts):
            yield entry


def _body(kind: str, result: list[object]) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()

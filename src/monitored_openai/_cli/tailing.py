"""`monitored-openai tail`: calls as they come, out of Loki."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from monitored_openai._cli import progress, promql
from monitored_openai._cli.backend import Backend
from monitored_openai._cli.mistake import Mistake
from monitored_openai._cli.terminal import escaped
from monitored_openai._local.conversation import turns

_EVERY_SECONDS = 2.0
_MOST_AT_ONCE = 1000
_EARLIER_NS = 24 * 3600 * 10**9
_LATE_NS = 60 * 10**9
"""How late an entry may come: processes send theirs independently of each other."""
_STREAM_LABELS = ("environment", "service_name")
_WORDS = {"service": "service_name", "model": "request_model", "response_model": "model"}
"""The same words as those of a report, by what entries have; `model` is the one that answered there."""
_MOST_CHARACTERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of the log."""

    at_ns: int
    line: str
    call: Mapping[str, Any]
    """What it tells; nothing of what is no entry of ours."""

    @property
    def identity(self) -> str:
        """What tells it from others."""
        return str(self.call["id"]) if "id" in self.call else f"{self.at_ns} {self.line}"


def query(*, job: str, errors: bool, grep: str | None, where: Iterable[str]) -> str:
    """The LogQL for what the user wants to see."""
    streams, filters = {"job": job}, []
    for text in where:
        name, equals, value = text.partition("=")
        name = _WORDS.get(name, name)
        if not equals or not name.isidentifier():
            raise Mistake(f"--where {text}: write name=value, as in model=gpt-4o-mini")
        if name in _STREAM_LABELS:
            streams[name] = value
        else:
            filters.append(f"{name}={promql.quoted(value)}")
    found = "{" + ", ".join(promql.equal(streams)) + "}"
    if grep is not None:
        found += f" |= {promql.quoted(grep)}"
    if errors:
        filters.append('error_type!=""')
    return " | ".join([found, *filters])


def run(loki: Backend, logql: str, *, lines: int, follow: bool, content: bool) -> None:
    """Show earlier calls, then those that come, until the user has seen enough."""
    console, pause = Console(), threading.Event()
    now = time.time_ns()
    shown: dict[str, int] = {}
    with suppress(KeyboardInterrupt):
        with progress.waiting("asking Loki"):
            earlier = _entries(loki, logql, start=now - _EARLIER_NS, end=now, limit=lines, newest=True) if lines else []
        for entry in sorted(earlier, key=lambda entry: entry.at_ns):
            _show(console, entry, content=content)
            shown[entry.identity] = entry.at_ns
        while follow:
            pause.wait(_EVERY_SECONDS)
            since, end = max(now, time.time_ns() - _LATE_NS), time.time_ns() + 1
            for entry in _entries(loki, logql, start=since, end=end, limit=_MOST_AT_ONCE, newest=False):
                if entry.identity not in shown:
                    shown[entry.identity] = entry.at_ns
                    _show(console, entry, content=content)
            shown = {identity: at_ns for identity, at_ns in shown.items() if at_ns >= since}


def _entries(loki: Backend, logql: str, *, start: int, end: int, limit: int, newest: bool) -> list[Entry]:
    asked = {"query": logql, "start": str(start), "end": str(end), "limit": str(limit)}
    answer = loki.get("/loki/api/v1/query_range", {**asked, "direction": "backward" if newest else "forward"})
    try:
        streams = answer["data"]["result"]
        found = [_entry(int(value[0]), value[1]) for stream in streams for value in stream["values"]]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Mistake(f"{loki.url} answers, but not as Loki does: is the address right?") from error
    return sorted(found, key=lambda entry: entry.at_ns)


def _entry(at_ns: int, line: str) -> Entry:
    try:
        call = json.loads(line)
    except (ValueError, RecursionError):
        call = None
    return Entry(at_ns=at_ns, line=line, call=call if isinstance(call, dict) else {})


def _show(console: Console, entry: Entry, *, content: bool) -> None:
    at = datetime.fromtimestamp(entry.at_ns / 1e9).astimezone()
    style = "red" if "error_type" in entry.call else ""
    facts = escaped("  ".join(_facts(entry.call)) or entry.line[:_MOST_CHARACTERS])
    console.print(Text(f"{at:%H:%M:%S}  {facts}", style=style), soft_wrap=True)
    if content:
        for name, text in _texts(entry.call):
            console.print(Text(f"          {name:<9} {escaped(text[:_MOST_CHARACTERS])}", style="dim"), soft_wrap=True)


def _facts(call: Mapping[str, Any]) -> Iterator[str]:
    """What is known of a call, in short."""
    if name := call.get("response_model") or call.get("request_model") or call.get("operation") or call.get("id"):
        yield str(name)
    if _is_number(seconds := call.get("duration_seconds")):
        yield f"{seconds:.2f} s"
    usage, cost = call.get("usage"), call.get("cost")
    if isinstance(usage, dict):
        yield f"{usage.get('input_tokens', '?')}+{usage.get('output_tokens', '?')} tokens"
    if isinstance(cost, dict) and _is_number(usd := cost.get("total_usd")):
        yield f"${usd:.6f}"
    if isinstance(call.get("attributes"), dict):
        yield from (f"{name}={value}" for name, value in call["attributes"].items())
    if "error_type" in call:
        yield f"{call['error_type']}: {str(call.get('error_message', '')).partition(chr(10))[0]}".rstrip(": ")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _texts(call: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was asked last and what was answered, whatever the family of endpoints."""
    said = turns(call)
    asked = [turn for turn in said if turn.side == "asked"]
    for turn in (*asked[-1:], *(turn for turn in said if turn.side == "answered")):
        yield turn.side, turn.text if turn.tool is None else f"{turn.tool}({turn.text})"

"""`monitored-openai tail`: calls as they come, out of Loki."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from rich.console import Console

from monitored_openai._cli.errors import UserError
from monitored_openai._cli.query import progress, promql
from monitored_openai._cli.query.following import Follower, Skipped
from monitored_openai._cli.query.http_api import Backend
from monitored_openai._cli.query.loki_log import Entry, LokiLog
from monitored_openai._cli.terminal import escaped
from monitored_openai._local.conversation import turns

_EVERY_SECONDS = 2.0
_EARLIER_NS = 24 * 3600 * 10**9
_STREAM_LABELS = ("environment", "service_name")
_WORDS = {"service": "service_name", "model": "request_model", "response_model": "model"}
"""The same words as those of a report, by what entries have; `model` is the one that answered there."""
_MOST_CHARACTERS = 1000


def query(*, job: str, errors: bool, grep: str | None, where: Iterable[str]) -> str:
    """The LogQL for what the user wants to see."""
    streams, filters = {"job": job}, []
    for text in where:
        name, equals, value = text.partition("=")
        name = _WORDS.get(name, name)
        if not equals or not name.isidentifier():
            raise UserError(f"--where {text}: write name=value, as in model=gpt-4o-mini")
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
    """Show the newest `lines` calls, then those that come, until the user interrupts."""
    console, log, pause = Console(), LokiLog(loki, logql), threading.Event()
    with suppress(KeyboardInterrupt):
        with progress.waiting("asking Loki"):
            follower = Follower(log) if follow else None
            now = time.time_ns()
            earlier = log.page(now - _EARLIER_NS, now, limit=lines, newest=True) if lines else []
        for entry in earlier:
            _show(console, entry, content=content)
        if follower is None:
            return
        follower.know(earlier)
        while not pause.wait(_EVERY_SECONDS):
            for found in follower.look():
                if isinstance(found, Skipped):
                    print(f"{found.number:,} entries skipped: they come faster than they can be shown", file=sys.stderr)
                else:
                    _show(console, found, content=content)


def _show(console: Console, entry: Entry, *, content: bool) -> None:
    style = "red" if "error_type" in entry.call else None
    facts = escaped("  ".join(_facts(entry.call)) or entry.line[:_MOST_CHARACTERS])
    console.out(f"{_time_of_day(entry.at_ns)}  {facts}", style=style, highlight=False)
    if content:
        for name, text in _texts(entry.call):
            console.out(f"          {name:<9} {escaped(text[:_MOST_CHARACTERS])}", style="dim", highlight=False)


def _time_of_day(at_ns: int) -> str:
    try:
        return f"{datetime.fromtimestamp(at_ns / 1e9).astimezone():%H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # no calendar has such a time
        return "--:--:--"


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

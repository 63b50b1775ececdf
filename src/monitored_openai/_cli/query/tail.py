"""`monitored-openai tail`: show calls from Loki as they arrive."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeGuard

from rich.console import Console

from monitored_openai._cli.errors import UserError
from monitored_openai._cli.query import promql
from monitored_openai._cli.query.following import Follower, Skipped
from monitored_openai._cli.query.http_api import HttpApi
from monitored_openai._cli.query.loki_log import Entry, LokiLog
from monitored_openai._cli.terminal import amount, escaped, waiting
from monitored_openai._local.conversation import turns

_EVERY_SECONDS = 2.0
_EARLIER_NS = 24 * 3600 * 10**9
_STREAM_LABELS = ("environment", "service_name")
_FIELD_NAMES = {"service": "service_name", "model": "request_model", "response_model": "model"}
"""The field of an entry for each short name of `report`; the field `model` is the response's model if it names one."""
_MAX_CHARACTERS = 1000


def query(*, job: str, errors: bool, grep: str | None, where: Iterable[str]) -> str:
    """Return the LogQL query for the options.

    Raises:
        UserError: a `where` is not of the form name=value.
    """
    streams, filters = {"job": job}, []
    for text in where:
        name, equals, value = text.partition("=")
        name = _FIELD_NAMES.get(name, name)
        if not equals or not name.isidentifier():
            raise UserError(f"--where {text}: write name=value, as in model=gpt-4o-mini")
        if name in _STREAM_LABELS:
            streams[name] = value
        else:
            filters.append(f"{name}={promql.quoted(value)}")
    logql = "{" + ", ".join(promql.equal(streams)) + "}"
    if grep is not None:
        logql += f" |= {promql.quoted(grep)}"
    if errors:
        filters.append('error_type!=""')
    return " | ".join([logql, *filters])


def run(loki: HttpApi, logql: str, *, lines: int, follow: bool, content: bool) -> None:
    """Show the newest `lines` calls, then new ones if `follow` is set, until Ctrl-C."""
    console, log, pause = Console(), LokiLog(loki, logql), threading.Event()
    with suppress(KeyboardInterrupt):
        with waiting("asking Loki"):
            follower = Follower(log) if follow else None
            now = time.time_ns()
            earlier = log.page(now - _EARLIER_NS, now, limit=lines, newest=True) if lines else []
        for entry in earlier:
            _show(console, entry, content=content)
        if follower is None:
            return
        follower.mark_seen(earlier)
        while not pause.wait(_EVERY_SECONDS):
            for item in follower.poll():
                if isinstance(item, Skipped):
                    print(
                        f"up to {item.number:,} entries skipped: they arrive faster than they can be shown",
                        file=sys.stderr,
                    )
                else:
                    _show(console, item, content=content)


def _show(console: Console, entry: Entry, *, content: bool) -> None:
    style = "red" if "error_type" in entry.call else None
    facts = escaped("  ".join(_facts(entry.call)) or entry.line[:_MAX_CHARACTERS])
    console.out(f"{_time_of_day(entry.at_ns)}  {facts}", style=style, highlight=False)
    if content:
        for name, text in _texts(entry.call):
            console.out(f"          {name:<9} {escaped(text[:_MAX_CHARACTERS])}", style="dim", highlight=False)


def _time_of_day(at_ns: int) -> str:
    try:
        return f"{datetime.fromtimestamp(at_ns / 1e9).astimezone():%H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # before or after the dates that Python supports
        return "--:--:--"


def _facts(call: Mapping[str, Any]) -> Iterator[str]:
    """Yield the facts of a call for its line: model, duration, tokens, cost, attributes, error."""
    if name := call.get("response_model") or call.get("request_model") or call.get("operation") or call.get("id"):
        yield str(name)
    if _is_number(seconds := call.get("duration_seconds")):
        yield f"{seconds:.2f} s"
    usage, cost = call.get("usage"), call.get("cost")
    if isinstance(usage, dict):
        yield f"{usage.get('input_tokens', '?')}+{usage.get('output_tokens', '?')} tokens"
    if isinstance(cost, dict) and _is_number(usd := cost.get("total_usd")):
        yield f"{'≥' if call.get('cost_incomplete') else ''}${amount(usd, decimals=6)}"
    if isinstance(call.get("attributes"), dict):
        yield from (f"{name}={value}" for name, value in call["attributes"].items())
    if "error_type" in call:
        yield f"{call['error_type']}: {str(call.get('error_message', '')).partition(chr(10))[0]}".rstrip(": ")


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _texts(call: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the last prompt and the answers of a call of any endpoint."""
    all_turns = turns(call)
    asked = [turn for turn in all_turns if turn.side == "asked"]
    for turn in (*asked[-1:], *(turn for turn in all_turns if turn.side == "answered")):
        yield turn.side, str(turn) if turn.tool is None else f"{turn.tool}({turn.text})"

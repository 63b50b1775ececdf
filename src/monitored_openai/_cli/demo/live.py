"""`monitored-openai demo --live`: a handful of real calls, to the real back ends."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from monitored_openai import (
    AsyncMonitoredOpenAI,
    FlushResult,
    MonitoredOpenAI,
    Monitoring,
    MonitoringSettings,
    SettingsError,
    __version__,
    attributes,
)
from monitored_openai._cli.terminal import Terminal
from monitored_openai._metrics.names import COST, TOKENS_TOTAL

_REQUIRED = ("OPENAI_API_KEY", "MONITORED_OPENAI_METRICS_URL", "MONITORED_OPENAI_LOGS_URL")
_WRONG_ENVIRONMENT = 2

_MODEL, _NO_MODEL = "gpt-4o-mini", "no-such-model"
_PROMPT = "Say hello in five words."
_MOST_INPUT_TOKENS, _MOST_OUTPUT_TOKENS = 32, 16
_USD_PER_MILLION_IN, _USD_PER_MILLION_OUT = 0.15, 0.60
"""OpenAI's list price of gpt-4o-mini, the same from July 2024 on."""
_CALL_SECONDS, _FLUSH_SECONDS = 30.0, 15.0
_UNSENT_ON_PURPOSE = {"sampled"}


def run(terminal: Terminal) -> int:
    """Make the calls with what the environment says.

    Returns:
        0 if the calls went as they should and everything was delivered, else 1; 2 if the environment is not complete.
    """
    missing = [name for name in _REQUIRED if not os.environ.get(name, "").strip()]
    if missing:
        print(f"monitored-openai demo --live: not set: {', '.join(missing)}", file=sys.stderr)
        return _WRONG_ENVIRONMENT
    try:
        settings = MonitoringSettings()
    except SettingsError as error:
        print(f"monitored-openai demo --live: {error}", file=sys.stderr)
        return _WRONG_ENVIRONMENT
    label = uuid4().hex[:8]
    with MonitoredOpenAI(monitoring=settings, timeout=_CALL_SECONDS) as client:
        _introduce(terminal, client)
        with attributes(demo_run=label):
            as_expected = [_try(terminal, *call) for call in _calls(client)]
        flushed = client.monitoring.close(_FLUSH_SECONDS)
        delivered = _show_delivery(terminal, client.monitoring, flushed, len(as_expected))
    _show_queries(terminal, settings, label)
    return 0 if all(as_expected) and delivered else 1


def _introduce(terminal: Terminal, client: MonitoredOpenAI) -> None:
    settings = client.monitoring.settings
    terminal.line(terminal.bold(f"monitored-openai {__version__}: the demo, with a real API and real back ends"))
    for name, url in (
        ("API", str(client.base_url)),
        ("Prometheus", settings.metrics_url),
        ("Loki", settings.logs_url),
    ):
        terminal.line(f"  {name:<11} {terminal.fitted(urlsplit(url or '').netloc.rpartition('@')[2], 60)}")
    count = sum(1 for _, model, _ in _calls(client) if model == _MODEL)
    usd = count * (_MOST_INPUT_TOKENS * _USD_PER_MILLION_IN + _MOST_OUTPUT_TOKENS * _USD_PER_MILLION_OUT) / 1e6
    terminal.line()
    terminal.line(
        f"{count} tiny calls of {_MODEL}, together at most ${usd:.5f}, and one of a model that does not exist:"
    )


def _calls(client: MonitoredOpenAI) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Name, model and function of each call."""
    request: dict[str, Any] = {
        "model": _MODEL,
        "messages": [{"role": "user", "content": _PROMPT}],
        "max_completion_tokens": _MOST_OUTPUT_TOKENS,
    }
    create: Any = client.chat.completions.create
    yield "sync", _MODEL, lambda: create(**request)
    yield "sync, streamed", _MODEL, lambda: list(create(**request, stream=True))
    yield "async", _MODEL, lambda: asyncio.run(_call_async(client.monitoring, request, streamed=False))
    yield "async, streamed", _MODEL, lambda: asyncio.run(_call_async(client.monitoring, request, streamed=True))
    yield "no such model", _NO_MODEL, lambda: create(**{**request, "model": _NO_MODEL})


async def _call_async(monitoring: Monitoring, request: dict[str, Any], *, streamed: bool) -> None:
    async with AsyncMonitoredOpenAI(monitoring=monitoring, timeout=_CALL_SECONDS) as client:
        create: Any = client.chat.completions.create
        if not streamed:
            await create(**request)
            return
        async for _ in await create(**request, stream=True):
            pass


def _try(terminal: Terminal, name: str, model: str, call: Callable[[], object]) -> bool:
    """Make a call; whether it went as it should."""
    started = time.monotonic()
    try:
        call()
        outcome, failed = "answered", False
    except Exception as error:  # its text may repeat a part of the key
        status = getattr(error, "status_code", None)
        outcome, failed = type(error).__name__ + (f", HTTP {status}" if status else ""), True
    as_expected = failed == (model == _NO_MODEL)
    verdict = terminal.good("as it should") if as_expected else terminal.bad("NOT as it should")
    terminal.line(f"  {name:<16} {time.monotonic() - started:>5.2f} s   {outcome}, {verdict}")
    return as_expected


def _show_delivery(terminal: Terminal, monitoring: Monitoring, flushed: FlushResult, calls: int) -> bool:
    """Show the books; whether all has been delivered."""
    stats = monitoring.stats()
    dropped = ", ".join(f"{number} {reason}" for reason, number in stats.dropped.items()) or "none"
    terminal.line()
    terminal.line(terminal.bold("What client.monitoring.stats() says"))
    terminal.line(
        f"  metrics      {stats.folded} of {calls} calls counted; pushes: {stats.pushes} taken, {stats.failed_pushes} failed"
    )
    terminal.line(
        f"  log entries  {stats.delivered} of {stats.produced} delivered; waiting: {flushed.left}; dropped: {dropped}"
    )
    delivered = flushed.complete and stats.folded == calls and stats.dropped.keys() <= _UNSENT_ON_PURPOSE
    terminal.line(
        terminal.good("  All delivered.") if delivered else terminal.bad("  NOT all delivered; the log above says why.")
    )
    return delivered


def _show_queries(terminal: Terminal, settings: MonitoringSettings, label: str) -> None:
    own = f'instance=~"{settings.instance}:{os.getpid()}:.+"'
    streams = f'job="{settings.job}", environment="{settings.environment}"'
    terminal.line()
    terminal.line(terminal.bold("What to query, in Grafana's Explore for example"))
    for query in (
        f"sum by (gen_ai_token_type) ({TOKENS_TOTAL.name}{{{own}}})",
        f"sum ({COST.name}{{{own}}})",
        f'{{{streams}}} | demo_run="{label}"',
    ):
        terminal.line(f"  {query}")

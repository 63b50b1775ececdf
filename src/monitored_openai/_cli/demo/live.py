"""`monitored-openai demo --live`: a few real calls, with telemetry to the real back ends."""

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
from monitored_openai._cli.demo.client_app import call, call_async
from monitored_openai._cli.demo.workload import Job
from monitored_openai._cli.terminal import Terminal
from monitored_openai._metrics.names import COST, TOKENS_TOTAL

_REQUIRED = ("OPENAI_API_KEY", "MONITORED_OPENAI_METRICS_URL", "MONITORED_OPENAI_LOGS_URL")
_WRONG_ENVIRONMENT = 2
_MODEL, _NO_MODEL = "gpt-4o-mini", "no-such-model"
_INPUT_TOKENS, _OUTPUT_TOKENS = 32, 16
"""Upper limits for one call."""
_USD_PER_INPUT_TOKEN, _USD_PER_OUTPUT_TOKEN = 0.15e-6, 0.60e-6
"""OpenAI's list price of gpt-4o-mini, unchanged since July 2024."""
_CALL_SECONDS, _FLUSH_SECONDS = 30.0, 15.0
_INTENDED_DROPS = {"sampled"}


def run(terminal: Terminal) -> int:
    """Make the calls with the settings in the environment.

    Returns:
        0 if every call had its expected outcome and everything was delivered, else 1; 2 if a variable is missing or
        wrong.
    """
    missing = [name for name in _REQUIRED if not os.environ.get(name, "").strip()]
    if missing:
        return _refuse(f"not set: {', '.join(missing)}")
    try:
        settings = MonitoringSettings()
    except SettingsError as error:
        return _refuse(str(error))
    label = uuid4().hex[:8]
    with MonitoredOpenAI(monitoring=settings, timeout=_CALL_SECONDS) as client:
        _introduce(terminal, client)
        with attributes(demo_run=label):
            as_expected = [_try(terminal, *call) for call in _calls(client)]
        flushed = client.monitoring.close(_FLUSH_SECONDS)
        delivered = _show_delivery(terminal, client.monitoring, flushed, len(as_expected))
    _show_queries(terminal, settings, label)
    return 0 if all(as_expected) and delivered else 1


def _refuse(problem: str) -> int:
    print(f"monitored-openai demo --live: {problem}", file=sys.stderr)
    return _WRONG_ENVIRONMENT


def _introduce(terminal: Terminal, client: MonitoredOpenAI) -> None:
    settings = client.monitoring.settings
    terminal.line(terminal.bold(f"monitored-openai {__version__}: the demo, with a real API and real back ends"))
    urls = {"API": str(client.base_url), "Prometheus": settings.metrics_url, "Loki": settings.logs_url}
    for name, url in urls.items():
        terminal.line(f"  {name:<11} {terminal.fitted(urlsplit(url or '').netloc.rpartition('@')[2], 60)}")
    count = sum(model == _MODEL for _, model, _ in _calls(client))
    usd = count * (_INPUT_TOKENS * _USD_PER_INPUT_TOKEN + _OUTPUT_TOKENS * _USD_PER_OUTPUT_TOKEN)
    terminal.line()
    terminal.line(
        f"{count} tiny calls of {_MODEL}, together at most ${usd:.5f}, and one of a model that does not exist:"
    )


def _calls(client: MonitoredOpenAI) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Yield the name, the model and the function of each call."""
    plain, streamed, failing = _job(_MODEL), _job(_MODEL, stream=True), _job(_NO_MODEL)
    yield "sync", _MODEL, lambda: call(client, plain)
    yield "sync, streamed", _MODEL, lambda: call(client, streamed)
    yield "async", _MODEL, lambda: asyncio.run(_call_async(client.monitoring, plain))
    yield "async, streamed", _MODEL, lambda: asyncio.run(_call_async(client.monitoring, streamed))
    yield "no such model", _NO_MODEL, lambda: call(client, failing)


def _job(model: str, **options: Any) -> Job:
    messages = [{"role": "user", "content": "Say hello in five words."}]
    arguments = {"model": model, "messages": messages, "max_completion_tokens": _OUTPUT_TOKENS, **options}
    return Job(model=model, arguments=arguments)


async def _call_async(monitoring: Monitoring, job: Job) -> None:
    async with AsyncMonitoredOpenAI(monitoring=monitoring, timeout=_CALL_SECONDS) as client:
        await call_async(client, job)


def _try(terminal: Terminal, name: str, model: str, make_call: Callable[[], object]) -> bool:
    """Make a call; return true if it had the expected outcome."""
    started, failed, outcome = time.monotonic(), False, "answered"
    try:
        make_call()
    except Exception as error:  # its text may repeat a part of the key
        status = getattr(error, "status_code", None)
        failed, outcome = True, type(error).__name__ + (f", HTTP {status}" if status else "")
    as_expected = failed == (model == _NO_MODEL)
    verdict = terminal.good("as expected") if as_expected else terminal.bad("NOT as expected")
    terminal.line(f"  {name:<16} {time.monotonic() - started:>5.2f} s   {outcome}, {verdict}")
    return as_expected


def _show_delivery(terminal: Terminal, monitoring: Monitoring, flushed: FlushResult, calls: int) -> bool:
    """Show the exporter's counts; return true if everything was delivered."""
    stats = monitoring.stats()
    dropped = ", ".join(f"{number} {reason}" for reason, number in stats.dropped.items()) or "none"
    pushes = f"{stats.pushes} accepted, {stats.failed_pushes} failed"
    terminal.line()
    terminal.line(terminal.bold("The counts of client.monitoring.stats()"))
    terminal.line(f"  metrics      {stats.folded} of {calls} calls counted; pushes: {pushes}")
    terminal.line(
        f"  log entries  {stats.delivered} of {stats.produced} delivered; waiting: {flushed.left}; dropped: {dropped}"
    )
    if flushed.complete and stats.folded == calls and stats.dropped.keys() <= _INTENDED_DROPS:
        terminal.line(terminal.good("  All delivered."))
        return True
    terminal.line(terminal.bad("  NOT all delivered; the log above gives the reason."))
    return False


def _show_queries(terminal: Terminal, settings: MonitoringSettings, label: str) -> None:
    own = f'instance=~"{settings.instance}:{os.getpid()}:.+"'
    streams = f'job="{settings.job}", environment="{settings.environment}"'
    terminal.line()
    terminal.line(terminal.bold("Queries for Grafana's Explore, for example"))
    terminal.line(f"  sum by (gen_ai_token_type) ({TOKENS_TOTAL.name}{{{own}}})")
    terminal.line(f"  sum ({COST.name}{{{own}}})")
    terminal.line(f'  {{{streams}}} | demo_run="{label}"')

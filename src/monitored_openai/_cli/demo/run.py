"""`monitored-openai demo`: the whole way from calls to back ends on one machine, and the check that nothing is lost."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from monitored_openai import MonitoredOpenAI, MonitoringSettings
from monitored_openai._cli.demo import client_app, output
from monitored_openai._cli.demo.counts import Figures
from monitored_openai._cli.demo.openai_server import Api
from monitored_openai._cli.demo.receivers import LogsReceiver, MetricsReceiver
from monitored_openai._cli.demo.workload import Phase, phases
from monitored_openai._cli.terminal import Terminal

_FOREIGN_PREFIXES = ("MONITORED_OPENAI_", "OPENAI_", "OTEL_")
_FOREIGN_SUFFIX = "_PROXY"
_FLUSH_SECONDS = 10.0


def run(
    terminal: Terminal,
    *,
    api: Api | None = None,
    metrics: MetricsReceiver | None = None,
    logs: LogsReceiver | None = None,
) -> int:
    """Run the demo.

    Args:
        terminal: where to show it.
        api: the API to call, one on a free port by default.
        metrics: what to push metrics to, likewise.
        logs: what to push log entries to, likewise.

    Returns:
        0 if what the API served and what the receivers got agree, else 1.
    """
    api, metrics, logs = api or Api(), metrics or MetricsReceiver(), logs or LogsReceiver()
    with _environment_of_its_own(), metrics, logs:
        output.introduce(terminal, api, metrics, logs)
        settings = MonitoringSettings(
            metrics_url=metrics.push_url,
            logs_url=logs.push_url,
            push_interval=1,
            label_names=("feature",),
            provider="openai",  # so that the models have prices; by its host, the provider would be unknown
            environment="demo",
            log_warnings=False,  # the report compares what arrived with what the API served
        )
        client = MonitoredOpenAI(base_url=api.base_url, api_key="none", monitoring=settings)
        try:
            with api:
                errors = _work(terminal, api, client.monitoring.settings)
            client.monitoring.flush(_FLUSH_SECONDS)
        finally:
            client.monitoring.close(_FLUSH_SECONDS)
            client.close()
    return output.show(terminal, api.served + errors, metrics, logs)


def _work(terminal: Terminal, api: Api, settings: MonitoringSettings) -> Figures:
    errors: Figures = Counter()
    for phase in phases():
        started = time.monotonic()
        with terminal.progress(f"  {phase.name:<9}", phase.size) as on_done:
            errors += client_app.run(phase, api.base_url, settings, on_done)
        terminal.line(_phase_line(terminal, phase, time.monotonic() - started))
    return errors


def _phase_line(terminal: Terminal, phase: Phase, seconds: float) -> str:
    return f"  {phase.name:<9} {phase.size:>4} calls   {terminal.dim(f'{phase.how:<40}')} {seconds:>5.1f} s"


@contextmanager
def _environment_of_its_own() -> Iterator[None]:
    """Without the variables that would send the demo's calls or telemetry elsewhere."""
    taken = {name: value for name, value in os.environ.items() if _is_foreign(name.upper())}
    for name in taken:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(taken)


def _is_foreign(name: str) -> bool:
    return name.startswith(_FOREIGN_PREFIXES) or name.endswith(_FOREIGN_SUFFIX)

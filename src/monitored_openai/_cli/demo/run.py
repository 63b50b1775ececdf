"""`monitored-openai demo`: run calls, an API and both back ends on this machine, and check that nothing is lost."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from monitored_openai import MonitoredOpenAI, MonitoringSettings
from monitored_openai._cli.demo import client_app, output
from monitored_openai._cli.demo.openai_server import Api
from monitored_openai._cli.demo.receivers import LogsReceiver, MetricsReceiver
from monitored_openai._cli.demo.workload import Phase, phases
from monitored_openai._cli.terminal import Terminal

_USER_PREFIXES, _USER_SUFFIX = ("MONITORED_OPENAI_", "OPENAI_", "OTEL_"), "_PROXY"
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
        terminal: the terminal for the output.
        api: the API to call; by default a new one.
        metrics: the receiver of metrics; by default a new one.
        logs: the receiver of log entries; by default a new one.

    Returns:
        0 if the numbers of the API and of both receivers agree, else 1.
    """
    api, metrics, logs = api or Api(), metrics or MetricsReceiver(), logs or LogsReceiver()
    with _without_user_variables(), metrics, logs:
        output.introduce(terminal, api, metrics, logs)
        settings = MonitoringSettings(
            metrics_url=metrics.push_url,
            logs_url=logs.push_url,
            push_interval=1,
            label_names=("feature",),
            provider="openai",  # so that the models have prices: no provider is known for 127.0.0.1
            environment="demo",
            log_warnings=False,  # the output compares the received numbers with those of the API
        )
        with MonitoredOpenAI(base_url=api.base_url, api_key="none", monitoring=settings) as client:
            try:
                with api:
                    errors = client_app.run(phases(), api.base_url, settings, partial(_watch, terminal))
                client.monitoring.flush(_FLUSH_SECONDS)
            finally:
                client.monitoring.close(_FLUSH_SECONDS)
    return output.show(terminal, api.served + errors, metrics, logs)


@contextmanager
def _watch(terminal: Terminal, phase: Phase) -> Iterator[Callable[[], None]]:
    """Show a phase's progress, and its duration at the end."""
    started, done = time.monotonic(), itertools.count(1)
    with terminal.progress(f"  {phase.name:<9}", phase.size) as show:
        yield lambda: show(next(done))
    seconds = time.monotonic() - started
    terminal.line(f"  {phase.name:<9} {phase.size:>4} calls   {terminal.dim(f'{phase.how:<40}')} {seconds:>5.1f} s")


@contextmanager
def _without_user_variables() -> Iterator[None]:
    """Hide the variables that would send the demo's calls or telemetry elsewhere."""
    hidden = {
        name: value
        for name, value in os.environ.items()
        if name.upper().startswith(_USER_PREFIXES) or name.upper().endswith(_USER_SUFFIX)
    }
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)

"""Count the series of processes in a real Prometheus, and time queries: `python -m benchmarks.series`.

Each case starts real processes, which call the demo's API in two rounds with a push after each. The cases differ in the
setting `histograms` and, if the library has the setting, in `host_dir`. The output is a Markdown table.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.fleet import MODELS, in_prometheus, jobs_of, one_process
from monitored_openai import MonitoredOpenAI, MonitoringSettings
from monitored_openai._cli.demo import client_app
from monitored_openai._cli.demo.openai_server import Api
from monitored_openai._cli.demo.receivers import LogsReceiver
from tests.support.servers.prometheus import Prometheus, require_prometheus

_WORKERS, _PROCESSES, _QUERIED = 8, 1000, 300
_HOST_DIR = "host_dir"
_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Mode:
    """A column of the table."""

    title: str
    histograms: str
    shares_host: bool = False


MODES = (
    Mode("`full`, before", "full"),
    Mode("`lean`", "lean"),
    Mode("`lean` with `host_dir`", "lean", shares_host=True),
)


def has_host_dir() -> bool:
    """Return whether processes of one host can share their series."""
    return _HOST_DIR in MonitoringSettings.model_fields


def settings_of(mode: Mode, folder: Path) -> dict[str, str]:
    """Return the environment variables of a process."""
    own = {"MONITORED_OPENAI_HISTOGRAMS": mode.histograms}
    return own | ({"MONITORED_OPENAI_HOST_DIR": str(folder / "host")} if mode.shares_host else {})


def count(prometheus: Prometheus, environment: str, settings: Mapping[str, str], workers: int, models: int) -> int:
    """Run the workers at once; return the number of their series."""
    names = {"MONITORED_OPENAI_ENVIRONMENT": environment, "MONITORED_OPENAI_METRICS_URL": prometheus.write_url}
    labels = {"MONITORED_OPENAI_LABEL_NAMES": "feature"} if models > 1 else {}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.series", "worker", str(models)],
            env={**os.environ, **names, **labels, **settings, "no_proxy": "127.0.0.1"},
        )
        for _ in range(workers)
    ]
    ends = [process.wait(_SECONDS) for process in running]
    assert ends == [0] * workers, ends
    series = f'count(last_over_time({{environment="{environment}"}}[1h]))'
    return int(prometheus.value(series, time.time() + 1) or 0)


def worker(models: int) -> None:
    """Make the demo's calls in two rounds, with a push after each."""
    chosen = [jobs_of(MODELS[:models])] * 2
    with ExitStack() as stack:
        api, logs = stack.enter_context(Api(pace=0)), stack.enter_context(LogsReceiver())
        settings = MonitoringSettings(logs_url=logs.push_url, provider="openai", push_interval=60)
        client = stack.enter_context(MonitoredOpenAI(base_url=api.base_url, api_key="none", monitoring=settings))
        for phase in chosen:
            client_app.run([phase], api.base_url, settings)
            assert client.monitoring.flush(10).complete
        client.monitoring.close(10)


def rows(program: Path) -> dict[str, list[str]]:
    """Return the cells of each row, one for each mode."""
    table: dict[str, list[str]] = {}

    def add(row: str, value: str) -> None:
        table.setdefault(row, []).append(value)

    with tempfile.TemporaryDirectory() as folder, Prometheus(program, Path(folder) / "p") as prometheus:
        for number, mode in enumerate(MODES):
            if mode.shares_host and not has_host_dir():
                continue
            made = settings_of(mode, Path(folder))
            counted = {
                workers: count(prometheus, f"{number}-{workers}", made, workers, len(MODELS))
                for workers in (1, _WORKERS)
            }
            sets = _PROCESSES // _WORKERS if mode.shares_host else _PROCESSES
            add("one worker, three models and two features", f"{counted[1]:,}")
            add(f"{_WORKERS} workers of one host", f"{counted[_WORKERS]:,}")
            each = counted[_WORKERS] if mode.shares_host else counted[1]
            add(f"{_PROCESSES:,} processes on {_PROCESSES // _WORKERS} hosts (multiplied)", f"{sets * each:,}")
            add("a function with one model, each cold start", f"{count(prometheus, f'{number}-f', made, 1, 1):,}")
    for mode in MODES:
        if mode.shares_host and not has_host_dir():
            continue
        histograms: Any = mode.histograms
        sets = _QUERIED // _WORKERS if mode.shares_host else _QUERIED
        for figure in in_prometheus(program, one_process(histograms)[0], sets):
            add(f"{_QUERIED} processes: {figure.what}", _shown(figure))
    return table


def _shown(figure: Figure) -> str:
    value = f"{figure.value:.2g}" if figure.value < 1 else f"{figure.value:,.0f}"
    return f"{value} {figure.unit}".strip()


def main(arguments: Sequence[str]) -> int:
    """Print the table, or be a worker; return the exit status."""
    if arguments[:1] == ["worker"]:
        worker(int(arguments[1]))
        return 0
    os.environ["no_proxy"] = "127.0.0.1"
    shown = [mode for mode in MODES if has_host_dir() or not mode.shares_host]
    print(f"| | {' | '.join(mode.title for mode in shown)} |")
    print("|---|" + "---|" * len(shown))
    for row, cells in rows(require_prometheus()).items():
        print(f"| {row} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

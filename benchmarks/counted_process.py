"""A process whose instructions valgrind's callgrind counts: `python -m benchmarks.counted_process '<JSON of a Count>'`.

The count includes the operations and the delivery of their telemetry, but not the start, the warm-up and the end.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from dataclasses import dataclass

from benchmarks.api import Clients, monitored
from benchmarks.calls import CASES
from monitored_openai import MonitoringSettings

_SECONDS = 60
"""Longest interval that the settings allow. Valgrind slows the process about fifty times, so the usual intervals would
cause far more pushes per call than in a real process."""

_MOST_SECONDS = 300
"""Limit for a delivery under valgrind on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """The work of a process."""

    case: str
    """Name of one of `CASES`."""
    url: str | None
    """URL of the back end; `None` for the bare SDK."""
    operations: int
    """Counted calls or chunks."""
    warm_up: int
    """Calls or chunks before the count."""
    switch: tuple[str, ...]
    """Command that switches the count; `on` or `off` follows."""


def run(count: Count) -> None:
    """Perform the operations, and count their instructions."""
    clients = Clients() if count.url is None else monitored(_settings(count.url))
    with CASES[count.case].opens(clients) as work:
        work(count.warm_up)
        clients.settle(_MOST_SECONDS)
        gc.collect()
        _switch(count, "on")
        work(count.operations)
        clients.settle(_MOST_SECONDS)
        _switch(count, "off")
    if clients.monitoring is not None:
        assert clients.monitoring.close().complete


def _settings(url: str) -> MonitoringSettings:
    return MonitoringSettings(
        metrics_url=f"{url}/api/v1/write",
        logs_url=f"{url}/loki/api/v1/push",
        push_interval=_SECONDS,
        log_linger=_SECONDS,
    )


def _switch(count: Count, state: str) -> None:
    subprocess.run([*count.switch, f"--pid={os.getpid()}", "instrumentation", state], check=True, capture_output=True)


if __name__ == "__main__":
    described = json.loads(sys.argv[1])
    run(Count(**{**described, "switch": tuple(described["switch"])}))

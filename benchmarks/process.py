"""A measured process: `python -m benchmarks.process '<JSON of a Life>'`.

It makes its calls in a tight loop, prints its own memory and time, and then ends normally.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.api import Clients, completion, monitored, question
from benchmarks.calls import LARGE_ANSWER, LARGE_QUESTION, SMALL_ANSWER, SMALL_QUESTION
from monitored_openai import MonitoringSettings

WARM_UP = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """The work of a process."""

    url: str | None
    """URL of the back end; `None` for the bare SDK."""
    calls: int
    """Calls after the warm-up."""
    large: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Measurements of a process about itself before its end."""

    ready_kib: int
    """Resident memory in KiB after the warm-up, which includes all late imports."""
    most_kib: int
    """Peak of the resident memory in KiB, up to the last call."""
    done: float
    """Time when the last call had returned, in seconds of the monotonic clock, which all processes share."""


def settings_for(url: str, spool_dir: str | None = None) -> MonitoringSettings:
    """Return settings that push both signals to one back end, with defaults for the rest."""
    return MonitoringSettings(
        metrics_url=f"{url}/api/v1/write", logs_url=f"{url}/loki/api/v1/push", spool_dir=spool_dir
    )


def live(life: Life) -> Seen:
    """Make the calls and return the measurements."""
    clients = Clients() if life.url is None else monitored(settings_for(life.url))
    answer = completion(LARGE_ANSWER if life.large else SMALL_ANSWER)
    asked = question(LARGE_QUESTION if life.large else SMALL_QUESTION)
    create = clients.sync(answer).chat.completions.create
    for _ in range(WARM_UP):
        create(**asked)
    if clients.monitoring is not None:
        deadline = time.monotonic() + 30
        while clients.monitoring.stats().folded < WARM_UP:
            assert time.monotonic() < deadline, "the exporter does not process the calls"
            time.sleep(0.02)
    Path("/proc/self/clear_refs").write_text(
        "5", encoding="ascii"
    )  # resets the peak, so that the warm-up does not count
    ready = _kib("VmRSS")
    for _ in range(life.calls):
        create(**asked)
    return Seen(ready_kib=ready, most_kib=_kib("VmHWM"), done=time.monotonic())


def _kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    print(json.dumps(asdict(live(Life(**json.loads(sys.argv[1]))))), flush=True)

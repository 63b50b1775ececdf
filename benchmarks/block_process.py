"""A process that performs a case in blocks on request: `python -m benchmarks.block_process '<JSON of a Blocks>'`.

Each line of its input is a number of operations, or 0 to deliver all telemetry. It answers each with a line, the JSON of
a `Reading`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from benchmarks.api import Clients, monitored
from benchmarks.calls import CASES
from benchmarks.process import settings_for

_SECONDS = 60
"""Limit for the exporter's thread after a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """The work of a process."""

    case: str
    """Name of one of `CASES`."""
    url: str | None
    """URL of the back end; `None` for the bare SDK."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Seconds on three clocks since the start of the process."""

    waited: float
    """Time in blocks, as the caller sees it."""
    caller: float
    """CPU of the caller's thread in blocks."""
    computed: float
    """CPU of all threads, also between blocks."""


def perform(work: Blocks, requests: Iterable[str]) -> Iterator[Reading]:
    """Perform the requested blocks, and yield the clocks after each."""
    clients = Clients() if work.url is None else monitored(settings_for(work.url))
    waited = caller = 0.0
    with CASES[work.case].opens(clients) as operate:
        for request in requests:
            if operations := int(request):
                started, worked = time.perf_counter(), time.thread_time()
                operate(operations)
                caller += time.thread_time() - worked
                waited += time.perf_counter() - started
                _wait_for_the_exporter(clients)
            else:
                clients.settle()
            yield Reading(waited=waited, caller=caller, computed=time.process_time())
    if clients.monitoring is not None:
        assert clients.monitoring.close().complete


def _wait_for_the_exporter(clients: Clients) -> None:
    """Wait until the exporter's thread has recorded all calls, so that it does not disturb another process's block."""
    deadline = time.monotonic() + _SECONDS
    while clients.monitoring is not None and clients.monitoring.stats().metrics_queued:
        if time.monotonic() > deadline:
            raise TimeoutError("the exporter does not record the calls")
        time.sleep(0.02)


if __name__ == "__main__":
    for reading in perform(Blocks(**json.loads(sys.argv[1])), sys.stdin):
        print(json.dumps(asdict(reading)), flush=True)

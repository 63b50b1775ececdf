"""Makes calls at a steady rate for the totals of a host, until SIGTERM or SIGKILL, in one process or two.

``python hosting.py PER_SECOND FORKS FILE``: with `FORKS` 1, a forked child does the same. Each process adds a line with
its id to the file. SIGTERM ends the program, which then prints the number of its calls. SIGUSR1 takes all room on the
disk for two seconds. With the variable `SECOND_URL`, each call is made twice, the second time for that destination.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

from monitored_openai import MonitoredOpenAI, MonitoringSettings
from tests.support.handles import ask, http, in_process_transport

DISK_IS_FULL_SECONDS = 2.0


class Signals:
    """What the signals so far ask for."""

    def __init__(self) -> None:
        self.is_stopped = False
        self._full_until = 0.0
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGUSR1, self._fill_disk)

    def _stop(self, *_: object) -> None:
        self.is_stopped = True

    def _fill_disk(self, *_: object) -> None:
        self._full_until = time.monotonic() + DISK_IS_FULL_SECONDS
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def free_disk(self) -> None:
        """Give the room back when the time is over."""
        if self.is_stopped or time.monotonic() > self._full_until:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def main(per_second: float, file: Path, *, forks: bool) -> None:
    signals = Signals()
    clients = [MonitoredOpenAI(http_client=http.Client(transport=in_process_transport()))]
    if second := os.environ.get("SECOND_URL"):
        transport = http.Client(transport=in_process_transport())
        clients.append(MonitoredOpenAI(http_client=transport, monitoring=MonitoringSettings(metrics_url=second)))
    calls = 0
    if forks:
        for client in clients:
            ask(client)
        calls = int(os.fork() != 0)
    with file.open("a") as lines:
        lines.write(f"{os.getpid()}\n")
    start = time.monotonic()
    for number in itertools.count():
        if signals.is_stopped:
            break
        time.sleep(max(0.0, start + number / per_second - time.monotonic()))
        signals.free_disk()
        for client in clients:
            ask(client)
        calls += 1
    for client in clients:
        client.monitoring.close(20)
    sys.stdout.write(json.dumps({"pid": os.getpid(), "calls": calls}) + "\n")


if __name__ == "__main__":
    main(float(sys.argv[1]), Path(sys.argv[3]), forks=sys.argv[2] == "1")

"""Makes calls at a steady rate until it is killed, and says when each was made: ``python spooling.py PER_SECOND FILE``.

Each call's question is the time of its end, in nanoseconds; each line of the file is one that has been made.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

from monitored_openai import MonitoredOpenAI
from tests.handles import ask, http, in_process_transport


def main(per_second: float, file: Path) -> None:
    client = MonitoredOpenAI(http_client=http.Client(transport=in_process_transport()))
    ask(client, "0")
    while not client.monitoring.stats().folded:  # what is imported at the first call takes its time
        time.sleep(0.01)
    start = time.monotonic()
    with file.open("w", buffering=1) as lines:
        for number in itertools.count():
            time.sleep(max(0.0, start + number / per_second - time.monotonic()))
            made = time.time_ns()
            ask(client, f"{made}")
            lines.write(f"{made}\n")


if __name__ == "__main__":
    main(float(sys.argv[1]), Path(sys.argv[2]))

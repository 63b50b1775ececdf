"""Makes calls at a steady rate until a signal or a file ends it, and writes the time of each call.

``python spooling.py PER_SECOND FILE``: each call's question is the time of its end, in nanoseconds; each line of the
file is one that has been made. When there is a file of that name with `.end` behind it, the program ends. Every
hundred calls have an attribute of their own, and after each hundred the books must balance.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

from monitored_openai import MonitoredOpenAI, attributes
from tests.support.handles import ask, http, imbalance, in_process_transport


def main(per_second: float, file: Path, end: Path) -> None:
    client = MonitoredOpenAI(http_client=http.Client(transport=in_process_transport()))
    ask(client, "0")
    while not client.monitoring.stats().folded:  # what is imported at the first call takes its time
        time.sleep(0.01)
    start = time.monotonic()
    with file.open("w", buffering=1) as lines:
        for number in itertools.count():
            time.sleep(max(0.0, start + number / per_second - time.monotonic()))
            if end.exists():
                return
            made = time.time_ns()
            with attributes(hundred=f"{number // 100}"):
                ask(client, f"{made}")
            lines.write(f"{made}\n")
            if number % 100 == 0:
                assert imbalance(client.monitoring.stats()) == (0, 0)


if __name__ == "__main__":
    main(float(sys.argv[1]), Path(sys.argv[2]), Path(f"{sys.argv[2]}.end"))

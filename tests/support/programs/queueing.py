"""Makes calls as fast as it can, answered in its own process, and ends: ``python tests/support/programs/queueing.py CALLS``.

Prints the time of its last call (monotonic seconds, which all processes share) and, after the library's work at exit,
the library's counts.
"""

from __future__ import annotations

import atexit
import json
import sys
import time

done: list[float] = []


def tell() -> None:
    stats = client.monitoring.stats()
    books = {
        "done": done[0],
        "calls": stats.calls,
        "folded": stats.folded,
        "delivered": stats.delivered,
        "dropped": dict(stats.dropped),
        "left": stats.queued + stats.in_flight,
        "metrics_dropped": dict(stats.metrics_dropped),
        "metrics_left": stats.metrics_queued,
    }
    print(json.dumps(books), flush=True)  # noqa: T201


atexit.register(tell)  # before the library's own, and so called after it

from monitored_openai import MonitoredOpenAI  # noqa: E402
from tests.support.handles import ask, http, in_process_transport  # noqa: E402

client = MonitoredOpenAI(http_client=http.Client(transport=in_process_transport()))
for number in range(int(sys.argv[1])):
    ask(client, f"question {number}")
done.append(time.monotonic())

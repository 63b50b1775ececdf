"""Makes calls in greenlets, and in a separate asyncio loop: ``python greenlets.py gevent|eventlet early|late``."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from importlib import import_module
from typing import Any

LIBRARY, WHEN = sys.argv[1:]
CALLS = 100
library: Any = import_module(LIBRARY)


def patch() -> None:
    if LIBRARY == "gevent":
        import_module("gevent.monkey").patch_all()
    else:
        library.monkey_patch()


if WHEN == "early":
    patch()

from monitored_openai import MonitoredOpenAI  # noqa: E402 - to be imported before or after, is the question here
from tests.support.handles import ask, http, in_process_transport  # noqa: E402

if WHEN == "late":
    patch()


async def alone() -> float:
    """The longest that the user's own loop has stood still."""
    longest = 0.0
    for number in range(CALLS // 4):
        before = time.perf_counter()
        await asyncio.sleep(0.002)
        longest = max(longest, time.perf_counter() - before - 0.002)
        if number % 5 == 0:
            await asyncio.sleep(0)
    return longest


def main() -> None:
    client = MonitoredOpenAI(http_client=http.Client(transport=in_process_transport()))

    def some() -> None:
        for number in range(CALLS // 4):
            ask(client, str(number))
            library.sleep(0)

    greenlets = [library.spawn(some) for _ in range(4)]
    for greenlet in greenlets:
        greenlet.join() if LIBRARY == "gevent" else greenlet.wait()
    stalled = asyncio.run(alone()) if LIBRARY == "gevent" else None  # eventlet has a loop of its own kind
    flushed = client.monitoring.flush(20)
    ask(client, "and one that is delivered at the end")
    said = {"calls": CALLS + 1, "complete": flushed.complete, "stalled": stalled}
    print(json.dumps(said))  # noqa: T201


if __name__ == "__main__":
    main()

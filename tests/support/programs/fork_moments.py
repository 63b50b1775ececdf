"""Forks many times while calls end, and prints which function the exporter's loop was in at each fork."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from types import FrameType

FORKS = 60


def called_by_the_loop(frame: FrameType | None) -> str | None:
    """The function that asyncio's loop has called: the wait for events, or a callback."""
    while frame is not None and frame.f_back is not None and frame.f_back.f_code.co_name != "_run_once":
        frame = frame.f_back
    return frame.f_code.co_name if frame is not None and frame.f_back is not None else None


def main() -> None:
    moments: list[str] = []

    def note() -> None:
        frames = sys._current_frames()
        exporters = [one.ident for one in threading.enumerate() if one.name == "monitored-openai-exporter"]
        moments.extend(filter(None, (called_by_the_loop(frames.get(ident)) for ident in exporters if ident)))

    # The functions registered later, as those of the package, are called earlier.
    os.register_at_fork(before=note)

    from monitored_openai import MonitoredOpenAI
    from tests.support.handles import ask, http, in_process_transport

    monitored = MonitoredOpenAI(http_client=http.Client(transport=in_process_transport()))
    stop = threading.Event()

    def calls() -> None:
        while not stop.wait(0.001):
            ask(monitored)

    thread = threading.Thread(target=calls)
    thread.start()
    while len(moments) < FORKS:
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        time.sleep(0.01)
    stop.set()
    thread.join(30)
    print(json.dumps({"moments": moments, "complete": monitored.monitoring.flush(30).complete}))  # noqa: T201


if __name__ == "__main__":
    main()

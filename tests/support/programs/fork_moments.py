"""Forks many times while calls end, and prints in which functions the exporter's thread was at the forks."""

from __future__ import annotations

import json
import os
import sys
import threading
import time

FORKS = 60


def main() -> None:
    moments: list[str] = []

    def note() -> None:
        frames = sys._current_frames()
        exporters = [one.ident for one in threading.enumerate() if one.name == "monitored-openai-exporter"]
        moments.extend(frames[ident].f_code.co_name for ident in exporters if ident in frames)

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

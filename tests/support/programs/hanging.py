"""Ends while its only call is being redacted, by a slow pattern or by a function that never returns.

``python hanging.py pattern|function``
"""

from __future__ import annotations

import json
import sys
import threading
import time

from monitored_openai import MonitoredOpenAI, MonitoringSettings
from tests.support.handles import ask, http, in_process_transport

STARTED = threading.Event()


def never_return(text: str, field: str) -> str:
    """Keep the exporter's thread."""
    STARTED.set()
    while True:
        time.sleep(0.01)


if __name__ == "__main__":
    by_pattern = sys.argv[1] == "pattern"
    configured = MonitoringSettings(redact=[r"(\w|\w\w)+$"] if by_pattern else never_return)
    with MonitoredOpenAI(http_client=http.Client(transport=in_process_transport()), monitoring=configured) as client:
        ask(client, f"{'a' * 60}!")
        client.monitoring.flush(0.5)
    if not by_pattern and not STARTED.wait(60):
        sys.exit("the function was not called")
    print(json.dumps({"ends_at": time.monotonic()}))  # noqa: T201

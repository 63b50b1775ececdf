"""Exposes its metrics for a scrape and makes calls: ``python tests/support/programs/scraped.py PORT NUMBER``.

It makes one call, waits for a line on its input, makes the other calls, waits for a line again, and ends.
"""

from __future__ import annotations

import sys

from prometheus_client import CollectorRegistry, start_http_server

from monitored_openai import MonitoredOpenAI

MODEL = "gpt-4o-mini"


def main(port: int, number: int) -> None:
    """Serve the metrics and make the calls."""
    client = MonitoredOpenAI(timeout=20)
    registry = CollectorRegistry()
    registry.register(client.monitoring.collector)
    server, _ = start_http_server(port, addr="127.0.0.1", registry=registry)
    for calls in (1, number - 1):
        for _ in range(calls):
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello"}])
        sys.stdin.readline()
    server.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

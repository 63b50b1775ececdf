"""A process of a fleet: 250 calls from 8 threads, sent in the predecessor's series as lines and by remote write."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from monitored_openai import MonitoredOpenAI, MonitoringSettings
from tests.support.handles import http

PROCESSES, THREADS, CALLS = 4, 8, 1000
MODEL = "gpt-4"


def tokens(number: int) -> tuple[int, int]:
    """What the call of this number costs in tokens of its prompt and its completion."""
    return 100 + number % 50, 20 + number % 7


def answer(request: Any) -> Any:
    prompt, completion = tokens(int(json.loads(request.content)["messages"][0]["content"]))
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    message = {"role": "assistant", "content": "fine"}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": MODEL, "choices": choices, "usage": usage}
    return http.Response(200, json=body)


def main(influx_url: str, write_url: str, process: int) -> None:
    shared: dict[str, Any] = {"metric_names": ["grafana_openai"], "push_interval": 60, "provider": "openai"}
    ways = [
        MonitoringSettings(metrics_url=influx_url, metrics_protocol="influx", **shared),
        MonitoringSettings(metrics_url=write_url, **shared),
    ]
    with http.Client(transport=http.MockTransport(answer)) as connections:
        clients = [MonitoredOpenAI(api_key="sk-test", http_client=connections, monitoring=way) for way in ways]

        def call(number: int) -> None:
            for client in clients:
                client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": str(number)}])

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(call, range(process, CALLS, PROCESSES)))
        for client in clients:
            assert client.monitoring.flush(30).complete
            sys.stdout.write(f"{json.dumps(client.monitoring.stats().samples.dropped)}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

"""Monitored clients for a test: fast settings, a handle that the test closes, and counts that must balance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from zlib import crc32

import openai

from monitored_openai import MonitoredOpenAI, Monitoring, MonitoringSettings, Stats
from monitored_openai._exporter import monitoring_for
from tests.support.servers._http import wait_until

MODEL = "gpt-4o"
QUICK: dict[str, Any] = {"push_interval": 0.1, "log_linger": 0.05, "instance": "test"}
"""Settings with which what is due is on its way within a tenth of a second."""
MANUAL = {"push_interval": 60, "log_linger": 30}
"""Settings with which nothing is sent but by a flush, for half a minute."""

http: Any = import_module("httpx2" if int(openai.__version__.partition(".")[0]) >= 3 else "httpx")
"""The HTTP library of the SDK at hand."""


@contextmanager
def handle(**settings: Any) -> Iterator[Monitoring]:
    """A handle of its own; nothing of it goes on after the block."""
    monitoring = monitoring_for(MonitoringSettings(**(QUICK | settings)))
    # The time of the first push depends on the instance: let it be in the second half of the interval.
    while crc32(monitoring._runner.instance.encode()) < 2**31:
        monitoring._runner._born_ms += 1
    try:
        yield monitoring
    finally:
        monitoring.close(0)


@contextmanager
def in_process(monitoring: Monitoring, text: str = "fine", **fields: Any) -> Iterator[MonitoredOpenAI]:
    """A client of this handle whose calls are answered at once, without a network."""
    with (
        http.Client(transport=in_process_transport(text, **fields)) as http_client,
        MonitoredOpenAI(
            base_url="http://api.test/v1", api_key="sk-test", http_client=http_client, monitoring=monitoring
        ) as made,
    ):
        yield made


@contextmanager
def client(base_url: str, **settings: Any) -> Iterator[MonitoredOpenAI]:
    """A client of a loopback server, with a handle of its own."""
    with (
        handle(**settings) as monitoring,
        MonitoredOpenAI(base_url=base_url, api_key="sk-test", max_retries=0, timeout=20, monitoring=monitoring) as made,
    ):
        yield made


def ask(client: openai.OpenAI, text: str = "hello", **options: Any) -> Any:
    """One chat completion."""
    return client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}], **options)


def flush_until(monitoring: Monitoring, condition: Callable[[], bool]) -> None:
    """Flush, for a moment each time, until something has happened; for back ends that let no flush come to its end."""

    def happens() -> bool:
        monitoring.flush(0.2)
        return condition()

    wait_until(happens)


def imbalance(stats: Stats) -> tuple[int, int]:
    """How far the books are from balancing, of log entries and of calls; (0, 0) when they balance."""
    entries = stats.delivered + sum(stats.dropped.values()) + stats.queued + stats.in_flight + stats.spooled
    calls = stats.folded + sum(stats.metrics_dropped.values()) + stats.metrics_queued
    return stats.produced - entries, stats.calls - calls


def in_process_transport(text: str = "fine", **fields: Any) -> Any:
    """A transport of the SDK's HTTP library that answers every chat completion at once, without a network."""
    body = http.Response(
        200,
        json={
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-4o-2024-08-06",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
            **fields,
        },
    ).content
    headers = {"content-type": "application/json", "x-request-id": "req_1"}
    return http.MockTransport(lambda request: http.Response(200, content=body, headers=headers))


def call(monitoring: Monitoring, times: int = 1, text: str = "hello", **fields: Any) -> None:
    with in_process(monitoring, **fields) as client:
        for number in range(times):
            ask(client, f"{text} {number}")


def settled(monitoring: Monitoring, timeout: float = 30) -> None:
    result = monitoring.flush(timeout)
    assert (result.complete, result.left, imbalance(monitoring.stats())) == (True, 0, (0, 0))

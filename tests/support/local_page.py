"""A local page for a test: its server, and a client that acts like a browser and like an exporter."""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cramjam
import httpx
import pytest

from monitored_openai._exporter.encoders import remote_write
from monitored_openai._exporter.encoders.loki import encode_entry, encode_push
from monitored_openai._local import counters
from monitored_openai._local.history import Bounds, History
from monitored_openai._local.remote_write_decoder import Series
from monitored_openai._local.server import LOGS_PATH, METRICS_PATH, LocalServer
from monitored_openai._metrics.store import Metrics
from tests.support.chromium import Chromium, program

CALL = {
    "id": "c1",
    "operation": "chat",
    "request_model": "gpt-4o",
    "attributes": {"feature": "search"},
    "request": {"messages": [{"role": "user", "content": "Wo ist die Straße?"}]},
    "response": {"choices": [{"message": {"role": "assistant", "content": "Dort."}}]},
}


class Page:
    """A server, and a client of it as a browser and an exporter are."""

    def __init__(self, server: LocalServer, history: History, said: list[str]) -> None:
        self.server = server
        self.history = history
        self.said = said
        no_certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading them takes longer than most tests
        self._client = httpx.Client(base_url=server.url, trust_env=False, timeout=60, verify=no_certificates)

    def close(self) -> None:
        self._client.close()

    def push(self, samples: list[tuple[str, dict[str, str], float]], *, at_ms: int | None = None) -> int:
        at_ms = at_ms or time.time_ns() // 1_000_000
        body = b"".join(
            remote_write.encode_series(remote_write.encode_labels(name, labels.items()), [(value, at_ms)])
            for name, labels, value in samples
        )
        packed = bytes(cramjam.snappy.compress_raw(body))
        return self._client.post(METRICS_PATH, content=packed, headers=remote_write.HEADERS).status_code

    def keep(self, samples: list[tuple[str, dict[str, str], float]]) -> None:
        """Keep values that a push may not bring, as histories of earlier versions hold them."""
        now_ms = time.time_ns() // 1_000_000
        received = [
            Series(labels={**labels, "__name__": name}, value=value, timestamp_ms=now_ms)
            for name, labels, value in samples
        ]
        counters.keep(self.history, received)

    def push_process(self, metrics: Metrics, instance: str) -> int:
        return self.push(
            [(one.name, {**dict(one.labels), "instance": instance}, one.value) for one in metrics.samples()]
        )

    def log(self, *calls: Any, at_ns: int | None = None, stream: dict[str, str] | None = None) -> httpx.Response:
        at_ns = at_ns or time.time_ns()
        lines = [call if isinstance(call, str) else json.dumps(call) for call in calls]
        entries = [encode_entry(at_ns + number, line, {}) for number, line in enumerate(lines)]
        return self._client.post(LOGS_PATH, content=encode_push([(stream or {}, entries)]))

    def get(self, path: str, **asked: str | int) -> httpx.Response:
        return self._client.get(path, params=asked or None)

    def overview(self, **asked: str | int) -> Any:
        return self.get("/api/overview", **({"seconds": 900} | asked)).json()

    def calls(self, **asked: str | int) -> list[Any]:
        found: list[Any] = self.get("/api/calls", **asked).json()
        return found


def open_page(path: Path, **bounds: float) -> Iterator[Page]:
    said: list[str] = []
    kept = History(path, bounds=Bounds(**bounds), say=said.append)  # type: ignore[arg-type]  # whole numbers are numbers
    with LocalServer(kept) as server:
        page = Page(server, kept, said)
        yield page
        page.close()
    kept.close()


def open_browser() -> Iterator[Chromium]:
    found = program()
    if found is None:
        reason = "no Chromium: scripts/install-chromium fetches one, or name yours in MONITORED_OPENAI_CHROMIUM"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with Chromium(found) as started:
        yield started


def metrics_of(*records: Any, label_names: tuple[str, ...] = ()) -> Metrics:
    metrics = Metrics(label_names=label_names)
    for one in records:
        metrics.fold(one)
    return metrics

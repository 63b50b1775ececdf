"""What stands in for Prometheus and Loki: they take what is pushed and keep it."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitored_openai._cli import write_request
from monitored_openai._cli.loopback import Exchange, Loopback

_NO_CONTENT, _BAD_REQUEST = 204, 400

Labels = tuple[tuple[str, str], ...]


class MetricsReceiver(Loopback):
    """Takes Prometheus remote write 1.0 and keeps the newest sample of each series, as a query at the end would."""

    def __init__(self) -> None:
        """With nothing received."""
        super().__init__()
        self.pushes = 0
        self._newest: dict[Labels, write_request.Series] = {}
        self._receiving = threading.Lock()

    @property
    def push_url(self) -> str:
        """Where pushes go."""
        return f"{self.url}/api/v1/write"

    @property
    def series(self) -> list[write_request.Series]:
        """Every series with its newest sample."""
        with self._receiving:
            return list(self._newest.values())

    def serve(self, exchange: Exchange) -> None:
        """Take a push."""
        try:
            received = write_request.read(exchange.body())
        except ValueError as error:
            exchange.reply(_BAD_REQUEST, str(error).encode())
            return
        with self._receiving:
            self.pushes += 1
            for series in received:
                self.take(series)
        exchange.reply(_NO_CONTENT)

    def take(self, series: write_request.Series) -> None:
        """Keep a series unless what is there is newer."""
        key = tuple(sorted(series.labels.items()))
        before = self._newest.get(key)
        if before is None or before.timestamp_ms <= series.timestamp_ms:
            self._newest[key] = series


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """An entry of the log as Loki has it."""

    timestamp_ns: int
    call: Mapping[str, Any]
    """The line, which is one JSON object."""
    metadata: Mapping[str, str]


class LogsReceiver(Loopback):
    """Takes Loki's push, gzipped JSON, and keeps every entry."""

    def __init__(self) -> None:
        """With nothing received."""
        super().__init__()
        self.pushes = 0
        self.entries: list[LogEntry] = []
        self._receiving = threading.Lock()

    @property
    def push_url(self) -> str:
        """Where pushes go."""
        return f"{self.url}/loki/api/v1/push"

    def serve(self, exchange: Exchange) -> None:
        """Take a push."""
        try:
            received = _entries(gzip.decompress(exchange.body()))
        except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
            exchange.reply(_BAD_REQUEST, f"no push to Loki: {error!r}".encode())
            return
        with self._receiving:
            self.pushes += 1
            for entry in received:
                self.take(entry)
        exchange.reply(_NO_CONTENT)

    def take(self, entry: LogEntry) -> None:
        """Keep an entry."""
        self.entries.append(entry)


def _entries(body: bytes) -> list[LogEntry]:
    return [
        LogEntry(timestamp_ns=int(timestamp_ns), call=json.loads(line), metadata=metadata)
        for stream in json.loads(body)["streams"]
        for timestamp_ns, line, metadata in stream["values"]
    ]

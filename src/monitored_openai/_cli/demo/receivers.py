"""What stands in for Prometheus and Loki: they take what is pushed and keep it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from monitored_openai._local.http.connection import Connection
from monitored_openai._local.http.server import Server
from monitored_openai._local.ingest import ReceivedEntry, entries_in, series_in
from monitored_openai._local.remote_write_decoder import Series

_NO_CONTENT, _BAD_REQUEST = 204, 400

Labels = tuple[tuple[str, str], ...]


class MetricsReceiver(Server):
    """Takes Prometheus remote write 1.0 and keeps the newest sample of each series, as a query at the end would."""

    def __init__(self, also: Callable[[list[Series]], None] | None = None) -> None:
        """With nothing received; `also` is given what is."""
        super().__init__()
        self.pushes = 0
        self._also = also
        self._newest: dict[Labels, Series] = {}
        self._receiving = threading.Lock()

    @property
    def push_url(self) -> str:
        """Where pushes go."""
        return f"{self.url}/api/v1/write"

    @property
    def series(self) -> list[Series]:
        """Every series with its newest sample."""
        with self._receiving:
            return list(self._newest.values())

    def serve(self, connection: Connection) -> None:
        """Take a push."""
        try:
            received = series_in(connection.body())
        except ValueError as error:
            connection.reply(_BAD_REQUEST, str(error).encode())
            return
        with self._receiving:
            self.pushes += 1
            for series in received:
                self.take(series)
        if self._also:
            self._also(received)
        connection.reply(_NO_CONTENT)

    def take(self, series: Series) -> None:
        """Keep a series unless what is there is newer."""
        key = tuple(sorted(series.labels.items()))
        before = self._newest.get(key)
        if before is None or before.timestamp_ms <= series.timestamp_ms:
            self._newest[key] = series


class LogsReceiver(Server):
    """Takes Loki's push, gzipped JSON, and keeps every entry."""

    def __init__(self, also: Callable[[list[ReceivedEntry]], None] | None = None) -> None:
        """With nothing received; `also` is given what is."""
        super().__init__()
        self.pushes = 0
        self._also = also
        self.entries: list[ReceivedEntry] = []
        self._receiving = threading.Lock()

    @property
    def push_url(self) -> str:
        """Where pushes go."""
        return f"{self.url}/loki/api/v1/push"

    def serve(self, connection: Connection) -> None:
        """Take a push."""
        try:
            received, too_long = entries_in(connection.body())
        except ValueError as error:
            connection.reply(_BAD_REQUEST, str(error).encode())
            return
        with self._receiving:
            self.pushes += 1
            for entry in received:
                self.take(entry)
        if self._also:
            self._also(received)
        connection.reply(_BAD_REQUEST if too_long else _NO_CONTENT)

    def take(self, entry: ReceivedEntry) -> None:
        """Keep an entry."""
        self.entries.append(entry)

"""Stand-ins for Prometheus and Loki that keep what clients push."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Generic, TypeVar

from monitored_openai._local.http.connection import Connection
from monitored_openai._local.http.server import Server
from monitored_openai._local.ingest import ReceivedEntry, entries_in, series_in
from monitored_openai._local.remote_write_decoder import Series
from monitored_openai._local.server import LOGS_PATH, METRICS_PATH

_Item = TypeVar("_Item")


class _Receiver(Server, Generic[_Item]):
    """Keeps the decoded items of each push."""

    _path: str

    def __init__(self, also: Callable[[list[_Item]], None] | None = None) -> None:
        """Bind a free port; the receiver calls `also` with the items of each push."""
        super().__init__()
        self.pushes: list[list[_Item]] = []
        self._also = also

    @property
    def push_url(self) -> str:
        """The URL for pushes."""
        return f"{self.url}{self._path}"

    def decode(self, body: bytes) -> list[_Item]:
        """Return the items in a push.

        Raises:
            ValueError: the body is not a push.
        """
        raise NotImplementedError

    def serve(self, connection: Connection) -> None:
        """Take a push."""
        try:
            items = self.decode(connection.body())
        except ValueError as error:
            connection.reply(400, str(error).encode())
            return
        self.pushes.append(items)
        if self._also:
            self._also(items)
        connection.reply(204)


class MetricsReceiver(_Receiver[Series]):
    """Takes Prometheus remote write 1.0."""

    _path = METRICS_PATH

    @property
    def series(self) -> list[Series]:
        """Every series with its newest sample."""
        samples = sorted(chain.from_iterable(self.pushes), key=lambda one: one.timestamp_ms)
        return list({frozenset(one.labels.items()): one for one in samples}.values())

    def decode(self, body: bytes) -> list[Series]:
        """Return the series in a push."""
        return series_in(body)


class LogsReceiver(_Receiver[ReceivedEntry]):
    """Takes Loki's push, gzipped JSON."""

    _path = LOGS_PATH

    @property
    def entries(self) -> list[ReceivedEntry]:
        """Every entry, in the order of the pushes."""
        return list(chain.from_iterable(self.pushes))

    def decode(self, body: bytes) -> list[ReceivedEntry]:
        """Return the entries in a push."""
        entries, too_long = entries_in(body)
        if too_long:
            raise ValueError(f"{too_long} lines are too long")
        return entries

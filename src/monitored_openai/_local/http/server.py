"""A small HTTP/1.1 server: a bounded number of connections, with a thread for each."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from types import TracebackType
from typing import Any, Self

from monitored_openai._local.http.connection import Exchange, Patience
from monitored_openai._local.http.rejections import Refusal, Refusals, Room

MOST_CONNECTIONS = 128
_MOST_BYTES_UNDER_WAY = 32 * 1024 * 1024
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Server(ThreadingTCPServer):
    """Serves from entering the context until leaving it, which waits for the answers that are under way."""

    request_queue_size = 128
    allow_reuse_address = os.name == "posix"  # else a port is taken for a minute after use; Windows would share it

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        most_connections: int = MOST_CONNECTIONS,
        patience: Patience | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        """Listen on a free port unless one is named; `report` gets the refusals, at most once a minute.

        Raises:
            OSError: the host is none of this machine's, or the port is taken.
        """
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), BaseRequestHandler)
        self.refusals = Refusals(report)
        self._most_connections = most_connections
        self._patience = patience or Patience()
        self._room = Room(_MOST_BYTES_UNDER_WAY)
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name=type(self).__name__, daemon=True)

    @property
    def url(self) -> str:
        """The address, without a path."""
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}" if self.address_family == socket.AF_INET6 else f"http://{host!s}:{port}"

    @property
    def connections(self) -> int:
        """The number of open connections."""
        with self._lock:
            return len(self._connections)

    def serve(self, exchange: Exchange) -> None:
        """Answer a request."""
        raise NotImplementedError

    def headers_of_refusal(self, status: int) -> Mapping[str, str]:  # noqa: ARG002  # for servers that need more
        """Return the header fields of an answer that refuses a request."""
        return {"Content-Type": "text/plain; charset=utf-8"}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):  # it is closed at the other end already
                    connection.shutdown(socket.SHUT_RD)  # no more requests; what is being answered may be
        with suppress(RuntimeError):  # socketserver also waits for a thread that could not be started
            self.server_close()
        self.refusals.report()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve the connection in its own thread, or refuse it if too many are open."""
        with self._lock:
            free = len(self._connections) < self._most_connections
            if free:
                self._connections.add(request)
        try:
            if free:
                super().process_request(request, client_address)
                return
        except (RuntimeError, MemoryError):  # no thread can be started
            pass
        self._turn_away(request)

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # socketserver's signature
        """Serve the requests of a connection until either side ends it."""
        with suppress(OSError):  # it is closed at the other end already
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        exchange = Exchange(request, room=self._room, patience=self._patience)
        try:
            while exchange.next_request():
                self._answer(exchange)
        except Refusal as refusal:
            self.refuse(exchange, refusal)
        finally:
            exchange.end()

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        """Count the refusal, and answer with it."""
        self.refusals.add(refusal.status)
        exchange.refuse(refusal, self.headers_of_refusal(refusal.status))

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection, and close it."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let clients leave when they like, also in the middle of an answer; show every other error."""
        error = sys.exception()
        if isinstance(error, TimeoutError):
            self.refusals.add(408)
        elif not isinstance(error, ConnectionError):
            super().handle_error(request, client_address)

    def _answer(self, exchange: Exchange) -> None:
        try:
            self.serve(exchange)
        except Refusal as refusal:
            self.refuse(exchange, refusal)
        except MemoryError:
            self.refuse(exchange, Refusal(503, "out of memory; try again"))

    def _turn_away(self, request: Any) -> None:
        self.refusals.add(503)
        with suppress(OSError):
            request.setblocking(False)  # the accepting thread must never wait
            request.send(_BUSY)
        self.shutdown_request(request)

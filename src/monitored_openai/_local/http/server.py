"""A small HTTP/1.1 server with a bounded number of connections and one thread for each."""

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

from monitored_openai._local.http.connection import Connection, Timeouts
from monitored_openai._local.http.rejections import HTTPError, MemoryBudget, RejectionCounts

MOST_CONNECTIONS = 128
_MOST_BYTES_UNDER_WAY = 32 * 1024 * 1024
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Server(ThreadingTCPServer):
    """Serves while its context is open; leaving the context waits for responses in progress."""

    request_queue_size = 128
    # Without it, the port of an ended server stays in use for a minute; on Windows it lets two servers share a port.
    allow_reuse_address = os.name == "posix"

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        most_connections: int = MOST_CONNECTIONS,
        timeouts: Timeouts | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        """Listen on this port, or on a free one for 0; `report` receives counts of rejections at most once a minute.

        Raises:
            OSError: the host is not an address of this machine, or the port is in use.
        """
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), BaseRequestHandler)
        self.rejections = RejectionCounts(report)
        self._most_connections = most_connections
        self._timeouts = timeouts or Timeouts()
        self._budget = MemoryBudget(_MOST_BYTES_UNDER_WAY)
        self._connections: set[socket.socket] = set()
        self._waiting: dict[socket.socket, None] = {}
        """Connections that wait for a request, the longest first."""
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

    def serve(self, connection: Connection) -> None:
        """Respond to a request."""
        raise NotImplementedError

    def error_headers(self, status: int) -> Mapping[str, str]:  # noqa: ARG002  # for servers that need more
        """Return the header fields of an error response."""
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
                with suppress(OSError):  # the client has closed it already
                    connection.shutdown(socket.SHUT_RD)  # accept no more requests, finish the current response
        with suppress(RuntimeError):  # socketserver also waits for a thread that could not be started
            self.server_close()
        self.rejections.report()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve the connection in its own thread; if too many are open, end the one that has waited longest, or reject it."""
        with self._lock:
            if len(self._connections) >= self._most_connections:
                self._end_longest_waiting()
            free = len(self._connections) < self._most_connections
            if free:
                self._connections.add(request)
                self._waiting[request] = None
        try:
            if free:
                super().process_request(request, client_address)
                return
        except (RuntimeError, MemoryError):  # no thread can start
            pass
        self._reject_connection(request)

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # socketserver's signature
        """Serve the requests of a connection until either side ends it."""
        with suppress(OSError):  # the client has closed it already
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        connection = Connection(request, budget=self._budget, timeouts=self._timeouts)
        try:
            while self._next_request(connection, request):
                self._answer(connection)
        except HTTPError as error:
            self.send_error(connection, error)
        finally:
            connection.end()

    def send_error(self, connection: Connection, error: HTTPError) -> None:
        """Count the error and send it."""
        self.rejections.add(error.status)
        connection.send_error(error, self.error_headers(error.status))

    def shutdown_request(self, request: Any) -> None:
        """Close the connection and remove it from the open ones."""
        with self._lock:
            self._connections.discard(request)
            self._waiting.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # socketserver's signature
        """Ignore clients that disconnect, also during a response; count each other error."""
        error = sys.exception()
        if isinstance(error, TimeoutError):
            self.rejections.add(408)
        elif not isinstance(error, ConnectionError):
            self.rejections.add(500)
            self.rejections.add_fault(error or RuntimeError())

    def _next_request(self, connection: Connection, request: socket.socket) -> bool:
        with self._lock:
            if request in self._connections:
                self._waiting.pop(request, None)
                self._waiting[request] = None
        try:
            return connection.next_request()
        finally:
            with self._lock:
                self._waiting.pop(request, None)

    def _end_longest_waiting(self) -> None:
        longest = next(iter(self._waiting), None)
        if longest is not None:
            del self._waiting[longest]
            self._connections.discard(longest)
            with suppress(OSError):  # the client has closed it already
                longest.shutdown(socket.SHUT_RD)  # its thread reads the end, and closes it

    def _answer(self, connection: Connection) -> None:
        try:
            self.serve(connection)
        except HTTPError as error:
            self.send_error(connection, error)
        except MemoryError:
            self.send_error(connection, HTTPError(503, "out of memory; try again"))
        except OSError:  # of the connection
            raise
        except Exception as error:
            self.rejections.add_fault(error)
            self.send_error(
                connection, HTTPError(500, "the server failed on this request; its terminal shows the error")
            )

    def _reject_connection(self, request: Any) -> None:
        self.rejections.add(503)
        with suppress(OSError):
            request.setblocking(False)  # the accepting thread must never wait
            request.send(_BUSY)
        self.shutdown_request(request)

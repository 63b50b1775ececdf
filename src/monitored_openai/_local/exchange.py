"""A small HTTP/1.1 server, with a thread for each connection."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Any, Self, cast


class Exchange(BaseHTTPRequestHandler):
    """One connection; the server answers each of its requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else what is written in two parts takes 40 ms more
    wbufsize = -1  # buffered: head and body leave together
    timeout = 120.0

    def do_POST(self) -> None:  # http.server looks for this name
        """Let the server answer."""
        cast("Server", self.server).serve(self)

    do_GET = do_POST  # noqa: N815  # as above

    def body(self) -> bytes:
        """The request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Write the head of an answer, which leaves with what follows."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def reply(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer."""
        self.start(status, {**(headers or {}), "Content-Length": str(len(body))})
        self.wfile.write(body)
        self.wfile.flush()

    def chunk(self, data: bytes) -> None:
        """Send a part of a body in `Transfer-Encoding: chunked`; the empty one is the last."""
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def client_leaves_within(self, seconds: float) -> bool:
        """Wait, and tell whether the client has closed the connection meanwhile."""
        readable, _, _ = select.select([self.connection], [], [], seconds)
        try:
            return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""
        except ConnectionError:
            return True

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002  # http.server's name for it
        """Stay silent: standard error is the user's."""


class Server(ThreadingTCPServer):
    """Serves from entering the context until leaving it, which waits for the answers that are under way."""

    request_queue_size = 128
    allow_reuse_address = os.name == "posix"  # else a port is taken for a minute after use; Windows would share it

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """On a free port unless one is named.

        Raises:
            OSError: the host is none of this machine's, or the port is taken.
        """
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), Exchange)
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name=type(self).__name__, daemon=True)

    @property
    def url(self) -> str:
        """The address, without a path."""
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}" if self.address_family == socket.AF_INET6 else f"http://{host!s}:{port}"

    def serve(self, exchange: Exchange) -> None:
        """Answer a request."""
        raise NotImplementedError

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
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, and serve it in its own thread."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection, and close it."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let clients leave when they like; whatever else went wrong is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

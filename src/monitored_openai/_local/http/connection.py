"""One connection of the embedded server: strict HTTP/1.1, one request at a time, with bounded waits and sizes."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

import h11

from monitored_openai._local.http.framing import MOST_HEAD_BYTES, ChunkedFraming, head_error, partial_head_error
from monitored_openai._local.http.rejections import HTTPError, MemoryBudget

MOST_BODY_BYTES = 16 * 1024 * 1024
_MOST_CHUNKS = 20_000
_READ_BYTES, _SMALL_READ_BYTES = 64 * 1024, 4096
_SMALL_BYTES = 64 * 1024
"""A response up to this size reserves no memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Limits in seconds for each step of a connection."""

    idle: float = 60.0
    head: float = 10.0
    """From the first byte of a request to the empty line after its header fields."""
    body: float = 60.0
    send: float = 30.0
    """For one response, or one chunk of it."""
    linger: float = 2.0
    """Time to continue reading after the last response, so that the client receives it."""


class Connection:
    """One client connection and its current request."""

    def __init__(self, client: socket.socket, *, budget: MemoryBudget, timeouts: Timeouts) -> None:
        """Use a connected socket; the caller closes it."""
        self.command = ""
        self.path = ""
        self.headers: Mapping[str, str] = {}
        """By name in lower case."""
        self.close_connection = False
        self._socket = client
        self._timeouts = timeouts
        self._budget = budget
        self._reserved_bytes = self._response_bytes = 0
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_SMALL_READ_BYTES)

    def next_request(self) -> bool:
        """Read the head of the next request; return false if the connection ended or was idle for too long.

        Raises:
            HTTPError: the head is malformed, too large or too slow.
        """
        self._release()
        if not self._ready():
            return False
        pending = self._http.trailing_data[0]
        if not (received := self._received_head(pending)):
            return False
        head, separator, _ = received.partition(b"\r\n\r\n")
        if text := head_error(head + separator):  # before h11, whose patterns need quadratic time on some heads
            raise HTTPError(400, text)
        if fresh := received[len(pending) :]:  # h11 treats empty input as the end of the connection
            self._http.receive_data(fresh)
        self._begin()
        return True

    def body(self, most_bytes: int = MOST_BODY_BYTES) -> bytes:
        """Return the request's body of at most this size.

        Raises:
            HTTPError: it has no length, or is too large, too slow, cut off or malformed.
        """
        if not {"content-length", "transfer-encoding"} & self.headers.keys():
            raise HTTPError(411, "a push needs a Content-Length")
        if int(self.headers.get("content-length", "0")) > most_bytes:
            raise HTTPError(413, f"more than {most_bytes} bytes")
        if self._http.they_are_waiting_for_100_continue:
            self._send(h11.InformationalResponse(status_code=100, headers=[]))
        deadline, chunks = time.monotonic() + self._timeouts.body, 0
        body, framing = bytearray(), ChunkedFraming() if "transfer-encoding" in self.headers else None
        _check_chunks(framing, self._http.trailing_data[0])
        while not isinstance(event := self._event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                received = self._receive_body(deadline)
                _check_chunks(framing, received)
                self._http.receive_data(received)
            elif isinstance(event, h11.Data):
                chunks += event.chunk_start
                self._reserve(len(event.data))
                body += event.data
                if len(body) > most_bytes or chunks > _MOST_CHUNKS:
                    raise HTTPError(413, f"more than {most_bytes} bytes, or than {_MOST_CHUNKS} chunks")
            else:
                raise ConnectionResetError
        return bytes(body)

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of a response."""
        self._send(self._head(status, headers))

    def reserve_response(self, size: int) -> None:
        """Reserve memory for the response before it is computed; `reply` releases the excess.

        Raises:
            HTTPError: other connections hold too many bytes.
        """
        self._reserve(size)
        self._response_bytes += size

    def reply(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Send a whole response.

        Raises:
            HTTPError: the response is large, and other connections hold too many bytes.
        """
        needed = len(body) if len(body) > _SMALL_BYTES else 0
        self._reserve(needed - self._response_bytes)
        self._response_bytes = needed
        bodiless = status in (204, 304)
        length = {} if bodiless else {"Content-Length": str(len(body))}
        head = self._head(status, {**(headers or {}), **length})
        events = [head] if bodiless or self.command == "HEAD" else [head, h11.Data(data=body)]
        self._send(*events, h11.EndOfMessage())

    def chunk(self, data: bytes) -> None:
        """Send one chunk of a body; an empty chunk ends the body."""
        self._send(h11.Data(data=data) if data else h11.EndOfMessage())

    def send_error(self, error: HTTPError, headers: Mapping[str, str]) -> None:
        """Send the error if no response has begun; close the connection unless the request was read to its end."""
        self.close_connection = self.close_connection or self._http.their_state is not h11.DONE
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.reply(error.status, str(error).encode(), headers)

    def client_leaves_within(self, seconds: float) -> bool:
        """Wait up to `seconds`; return true if the client closed the connection."""
        readable, _, _ = select.select([self._socket], [], [], seconds)
        try:
            return bool(readable) and self._socket.recv(1, socket.MSG_PEEK) == b""
        except ConnectionError:
            return True

    def end(self) -> None:
        """Stop sending, but continue reading for a while: closing a socket with unread bytes would discard the response."""
        self._release()
        deadline, left = time.monotonic() + self._timeouts.linger, 2 * MOST_BODY_BYTES
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            while left > 0 and (piece := self._receive(deadline, _READ_BYTES)):
                left -= len(piece)

    def _release(self) -> None:
        self._budget.release(self._reserved_bytes)
        self._reserved_bytes = self._response_bytes = 0

    def _received_head(self, pending: bytes) -> bytes:
        """Return `pending` and the following bytes up to or past the end of a head; empty if no request comes."""
        received = bytearray(pending)
        deadline = time.monotonic() + (self._timeouts.head if received else self._timeouts.idle)
        while b"\r\n\r\n" not in received:
            if text := partial_head_error(received):
                raise HTTPError(431 if len(received) > MOST_HEAD_BYTES else 400, text)
            try:
                piece = self._receive(deadline, _SMALL_READ_BYTES)
            except TimeoutError:
                if not received:
                    return b""
                raise HTTPError(408, f"the request's head took more than {self._timeouts.head:g} s") from None
            if not received:
                deadline = time.monotonic() + self._timeouts.head
            elif not piece:
                raise HTTPError(400, "the request ends in the middle of its head")
            received += piece
            if not received:
                return b""
        return bytes(received)

    def _ready(self) -> bool:
        """Return true if another request may follow."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE and not self.close_connection:
            self._http.start_next_cycle()
        return self._http.our_state is h11.IDLE and self._http.their_state is h11.IDLE

    def _begin(self) -> None:
        request = self._event()
        if not isinstance(request, h11.Request):
            raise HTTPError(400, "the request is malformed HTTP/1.1")
        self.command, self.path = request.method.decode(), request.target.decode()
        self.headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        if self.command not in ("GET", "POST"):
            raise HTTPError(405, "only GET and POST are served")
        if self.command == "GET":
            self._event()  # the end of the message, which has no body

    def _event(self) -> h11.Event | type[h11.NEED_DATA | h11.PAUSED]:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise HTTPError(400, "the request is malformed HTTP/1.1") from error

    def _receive(self, deadline: float, most_bytes: int) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return self._socket.recv(most_bytes)

    def _receive_body(self, deadline: float) -> bytes:
        chunked = "transfer-encoding" in self.headers  # h11 needs quadratic time on some trailers too
        try:
            return self._receive(deadline, _SMALL_READ_BYTES if chunked else _READ_BYTES)
        except TimeoutError:
            raise HTTPError(408, f"the request's body took more than {self._timeouts.body:g} s") from None

    def _head(self, status: int, headers: Mapping[str, str]) -> h11.Response:
        self.close_connection = self.close_connection or self._http.their_state is h11.SEND_BODY  # part of it is unread
        more = {"Date": formatdate(usegmt=True), **({"Connection": "close"} if self.close_connection else {})}
        return h11.Response(
            status_code=status, reason=HTTPStatus(status).phrase.encode(), headers=[*{**headers, **more}.items()]
        )

    def _send(self, *events: h11.Event) -> None:
        self._socket.settimeout(self._timeouts.send)
        self._socket.sendall(b"".join(self._http.send(event) or b"" for event in events))

    def _reserve(self, size: int) -> None:
        self._budget.reserve(size)
        self._reserved_bytes += size


def _check_chunks(framing: ChunkedFraming | None, received: bytes) -> None:
    if framing is not None and (text := framing.error(received)):  # before h11, which accepts more
        raise HTTPError(400, text)

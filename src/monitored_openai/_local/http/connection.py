"""One connection of the embedded server: strict HTTP/1.1, one request at a time, every wait and size bounded."""

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

from monitored_openai._local.http.framing import MOST_HEAD_BYTES, early_objection, objection
from monitored_openai._local.http.rejections import Refusal, Room

MOST_BODY_BYTES = 16 * 1024 * 1024
_MOST_CHUNKS = 20_000
_READ_BYTES, _SMALL_READ_BYTES = 64 * 1024, 4096
_SMALL_BYTES = 64 * 1024
"""An answer up to this size needs no room of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How many seconds a connection may take for each of its steps."""

    idle: float = 60.0
    head: float = 10.0
    """From the first byte of a request to the empty line after its header fields."""
    body: float = 60.0
    send: float = 30.0
    """For one answer, or one chunk of it."""
    linger: float = 2.0
    """How long the server reads on after its last answer, so that the client can read that."""


class Exchange:
    """One connection, and the request on it that the server answers now."""

    def __init__(self, connection: socket.socket, *, room: Room, patience: Patience) -> None:
        """Take over a connected socket; its owner closes it."""
        self.command = ""
        self.path = ""
        self.headers: Mapping[str, str] = {}
        """By name in lower case."""
        self.close_connection = False
        self._socket = connection
        self._patience = patience
        self._room = room
        self._held_bytes = 0
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_SMALL_READ_BYTES)

    def next_request(self) -> bool:
        """Read the head of the next request; false if the connection ended or was idle for too long.

        Raises:
            Refusal: the head is malformed, too large or too slow.
        """
        self._release()
        if not self._ready():
            return False
        pending = self._http.trailing_data[0]
        if not (received := self._received_head(pending)):
            return False
        head, separator, _ = received.partition(b"\r\n\r\n")
        if text := objection(head + separator):  # before h11, whose patterns take quadratic time on some heads
            raise Refusal(400, text)
        if fresh := received[len(pending) :]:  # h11 takes no bytes for the end of the connection
            self._http.receive_data(fresh)
        self._begin()
        return True

    def body(self) -> bytes:
        """The request's body.

        Raises:
            Refusal: it has no length, or is too large, too slow, cut off or malformed.
        """
        if not {"content-length", "transfer-encoding"} & self.headers.keys():
            raise Refusal(411, "a push needs a Content-Length")
        if int(self.headers.get("content-length", "0")) > MOST_BODY_BYTES:
            raise Refusal(413, f"more than {MOST_BODY_BYTES} bytes")
        if self._http.they_are_waiting_for_100_continue:
            self._send(h11.InformationalResponse(status_code=100, headers=[]))
        deadline, chunks = time.monotonic() + self._patience.body, 0
        body = bytearray()
        while not isinstance(event := self._event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                self._http.receive_data(self._receive_body(deadline))
            elif isinstance(event, h11.Data):
                chunks += event.chunk_start
                self._hold(len(event.data))
                body += event.data
                if len(body) > MOST_BODY_BYTES or chunks > _MOST_CHUNKS:
                    raise Refusal(413, f"more than {MOST_BODY_BYTES} bytes, or than {_MOST_CHUNKS} chunks")
            else:
                raise ConnectionResetError
        return bytes(body)

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of an answer."""
        self._send(self._head(status, headers))

    def reply(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer.

        Raises:
            Refusal: the answer is large, and other connections hold too many bytes.
        """
        if len(body) > _SMALL_BYTES:
            self._hold(len(body))
        bodiless = status in (204, 304)
        length = {} if bodiless else {"Content-Length": str(len(body))}
        head = self._head(status, {**(headers or {}), **length})
        events = [head] if bodiless or self.command == "HEAD" else [head, h11.Data(data=body)]
        self._send(*events, h11.EndOfMessage())

    def chunk(self, data: bytes) -> None:
        """Send a part of a body in `Transfer-Encoding: chunked`; the empty one is the last."""
        self._send(h11.Data(data=data) if data else h11.EndOfMessage())

    def refuse(self, refusal: Refusal, headers: Mapping[str, str]) -> None:
        """Answer with the refusal if no answer has begun; end the connection unless the request was read to its end."""
        self.close_connection = self.close_connection or self._http.their_state is not h11.DONE
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.reply(refusal.status, str(refusal).encode(), headers)

    def client_leaves_within(self, seconds: float) -> bool:
        """Wait, and return whether the client has closed the connection meanwhile."""
        readable, _, _ = select.select([self._socket], [], [], seconds)
        try:
            return bool(readable) and self._socket.recv(1, socket.MSG_PEEK) == b""
        except ConnectionError:
            return True

    def end(self) -> None:
        """Send no more, and read on for a while: a socket closed with unread bytes makes the client lose the answer."""
        self._release()
        deadline, left = time.monotonic() + self._patience.linger, 2 * MOST_BODY_BYTES
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            while left > 0 and (piece := self._receive(deadline, _READ_BYTES)):
                left -= len(piece)

    def _release(self) -> None:
        self._room.give_back(self._held_bytes)
        self._held_bytes = 0

    def _received_head(self, pending: bytes) -> bytes:
        """These bytes and those that follow, up to the end of a head or further; none if no request comes."""
        received = bytearray(pending)
        deadline = time.monotonic() + (self._patience.head if received else self._patience.idle)
        while b"\r\n\r\n" not in received:
            if text := early_objection(received):
                raise Refusal(431 if len(received) > MOST_HEAD_BYTES else 400, text)
            try:
                piece = self._receive(deadline, _SMALL_READ_BYTES)
            except TimeoutError:
                if not received:
                    return b""
                raise Refusal(408, f"the request's head took more than {self._patience.head:g} s") from None
            if not received:
                deadline = time.monotonic() + self._patience.head
            elif not piece:
                raise Refusal(400, "the request ends in the middle of its head")
            received += piece
            if not received:
                return b""
        return bytes(received)

    def _ready(self) -> bool:
        """Whether another request may follow the last one."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE and not self.close_connection:
            self._http.start_next_cycle()
        return self._http.our_state is h11.IDLE and self._http.their_state is h11.IDLE

    def _begin(self) -> None:
        request = self._event()
        if not isinstance(request, h11.Request):
            raise Refusal(400, "the request is malformed HTTP/1.1")
        self.command, self.path = request.method.decode(), request.target.decode()
        self.headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        if self.command not in ("GET", "POST"):
            raise Refusal(405, "only GET and POST are served")
        if self.command == "GET":
            self._event()  # the end of the message, which has no body

    def _event(self) -> h11.Event | type[h11.NEED_DATA | h11.PAUSED]:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise Refusal(400, "the request is malformed HTTP/1.1") from error

    def _receive(self, deadline: float, most_bytes: int) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return self._socket.recv(most_bytes)

    def _receive_body(self, deadline: float) -> bytes:
        chunked = "transfer-encoding" in self.headers  # h11 parses trailers, see next_request
        try:
            return self._receive(deadline, _SMALL_READ_BYTES if chunked else _READ_BYTES)
        except TimeoutError:
            raise Refusal(408, f"the request's body took more than {self._patience.body:g} s") from None

    def _head(self, status: int, headers: Mapping[str, str]) -> h11.Response:
        self.close_connection = self.close_connection or self._http.their_state is h11.SEND_BODY  # some is unread
        more = {"Date": formatdate(usegmt=True), **({"Connection": "close"} if self.close_connection else {})}
        return h11.Response(
            status_code=status, reason=HTTPStatus(status).phrase.encode(), headers=[*{**headers, **more}.items()]
        )

    def _send(self, *events: h11.Event) -> None:
        self._socket.settimeout(self._patience.send)
        self._socket.sendall(b"".join(self._http.send(event) or b"" for event in events))

    def _hold(self, size: int) -> None:
        self._room.take(size)
        self._held_bytes += size

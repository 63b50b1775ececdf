"""Requests and replies of an HTTP connection: a request as received, and a reply as a list of steps, played in order.

``bytes``                written as they are (heads and chunk framing included: see ``head`` and ``chunk``)
``Gate``                 wait until the test opens the gate, or the client leaves
``Pause``                let time pass (only for replies that are meant to be slow)
``End.CLOSE``            close the connection, whatever was promised
``End.RESET``            reset the connection (RST)
a callable               called at this point, for keeping books
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import unquote, urlsplit

PATIENCE = 30.0
"""Seconds after which what a test waits for will not come any more, on a machine under any load."""
_REASONS = {200: "OK", 204: "No Content", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it came over the wire."""

    method: str
    target: str
    raw_headers: tuple[tuple[str, str], ...]
    """Names and values in their order and spelling."""
    headers: Mapping[str, str]
    """By lower-case name; of repeated ones the last."""
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query, percent-decoded."""
        return unquote(urlsplit(self.target).path)


class End(Enum):
    """How a reply ends the connection."""

    CLOSE = "close"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Pause:
    """Let this many seconds pass."""

    seconds: float


class Gate:
    """A point in a reply where the server waits for the test: ``wait_reached`` there, ``set`` to go on."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._open = False
        self._arrivals = 0
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def set(self) -> None:
        """Open the gate for everybody, now and later."""
        with self._lock:
            self._open = True
            for loop, event in self._waiters:
                loop.call_soon_threadsafe(event.set)

    @property
    def reached(self) -> bool:
        """Whether any reply has come to this gate."""
        return self._arrivals > 0

    def wait_reached(self, count: int = 1, timeout: float = PATIENCE) -> None:
        """Block until ``count`` replies have come here; ``TimeoutError`` after ``timeout`` seconds."""
        with self._lock:
            if not self._lock.wait_for(lambda: self._arrivals >= count, timeout):
                raise TimeoutError(f"{self._arrivals} of {count} replies reached the gate within {timeout} s")

    async def passed(self) -> None:
        """Wait in the server's loop until the gate is open."""
        waiter = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._arrivals += 1
            self._lock.notify_all()
            if self._open:
                return
            self._waiters.append(waiter)
        try:
            await waiter[1].wait()
        finally:
            with self._lock:
                self._waiters.remove(waiter)


Step = bytes | Gate | Pause | End | Callable[[], None]


@dataclass(frozen=True, slots=True)
class Reply:
    """The steps of one answer; ``on_left`` is called when the client goes away before the last of them."""

    steps: Iterable[Step]
    on_left: Callable[[], None] = field(default=lambda: None)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """The status line and headers, with the empty line behind them."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def whole(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """A complete answer with its length."""
    named = dict(headers or {})
    if status != 204:
        named["Content-Length"] = str(len(body))
    return head(status, named) + (b"" if status == 204 else body)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; the empty one is the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)

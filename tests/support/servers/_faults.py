"""Failures of a back end: faults for the next requests, in order, and a fault for all requests."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from ._http import HttpServer
from ._steps import End, Gate, Pause, Reply, Request, Step, whole


@dataclass(frozen=True, slots=True)
class Status:
    """Answer this, and store nothing."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """Take the request in, as if all were well, then reset the connection instead of answering."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection, and store nothing."""


@dataclass(frozen=True, slots=True)
class NeverAnswer:
    """Read the request and stay silent until the client leaves; ``store`` it all the same or not."""

    store: bool = False


@dataclass(frozen=True, slots=True)
class Drip:
    """Take the request in and send the answer byte by byte, one each ``interval`` seconds."""

    interval: float = 0.2


@dataclass(frozen=True, slots=True)
class Hold:
    """Take the request in at once, but answer only when ``gate`` is opened."""

    gate: Gate


Fault = Status | LoseAnswer | Reset | NeverAnswer | Drip | Hold


class BackEnd(HttpServer):
    """A server whose good answers come from ``take`` and whose bad ones from the faults that a test sets."""

    def __init__(self, *, keep_requests: bool = True) -> None:
        super().__init__(keep_requests=keep_requests)
        self.always: Fault | None = None
        """The fault of every request that has none of its own, until set to None again."""
        self.faulted = 0
        """How many requests got a fault instead of an answer."""
        self._next: deque[Fault | None] = deque()

    def fail_next(self, fault: Fault | None, times: int = 1) -> None:
        """Let the next ``times`` requests, behind those already set, fail so; None lets them succeed."""
        self._next.extend([fault] * times)

    async def take(self, request: Request) -> bytes:
        """Store what the request brings; the answer."""
        raise NotImplementedError

    async def respond(self, request: Request) -> Reply:
        """Answer, or fail as told."""
        fault = self._next.popleft() if self._next else self.always
        if fault is None:
            return Reply([await self.take(request)])
        self.faulted += 1
        if isinstance(fault, Status):
            return Reply([whole(fault.status, fault.body, fault.headers)])
        if isinstance(fault, Reset):
            return Reply([End.RESET])
        if isinstance(fault, NeverAnswer):
            if fault.store:
                await self.take(request)
            return Reply([Gate()])
        answer = await self.take(request)
        if isinstance(fault, LoseAnswer):
            return Reply([End.RESET])
        if isinstance(fault, Hold):
            return Reply([fault.gate, answer])
        steps: list[Step] = []
        for at in range(len(answer)):
            steps += [Pause(fault.interval), answer[at : at + 1]]
        return Reply(steps)


async def post(host: str, port: int, request: Request, path: str) -> bytes:
    """Send a request's body and headers on, on a connection of its own; the whole answer with its length known."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        passed = "".join(f"{n}: {v}\r\n" for n, v in request.raw_headers if n.lower() not in _OWN)
        own = f"Host: {host}:{port}\r\nConnection: close\r\nContent-Length: {len(request.body)}\r\n"
        writer.write(f"POST {path} HTTP/1.1\r\n{own}{passed}\r\n".encode("latin-1") + request.body)
        raw = await reader.read()
    finally:
        writer.close()
    first, _, body = raw.partition(b"\r\n\r\n")
    status = int(first.split(b" ", 2)[1])
    return whole(status, body)


_OWN = ("host", "connection", "content-length", "transfer-encoding")

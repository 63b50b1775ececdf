"""A small HTTP/1.1 server in its own thread, which plays the steps that its subclasses return."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Self

from ._steps import PATIENCE, End, Gate, Reply, Request, Step, whole

_HEAD_LIMIT = 2**20


class _ClientLeft(Exception):
    """The client closed its connection while a reply was under way."""


class _Connection(asyncio.StreamReaderProtocol):
    """Keeps its transport in ``transports`` for as long as it is open."""

    def __init__(
        self,
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        transports: set[asyncio.Transport],
    ) -> None:
        super().__init__(asyncio.StreamReader(limit=_HEAD_LIMIT), serve)
        self._transports = transports
        self._own: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._own = transport
        self._transports.add(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._own is not None:
            self._transports.discard(self._own)
        super().connection_lost(exc)


class HttpServer:
    """Serves on a free port of 127.0.0.1 from entering the context until leaving it; subclasses write ``respond``.

    Leaving raises ``AssertionError`` when ``respond`` itself ever failed (the client then got a 500).
    """

    def __init__(self, *, keep_requests: bool = False) -> None:
        self.keep_requests = keep_requests
        self.requests: list[Request] = []
        """Everything received, when ``keep_requests`` is on."""
        self.connections = 0
        """How many connections were ever accepted."""
        self._bugs: list[BaseException] = []
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transports: set[asyncio.Transport] = set()
        self._accepting: set[asyncio.Task[Any]] = set()
        self._listener: socket.socket | None = None
        # Bound but never listening: the port stays ours, and refuses, while there is no listener.
        self._reservation = _bound_socket(0)
        self.port: int = self._reservation.getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name=type(self).__name__, daemon=True)

    async def respond(self, request: Request) -> Reply:
        """What to answer."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """The address, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def wait_until(self, condition: Callable[[], bool], timeout: float = PATIENCE) -> None:
        """Block until ``condition`` holds; ``TimeoutError`` after ``timeout`` seconds."""
        wait_until(condition, timeout)

    def refuse(self) -> None:
        """Stop listening and cut every connection: connecting is refused from now on."""
        asyncio.run_coroutine_threadsafe(self._stop_listening(), self._loop).result(10)

    def listen(self) -> None:
        """Accept connections (again) on the same port."""
        asyncio.run_coroutine_threadsafe(self._start_listening(), self._loop).result(10)

    def __enter__(self) -> Self:
        _running.add(self)
        self._thread.start()
        self.listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the server's thread did not end"
        self._loop.close()
        self._reservation.close()
        _running.discard(self)
        if self._bugs and error is None:
            raise AssertionError("the test server itself failed") from self._bugs[0]

    async def _start_listening(self) -> None:
        self._listener = _bound_socket(self.port)
        self._listener.setblocking(False)
        self._listener.listen(1024)
        self._loop.add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the client has thought better of it
            return
        accepted.setblocking(False)
        connection = _Connection(self._serve, self._transports)
        task = self._loop.create_task(self._loop.connect_accepted_socket(lambda: connection, accepted))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            _shut_down(self._listener)
            self._listener.close()
            self._listener = None
        while asyncio.all_tasks() - {asyncio.current_task()}:
            for transport in tuple(self._transports):
                transport.abort()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # for the transports to close their sockets

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while (request := await _read_request(reader)) is not None:
                if not await self._answer(request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection stays open."""
        if self.keep_requests:
            self.requests.append(request)
        try:
            reply = await self.respond(request)
        except Exception as error:
            self._bugs.append(error)
            reply = Reply([whole(500, repr(error).encode())])
        try:
            stays = await _play(reply.steps, reader, writer)
        except (_ClientLeft, ConnectionError):
            reply.on_left()
            stays = False
        except asyncio.CancelledError:
            reply.on_left()
            raise
        return stays and request.headers.get("connection", "").lower() != "close"

    def _descriptors(self) -> list[int]:
        sockets = [transport.get_extra_info("socket") for transport in tuple(self._transports)]
        every = (one.fileno() for one in (self._reservation, self._listener, *sockets) if one is not None)
        return [fd for fd in every if fd >= 0]


async def _play(steps: Iterable[Step], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    for step in steps:
        if isinstance(step, bytes):
            writer.write(step)
            continue
        if callable(step):
            step()
            continue
        await writer.drain()
        if isinstance(step, End):
            if step is End.RESET:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            return False
        await _unless_left(step.passed() if isinstance(step, Gate) else asyncio.sleep(step.seconds), reader)
    await writer.drain()
    return True


async def _unless_left(wait: Coroutine[None, None, None], reader: asyncio.StreamReader) -> None:
    waiting = asyncio.ensure_future(wait)
    leaving = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise _ClientLeft
    finally:
        for task in (waiting, leaving):
            task.cancel()
        await asyncio.gather(waiting, leaving, return_exceptions=True)


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None
    first, *lines = raw[:-4].decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
    headers = {name.lower(): value for name, value in pairs}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method=method, target=target, raw_headers=pairs, headers=headers, body=body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)


def _bound_socket(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _shut_down(listener: socket.socket) -> None:
    """End listening also for a copy that a child forked a moment ago may still hold."""
    try:
        listener.shutdown(socket.SHUT_RDWR)
    except OSError:  # not every system can shut a listening socket down; closing it has to do there
        return


_running: weakref.WeakSet[HttpServer] = weakref.WeakSet()


def _let_go_in_child() -> None:
    """A forked child must not keep the parent's connections open: point its copies elsewhere."""
    void = os.open(os.devnull, os.O_RDWR)
    for server in _running:
        for fd in server._descriptors():
            os.dup2(void, fd, inheritable=False)
    os.close(void)
    _running.clear()


os.register_at_fork(after_in_child=_let_go_in_child)


def wait_until(condition: Callable[[], bool], timeout: float = PATIENCE) -> None:
    """Poll ``condition`` until it holds; ``TimeoutError`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition did not come true within {timeout} s")
        time.sleep(0.005)

"""The background thread of the process, with an asyncio loop. Name lookups work even while the interpreter exits."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from monitored_openai._exporter.runtime import gevent

if TYPE_CHECKING:
    from monitored_openai._exporter.runtime.fork_gate import ForkGate

_T = TypeVar("_T")

THREAD_NAME = "monitored-openai-exporter"


class ExporterLoop(asyncio.SelectorEventLoop):
    """A loop that resolves host names without asyncio's thread pool, which is gone when the interpreter exits.

    Daemon threads look names up, so that a hanging resolver stops neither metrics nor logs. If no thread can
    start, this thread looks them up. If gevent has patched the sockets, connections use the original ones.
    """

    def __init__(self, forks: ForkGate) -> None:
        """Let forks happen only while the loop waits for events."""
        # Found now and not at the import, because eventlet may have replaced it since.
        selector = gevent.original("selectors", "DefaultSelector")()
        selector.select = forks.between_steps()(selector.select)
        super().__init__(selector)
        self._forks = forks

    def run_forever(self) -> None:
        """Run until `stop`."""
        with self._forks.steps():
            super().run_forever()

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        """Connect to a host and port, without TLS, which a layer above adds."""
        if not gevent.is_patched():
            return await super().create_connection(protocol_factory, host, port, **options)
        (family, kind, protocol, _, address), *_ = await self.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        connection = gevent.original("socket", "socket")(family, kind, protocol)
        try:
            connection.setblocking(False)
            await self.sock_connect(connection, address)
            return await super().create_connection(protocol_factory, sock=connection)
        except BaseException:
            connection.close()
            raise

    async def getaddrinfo(self, host: Any, port: Any, **hints: int) -> Any:
        """Resolve a name as `socket.getaddrinfo` does, in a daemon thread."""
        answer: asyncio.Future[Any] = self.create_future()
        resolve = gevent.original("socket", "getaddrinfo")

        def look_up() -> None:
            try:
                found, error = resolve(host, port, **hints), None
            except (OSError, UnicodeError) as failure:
                found, error = [], failure
            with suppress(RuntimeError):  # the loop was closed meanwhile, at the end of the process
                self.call_soon_threadsafe(_settle, answer, found, error)

        try:
            self._forks.start_aside(look_up, "monitored-openai-resolver")
        except RuntimeError:
            look_up()
        return await answer


def _settle(answer: asyncio.Future[Any], found: Any, error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(found)
    else:
        answer.set_exception(error)


class ExporterThread:
    """A daemon thread that runs a loop until the process ends."""

    def __init__(self, at_end: Callable[[], object], forks: ForkGate) -> None:
        """`at_end` is called when the loop has ended, for any reason, and accepts no more work.

        `forks` lets forks happen only while the loop waits for events.
        """
        self._at_end = at_end
        self._loop = ExporterLoop(forks)
        self._identity: int | None = None
        self._is_ending = False
        self._submitting = gevent.reentrant_lock()
        self._thread = gevent.thread(self._run, THREAD_NAME)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """True if the thread runs."""
        return self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """True on this thread."""
        return gevent.current() == self._identity

    def call(self, callback: Callable[[], object]) -> None:
        """Call `callback` on the loop. May be used on any thread, also in a finalizer or a signal handler."""
        self._loop.call_soon_threadsafe(callback)

    def submit(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run a coroutine on the loop. Cancel the future to cancel it. After the loop's end it is cancelled."""
        with self._submitting:
            if not self._is_ending:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        never: Future[_T] = Future()
        never.cancel()
        never.set_running_or_notify_cancel()
        return never

    def stop(self, timeout: float) -> None:
        """End the loop, and wait at most `timeout` seconds for the thread."""
        self.call(self._loop.stop)
        self._thread.join(timeout)

    def _end_tasks(self) -> None:
        """Cancel all tasks, also those submitted after the loop stopped."""
        while True:
            self._loop.run_until_complete(asyncio.sleep(0))
            tasks = asyncio.all_tasks(self._loop)
            if not tasks:
                return
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    def _run(self) -> None:
        self._identity = gevent.current()
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            # The lines below end all work submitted before this, and `submit` refuses later work.
            with self._submitting:
                self._is_ending = True
            try:
                self._end_tasks()
            finally:
                self._loop.close()
                self._at_end()

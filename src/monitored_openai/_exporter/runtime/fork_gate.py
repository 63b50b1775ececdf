"""Makes a fork wait until the exporter's thread is between two steps of its loop.

A forked child has only the thread that forked. A lock that another thread held at that moment stays held in the child
forever: the lock of a module's import, or a mutex inside SQLite, OpenSSL or the C library. Code that needs such a lock
hangs in the child, and that code may be the program's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from monitored_openai._exporter.runtime import gevent

_MOST_SECONDS = 5.0
"""Longest wait of a fork for a step. Most steps take milliseconds; imports and a slow disk can take seconds."""
_MOST_SECONDS_ASIDE = 0.2
"""Longest wait of a fork for work on other threads. A name lookup holds locks only at its start and at its end."""
_MOST_SECONDS_BEHIND = 0.5
"""Longest wait of the exporter's thread for a fork that waits and could go on."""


class ForkGate:
    """The steps of one exporter thread, and the forks of its process."""

    def __init__(self) -> None:
        """Create a gate for a process without an exporter thread."""
        self._step = gevent.reentrant_lock()
        self._queue = gevent.reentrant_lock()
        """Held by a fork that waits, so that the exporter's thread begins no further step before it."""
        self.is_awaited = False
        """True while a fork waits for the end of the current step."""
        self._aside: set[gevent.Lock] = set()

    # On the exporter's thread

    def begin_step(self) -> None:
        """Begin a step, after the forks that wait."""
        if self.is_awaited:
            if self._queue.acquire(timeout=_MOST_SECONDS_BEHIND):
                self._queue.release()
            else:  # a signal handler interrupts the fork, and may wait for this thread
                self.is_awaited = False
        self._step.acquire()

    def end_step(self) -> None:
        """End a step, so that forks may happen."""
        self._step.release()

    def start_aside(self, work: Callable[[], object], name: str) -> None:
        """Run `work` on another thread; a fork waits for it, but at most 0.2 s.

        Raises:
            RuntimeError: no thread can start.
        """
        running = gevent.lock()
        running.acquire()
        self._aside.add(running)

        def end() -> None:
            self._aside.discard(running)
            running.release()

        def run() -> None:
            try:
                work()
            finally:
                end()

        try:
            gevent.thread(run, name).start()
        except BaseException:
            end()
            raise

    # On any thread

    @contextmanager
    def user_code(self) -> Iterator[None]:
        """Let forks happen while the exporter's thread runs a function of the user, which may take long."""
        try:
            self.end_step()
        except RuntimeError:  # another thread, on which no step runs
            yield
            return
        try:
            yield
        finally:
            self.begin_step()

    def close(self) -> None:
        """Wait for the current step, at most 5 s, and let no other step begin before `open`."""
        if not self._step.acquire(blocking=False):  # succeeds on the exporter's own thread
            with self._queue:
                self.is_awaited = True
                try:
                    self._step.acquire(timeout=_MOST_SECONDS)
                finally:
                    self.is_awaited = False
        deadline = time.monotonic() + _MOST_SECONDS_ASIDE
        for running in self._aside.copy():
            if running.acquire(timeout=max(0.0, deadline - time.monotonic())):
                running.release()

    def open(self) -> None:
        """Let the exporter's thread begin its next step."""
        with suppress(RuntimeError):  # `close` has waited too long
            self._step.release()

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
        self._forking: int | None = None
        """The thread that has closed the gate."""
        self._aside: set[gevent.Lock] = set()

    # On the exporter's thread

    @contextmanager
    def steps(self) -> Iterator[None]:
        """Run the block in steps."""
        self._begin_step()
        try:
            yield
        finally:
            self._step.release()

    @contextmanager
    def between_steps(self) -> Iterator[None]:
        """End the current step, if any, so that forks may happen in the block; then begin the next step."""
        try:
            self._step.release()
        except RuntimeError:  # no step runs on this thread
            yield
            return
        try:
            yield
        finally:
            self._begin_step()

    def _begin_step(self) -> None:
        if self.is_awaited:
            if self._queue.acquire(timeout=_MOST_SECONDS_BEHIND):
                self._queue.release()
            else:  # a signal handler interrupts the fork, and may wait for this thread
                self.is_awaited = False
        if not self._step.acquire(timeout=_MOST_SECONDS):  # a signal handler has ended the fork before `open`
            self._step = gevent.reentrant_lock()
            self._step.acquire()

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

    # On the thread that forks

    def close(self) -> None:
        """Wait for the current step, at most 5 s; unless that takes longer, no other step begins before `open`."""
        if not self._step.acquire(blocking=False):  # succeeds on the exporter's own thread
            self._await_step(time.monotonic() + _MOST_SECONDS)
        self._forking = gevent.current()
        deadline = time.monotonic() + _MOST_SECONDS_ASIDE
        for running in self._aside.copy():
            if running.acquire(timeout=max(0.0, deadline - time.monotonic())):
                running.release()

    def _await_step(self, deadline: float) -> None:
        if not self._queue.acquire(timeout=_MOST_SECONDS):
            return
        try:
            self.is_awaited = True
            self._step.acquire(timeout=max(0.0, deadline - time.monotonic()))
        finally:
            self.is_awaited = False
            self._queue.release()

    def open(self) -> None:
        """Let the exporter's thread begin its next step."""
        self._forking = None
        with suppress(RuntimeError):  # `close` has waited too long, or `give_way` has opened the gate
            self._step.release()

    def give_way(self) -> None:
        """Open the gate if this thread has closed it: a signal handler is about to wait for the exporter."""
        if self._forking == gevent.current():
            self.open()

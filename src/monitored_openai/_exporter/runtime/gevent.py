"""The system's own threads, locks, sockets and look-ups, also where gevent has put its own in their place.

gevent makes threads greenlets. A loop that ran in one would run in the very thread of the program, whose own
`asyncio.run` would then find a loop running; and locks of gevent are not meant for two threads of the system. What is
under a lock here waits for nothing, so the system's own hold no greenlet up.
"""

from __future__ import annotations

import _thread
import selectors
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

_MODULES: dict[str, Any] = {"_thread": _thread, "selectors": selectors, "socket": socket}


class Lock(AbstractContextManager[bool, None], Protocol):
    """A lock, whether it may be taken twice or not."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it; false when that took too long."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


class Thread(Protocol):
    """What the exporter's thread is asked for."""

    def start(self) -> None:
        """Begin.

        Raises:
            RuntimeError: the system has no thread to give.
        """
        ...

    def is_alive(self) -> bool:
        """Whether it has begun and not ended."""
        ...

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        ...


def original(module: str, name: str) -> Any:
    """What is found under a name of `_thread`, `selectors` or `socket` where gevent has changed nothing."""
    monkey = sys.modules.get("gevent.monkey")
    return getattr(_MODULES[module], name) if monkey is None else monkey.get_original(module, name)


def is_patched() -> bool:
    """Whether threads are greenlets by now."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def lock() -> Lock:
    """A lock that its holder must not take again."""
    made: Lock = original("_thread", "allocate_lock")()
    return made


def reentrant_lock() -> Lock:
    """A lock that its holder may take again."""
    made: Lock = original("_thread", "RLock")()
    return made


def current() -> int:
    """What tells the running thread of the system from all others."""
    identity: int = original("_thread", "get_ident")()
    return identity


def thread(run: Callable[[], object], name: str) -> Thread:
    """A daemon thread, not started yet."""
    return _Unpatched(run) if is_patched() else threading.Thread(target=run, name=name, daemon=True)


class _Unpatched:
    """A thread that is not known to `threading`, which would make it a greenlet."""

    def __init__(self, run: Callable[[], object]) -> None:
        self._run = run
        self._running = lock()

    def start(self) -> None:
        self._running.acquire()
        try:
            original("_thread", "start_new_thread")(self._runs, ())
        except BaseException:
            self._running.release()
            raise

    def is_alive(self) -> bool:
        if self._running.acquire(blocking=False):
            self._running.release()
            return False
        return True

    def join(self, timeout: float | None = None) -> None:
        if self._running.acquire(timeout=-1 if timeout is None else timeout):
            self._running.release()

    def _runs(self) -> None:
        try:
            self._run()
        finally:
            self._running.release()

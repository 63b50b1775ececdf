"""Native threads, locks, sockets and name lookups, even if gevent has patched the standard modules.

gevent turns threads into greenlets. A loop in a greenlet would run on the program's own thread, and `asyncio.run` there
would find a running loop. gevent's locks are not safe between native threads. On the path of a call, the native locks
delay no greenlet, because no code waits for anything else while it holds one of them. Only a fork and `join` may wait
longer.
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
    """A lock, reentrant or not."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; false if that takes longer than `timeout` seconds."""
        ...

    def release(self) -> None:
        """Release the lock."""
        ...


class Thread(Protocol):
    """The methods of a thread that the exporter uses."""

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: the system cannot start a thread.
        """
        ...

    def is_alive(self) -> bool:
        """True if the thread has started and not ended."""
        ...

    def join(self, timeout: float | None = None) -> None:
        """Wait at most `timeout` seconds for the thread's end."""
        ...


def original(module: str, name: str) -> Any:
    """Return the member `name` of `_thread`, `selectors` or `socket`, without gevent's patch."""
    monkey = sys.modules.get("gevent.monkey")
    return getattr(_MODULES[module], name) if monkey is None else monkey.get_original(module, name)


def is_patched() -> bool:
    """True if gevent has turned threads into greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def lock() -> Lock:
    """Return a lock that its holder must not take again."""
    made: Lock = original("_thread", "allocate_lock")()
    return made


def reentrant_lock() -> Lock:
    """Return a lock that its holder may take again."""
    made: Lock = original("_thread", "RLock")()
    return made


def current() -> int:
    """Return the identity of the current native thread."""
    identity: int = original("_thread", "get_ident")()
    return identity


def thread(run: Callable[[], object], name: str) -> Thread:
    """Return a daemon thread that is not started yet."""
    return _Unpatched(run) if is_patched() else threading.Thread(target=run, name=name, daemon=True)


class _Unpatched:
    """A native thread unknown to `threading`, which would make it a greenlet."""

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

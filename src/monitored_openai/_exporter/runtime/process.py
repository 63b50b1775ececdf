"""What belongs to the process as a whole: the exporter's thread, the shared handles, fork and exit.

Exit: `atexit` runs in a plain process and in one that multiprocessing spawned. Before Python 3.13 it does not run in a
process that multiprocessing forked; there `multiprocessing.util.Finalize` does. Neither runs in a process that a signal
ends or that calls `os._exit`.

Fork: a module that another thread is importing at that moment stays half imported in the child for ever, and whoever
needs it there hangs or fails. So a fork waits until the exporter's thread has imported what it needs.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
import weakref
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any

from monitored_openai._calls.pending_usage import PendingUsage
from monitored_openai._exporter.runtime import gevent
from monitored_openai._exporter.runtime.thread import ExporterThread
from monitored_openai._logging import DECIDED, logger

if TYPE_CHECKING:
    from monitored_openai._exporter.handle import Monitoring

_MOST_SECONDS_WITHOUT_PROGRESS = 1.7
_LOOK_SECONDS = 0.05
_STOP_SECONDS = 0.2
_MOST_SECONDS_OF_IMPORTS = 5.0


class _Process:
    """This process's one thread and its handles."""

    def __init__(self) -> None:
        self.handles: weakref.WeakSet[Monitoring] = weakref.WeakSet()
        self.inherited: list[object] = []
        self.owed = PendingUsage()
        self._thread: ExporterThread | None = None
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = gevent.reentrant_lock()
        self._starting = False
        self.sharing = gevent.reentrant_lock()
        self.importing = gevent.lock()
        self._held_by_fork = False

    def thread(self) -> ExporterThread:
        """The exporter's thread, started if it does not run.

        Raises:
            RuntimeError: no thread can be started, as at the interpreter's end, or one is being started further up
                this very stack, which a finalizer has interrupted.
        """
        with self._lock:
            if self._thread is not None and self._thread.is_alive:
                return self._thread
            if self._starting:
                raise RuntimeError("the exporter's thread is being started")
            self._starting = True
            try:
                self._thread = ExporterThread(self._thread_ended)
            finally:
                self._starting = False
            _end_with_multiprocessing(self.at_exit)
            return self._thread

    def _living(self) -> list[Monitoring]:
        while True:
            try:
                return list(self.handles)
            except RuntimeError:  # another thread has made one meanwhile
                continue

    def lets_pass(self, record: logging.LogRecord) -> bool:
        """Whether a line may be logged: warnings may unless the settings of all handles turn them off."""
        if record.levelno != logging.WARNING or getattr(record, DECIDED, False):
            return True
        used = [handle.settings for handle in self._living() if handle.settings.enabled]
        return not used or any(settings.log_warnings for settings in used)

    def _thread_ended(self) -> None:
        for handle in self._living():
            handle.thread_ended()

    def before_fork(self) -> None:
        """Wait for the imports under way."""
        self._held_by_fork = self.importing.acquire(timeout=_MOST_SECONDS_OF_IMPORTS)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._held_by_fork:
            self.importing.release()

    def after_fork(self) -> None:
        """In a forked child: nothing of the parent's thread, locks and books may be used again."""
        if self._thread is not None:
            self.inherited.append(self._thread)  # its loop must be neither closed nor collected
        self._thread = None
        self.owed.clear()
        self._reset()
        for handle in self._living():
            handle.after_fork()

    def begin_exit(self) -> None:
        """The process is about to end: deliver, but nobody waits for it."""
        for handle in self._living():
            handle.begin_flush()

    def at_exit(self) -> None:
        """Deliver what can be delivered in time, and count the rest."""
        if os.getpid() != self._pid:
            self.after_fork()  # uWSGI forks without running Python's hooks, and no call has found out
        for handle in self._living():
            handle.end_active()
        flushes = {handle: flush for handle in self._living() if (flush := handle.begin_flush()) is not None}
        if flushes:
            _wait(flushes)
        for handle, flush in flushes.items():
            flush.cancel()
            handle.end("shutdown")
        if self._thread is not None and self._thread.is_alive:
            self._thread.stop(_STOP_SECONDS)


def _wait(flushes: dict[Monitoring, Future[Any]]) -> None:
    """Until all is done, or for too long nothing has been."""
    start = progressed = time.monotonic()
    most = max(handle.settings.exit_timeout for handle in flushes)
    before: list[int] = []
    while True:
        _, waiting = wait(flushes.values(), timeout=_LOOK_SECONDS)
        now = time.monotonic()
        progress = [handle.progress() for handle in flushes]
        if progress != before or any(
            handle.is_starting for handle in flushes
        ):  # on a busy machine imports take seconds
            before, progressed = progress, now
        if not waiting:
            return
        if now - start >= most or now - progressed >= _MOST_SECONDS_WITHOUT_PROGRESS:
            return


def _end_with_multiprocessing(at_exit: Any) -> None:
    util, process = sys.modules.get("multiprocessing.util"), sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        util.Finalize(None, at_exit, exitpriority=100)


PROCESS = _Process()
logger.addFilter(PROCESS.lets_pass)
atexit.register(PROCESS.at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=PROCESS.before_fork, after_in_parent=PROCESS.after_fork_in_parent, after_in_child=PROCESS.after_fork
    )

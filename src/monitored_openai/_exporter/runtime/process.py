"""The state of the whole process: the exporter's thread, the handles' runners, fork and exit.

Exit: `atexit` runs in a plain process and in one that multiprocessing spawned. Before Python 3.13 it does not run in a
process that multiprocessing forked; there `multiprocessing.util.Finalize` does. Neither runs in a process that a signal
ends or that calls `os._exit`.

Fork: `ForkGate` makes it wait for the exporter's thread, so that the child inherits no lock that the thread holds.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
import weakref
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, Protocol

from monitored_openai._calls.pending_usage import PendingUsage
from monitored_openai._exporter.runtime import gevent
from monitored_openai._exporter.runtime.fork_gate import ForkGate
from monitored_openai._exporter.runtime.thread import ExporterThread
from monitored_openai._logging import DECIDED, logger

if TYPE_CHECKING:
    from monitored_openai._settings.model import MonitoringSettings
    from monitored_openai._stats import DropReason

_MOST_SECONDS_WITHOUT_PROGRESS = 1.7
"""With one handle, without `spool_dir` and `host_dir`, this and the stops of runner and thread take less than 2.5 s."""
_LOOK_SECONDS = 0.05
_STOP_SECONDS = 0.2


class ProcessMember(Protocol):
    """The methods of a runner that the process calls."""

    settings: MonitoringSettings

    @property
    def is_starting(self) -> bool:
        """True until the exporter's thread has imported its modules and created the exporter."""
        ...

    def progress(self) -> int:
        """Return a number that grows while the flush makes progress."""
        ...

    def begin_flush(self) -> Future[bool] | None:
        """Start a flush; `None` if no data can wait."""
        ...

    def end_active(self) -> None:
        """End the calls in progress."""
        ...

    def end(self, reason: DropReason) -> None:
        """Stop permanently."""
        ...

    def on_thread_exit(self) -> None:
        """Handle the end of the exporter's thread."""
        ...

    def after_fork_in_child(self) -> None:
        """Start from zero in a forked child."""
        ...


class _Process:
    """The exporter thread of this process, and the members that it serves."""

    def __init__(self) -> None:
        self.members: weakref.WeakSet[ProcessMember] = weakref.WeakSet()
        self.inherited: list[object] = []
        """Objects of a parent or of an ended loop, kept alive because their collection would have effects."""
        self.pending_usage = PendingUsage()
        self._thread: ExporterThread | None = None
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = gevent.reentrant_lock()
        self._starting = False
        self.sharing = gevent.reentrant_lock()
        """Held while a handle or a client's token is looked up or created, so that each exists once."""
        self.forks = ForkGate()

    def thread(self) -> ExporterThread:
        """Return the exporter's thread, and start it if it does not run.

        Raises:
            RuntimeError: no thread can start, as at the interpreter's end, or a finalizer calls this method while the
                method already runs on the same thread.
        """
        with self._lock:
            if self._thread is not None and self._thread.is_alive:
                return self._thread
            if self._starting:
                raise RuntimeError("the exporter's thread is being started")
            self._starting = True
            try:
                self._thread = ExporterThread(self._on_thread_exit, self.forks)
            finally:
                self._starting = False
            _end_with_multiprocessing(self.at_exit)
            return self._thread

    def _living(self) -> list[ProcessMember]:
        while True:
            try:
                return list(self.members)
            except RuntimeError:  # another thread has added one meanwhile
                continue

    def lets_pass(self, record: logging.LogRecord) -> bool:
        """Filter log records: false for a warning if the settings of all handles turn warnings off."""
        if record.levelno != logging.WARNING or getattr(record, DECIDED, False):
            return True
        used = [member.settings for member in self._living() if member.settings.enabled]
        return not used or any(settings.log_warnings for settings in used)

    def _on_thread_exit(self) -> None:
        for member in self._living():
            member.on_thread_exit()

    def before_fork(self) -> None:
        """Wait until a fork leaves no lock of the exporter's thread held in the child (see `ForkGate.close`)."""
        if os.getpid() != self._pid:
            self.after_fork_in_child()  # uWSGI forks without running Python's hooks, and no call has noticed yet
        self.forks.close()

    def after_fork_in_parent(self) -> None:
        """Let the exporter's thread continue."""
        self.forks.open()

    def after_fork_in_child(self) -> None:
        """Replace the thread, the locks and the counts of the parent in a forked child."""
        if self._thread is not None:
            self.inherited.append(self._thread)  # kept, because closing or collecting its loop would affect the parent
        self._thread = None
        self.pending_usage.clear()
        self._reset()
        for member in self._living():
            member.after_fork_in_child()

    def begin_exit(self) -> None:
        """Start the flushes before the end of the process, and return immediately."""
        for member in self._living():
            member.begin_flush()

    def at_exit(self) -> None:
        """Deliver as much as possible in the time that is left, and count the rest as dropped."""
        if os.getpid() != self._pid:
            self.after_fork_in_child()  # uWSGI forks without running Python's hooks, and no call has noticed yet
        for member in self._living():
            member.end_active()
        flushes = {member: flush for member in self._living() if (flush := member.begin_flush()) is not None}
        if flushes:
            _wait(flushes)
        for member, flush in flushes.items():
            flush.cancel()
            member.end("shutdown")
        if self._thread is not None and self._thread.is_alive:
            self._thread.stop(_STOP_SECONDS)


def _wait(flushes: dict[ProcessMember, Future[Any]]) -> None:
    """Wait until all flushes are done, their time is over, or they make no progress."""
    start = progressed = time.monotonic()
    most = max(member.settings.exit_timeout for member in flushes)
    before: list[int] = []
    while True:
        _, waiting = wait(flushes.values(), timeout=_LOOK_SECONDS)
        now = time.monotonic()
        progress = [member.progress() for member in flushes]
        # On a busy machine imports take seconds.
        if progress != before or any(member.is_starting for member in flushes):
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
        before=PROCESS.before_fork,
        after_in_parent=PROCESS.after_fork_in_parent,
        after_in_child=PROCESS.after_fork_in_child,
    )

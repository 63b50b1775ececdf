"""Runs the exporter of one handle on the process's exporter thread: start, flush, stop, fork and exit."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, wait
from typing import TYPE_CHECKING, Any, TypeVar

from monitored_openai._calls.tracker import CallTracker
from monitored_openai._exporter.call_queue import CallQueue
from monitored_openai._exporter.clients import Clients
from monitored_openai._exporter.ledger import DeliveryLedger
from monitored_openai._exporter.losses import Failures, losses
from monitored_openai._exporter.metrics_state import MetricsState
from monitored_openai._exporter.runtime.process import PROCESS
from monitored_openai._hashing import value_hasher
from monitored_openai._logging import warn_sparsely
from monitored_openai._metrics.metric_set import CALL_SCHEMES, metric_set

if TYPE_CHECKING:
    from monitored_openai._calls.call import Call
    from monitored_openai._exporter.exporter import Exporter
    from monitored_openai._exporter.runtime.thread import ExporterThread
    from monitored_openai._exporter.state import ExporterState
    from monitored_openai._settings.model import MonitoringSettings
    from monitored_openai._stats import DropReason

_T = TypeVar("_T")
_numbers = itertools.count()
_FLUSH_ON_CALL_SECONDS = 2.0
_STOP_SECONDS, _SPOOL_SECONDS, _START_SECONDS = 0.5, 2.0, 5.0


class Runner:
    """Owns the queue, the ledger and the exporter of one handle. Implements `ProcessMember`."""

    def __init__(self, settings: MonitoringSettings, on_end: Callable[[], None]) -> None:
        """Start no thread: the first call does, at its end, or at its start with `spool_dir` or `host_dir`.

        `on_end` is called when the runner ends.
        """
        self.settings = settings
        self._on_end = on_end
        self._number = next(_numbers)
        self.ledger = DeliveryLedger(
            max_entries=settings.queue_size, max_bytes=settings.queue_bytes, logs=settings.logs_url is not None
        )
        self.calls = CallQueue(self.ledger, wake=self._wake, forked=PROCESS.after_fork_in_child)
        self.metrics = MetricsState(
            self.ledger,
            label_names=settings.label_names,
            optional_labels=settings.optional_labels,
            max_label_sets=settings.max_label_sets,
            push_seconds=settings.push_seconds,
            exposed=metric_set(settings.histograms, left_out=settings.metrics_left_out, schemes=settings.metric_names),
            pushes_calls=not CALL_SCHEMES.isdisjoint(settings.metric_names),
        )
        self.clients = Clients(self._on_client)
        self._thread: ExporterThread | None = None
        self._exporter: Exporter | None = None
        self._state: ExporterState | None = None
        self._start_task: asyncio.Task[None] | None = None
        """Referenced here, because the loop keeps only a weak reference."""
        self._ended = False
        self._born_ms = time.time_ns() // 1_000_000
        self.tracker = self._new_tracker() if settings.enabled else None
        PROCESS.members.add(self)

    @property
    def _uses_disk(self) -> bool:
        return self.settings.spool_dir is not None or self.settings.host_dir is not None

    def _new_tracker(self) -> CallTracker:
        settings = self.settings
        return CallTracker(
            emit=self._put_and_flush if settings.flush_on_call else self.calls.put,
            on_start=self._on_start_with_disk if self._uses_disk else self.calls.on_start,
            on_untracked=self.calls.on_untracked,
            inject_usage=settings.inject_stream_usage,
            keeps_content=settings.capture_content
            and (settings.logs_url is not None or settings.on_record is not None),
            provider=settings.provider,
            hasher=value_hasher(settings.hash_attributes, settings.hash_key),
        )

    # On any thread

    def begin_flush(self) -> Future[bool] | None:
        """Start a flush; `None` if no data can wait, because no call has ended yet or the runner has ended.

        The result is false if the metrics back end has not accepted the latest totals.
        """
        return self._begin(self._flush)

    def _begin(self, work: Callable[[], Coroutine[Any, Any, bool]]) -> Future[bool] | None:
        if self._thread is None or self._ended:
            return None
        if not self._thread.is_alive:
            self._wake()
            if not self._thread.is_alive:
                return _unfinished()
        if self._thread.is_current:  # called from `on_record`, which the work would have to wait for
            return _unfinished()
        PROCESS.forks.give_way()
        return self._thread.submit(work())

    def begin_purge(self) -> Future[bool] | None:
        """Start to drop everything in the spool; `None` if no call has started an exporter, or if the runner has ended.

        The result is false if the spool could not be purged.
        """
        return self._begin(self._purge)

    def end_active(self) -> None:
        """End the calls in progress, because the process exits."""
        for call in self.ledger.active.copy():
            call.on_process_exit()

    def end(self, reason: DropReason) -> None:
        """Stop permanently, and count calls and entries neither delivered nor spooled as dropped for `reason`."""
        missing_on_disk = 0
        if self._uses_disk:
            missing_on_disk = (
                self._result_of(self._spool_all(), _START_SECONDS if self.is_starting else _SPOOL_SECONDS) or 0
            )
        is_first_end, self._ended = not self._ended, True
        self.calls.close(reason, missing_on_disk)
        if is_first_end and reason != "fault":
            self._warn_of_losses(reason)
        self._on_end()
        if self._exporter is not None:
            self._result_of(self._exporter.stop(), _SPOOL_SECONDS if self._uses_disk else _STOP_SECONDS)

    def _warn_of_losses(self, reason: DropReason) -> None:
        failures = self._exporter.failures if self._exporter is not None else Failures()
        lost = losses(self.ledger.stats(), failures, reason)
        if lost and self.settings.log_warnings:
            is_exit = reason == "shutdown"
            event, kind = ("process ended", f"exit {self._number}") if is_exit else ("handle was closed", reason)
            warn_sparsely(kind, "lost when the %s: %s", event, lost)

    def _result_of(self, work: Coroutine[Any, Any, _T], seconds: float) -> _T | None:
        """Run `work` on the exporter's thread; `None` if it raises or does not finish within `seconds`."""
        thread = self._thread
        if thread is None or not thread.is_alive or thread.is_current:
            work.close()
            return None
        ending = thread.submit(work)
        wait([ending], timeout=seconds)
        return ending.result() if ending.done() and not ending.cancelled() and ending.exception() is None else None

    @property
    def is_starting(self) -> bool:
        """True until the exporter's thread has imported its modules and created the exporter."""
        return self._exporter is None and not self._ended

    def progress(self) -> int:
        """Return a number that grows with each counted call, delivered or dropped entry, push and delivered sample."""
        stats = self.ledger.stats()
        return stats.folded + stats.delivered + sum(stats.dropped.values()) + stats.pushes + stats.samples.delivered

    def on_thread_exit(self) -> None:
        """Let the next call start another thread, because this one may have missed the last wake."""
        self.calls.mark_idle()

    def after_fork_in_child(self) -> None:
        """Start from zero in a forked child, under another `instance`; the parent delivers the earlier calls."""
        self.ledger.reset()
        self.calls.reset()
        if self._ended:
            self.calls.close("closed")
        self.metrics.reset()
        if self._state is not None:
            self._state.on_fork()
        # Kept alive, because asyncio warns when a pending task is collected.
        PROCESS.inherited.append((self._exporter, self._state, self._start_task))
        self._thread = self._exporter = self._state = self._start_task = None
        self._born_ms = time.time_ns() // 1_000_000

    # On the callers' threads

    def _on_client(self) -> None:
        """Resume an exporter that rests without clients, before the first call of the new client ends."""
        thread = self._thread
        if thread is not None and thread.is_alive and not self._ended:
            self._wake()

    def _on_start_with_disk(self, call: Call) -> None:
        """Import the exporter's modules while the first call waits for its reply, to spool that call when it ends."""
        self.calls.on_start(call)
        if self._thread is None:
            self.calls.wake_if_idle()

    def _put_and_flush(self, call: Call) -> None:
        """Queue the call and flush. Without an event loop, wait up to 2 s: the process may be frozen afterwards."""
        self.calls.put(call)
        if asyncio._get_running_loop() is not None:  # noqa: SLF001 - the documented one raises without a loop
            self._begin(self._flush_after_call)
        elif (flush := self.begin_flush()) is not None:
            wait([flush], _FLUSH_ON_CALL_SECONDS)
            end_flush(flush)

    def _wake(self) -> None:
        try:
            thread = PROCESS.thread()
            if thread is self._thread:
                thread.call(self._wake_exporter)
            else:
                self._thread = thread
                thread.call(self._schedule_start)
        except Exception:  # the interpreter ends, or no file descriptor is left for the loop
            self.calls.mark_idle()
            warn_sparsely("thread", "the exporter's thread cannot be started now", exc_info=True)

    # On the exporter's thread

    @property
    def instance(self) -> str:
        """Value of the metrics label `instance`: unique for each handle and process start."""
        return f"{self.settings.instance}:{os.getpid()}:{self._born_ms:x}:{self._number}"

    def _schedule_start(self) -> None:
        self._start_task = asyncio.get_running_loop().create_task(self._start())

    async def _start(self) -> None:
        try:
            self._exporter = self._new_exporter()
            if not self._ended:  # otherwise no later `end` would stop it
                self._exporter.start()
        except Exception:
            warn_sparsely("start", "the exporter could not start; calls are not recorded", exc_info=True)
            self.end("fault")

    def _new_exporter(self) -> Exporter:
        from monitored_openai._exporter.build import build_state  # slow imports, which no caller waits for here
        from monitored_openai._exporter.delivery.http import import_backend
        from monitored_openai._exporter.exporter import Exporter

        import_backend()
        if self._exporter is not None:  # its connections belong to a loop that is gone, and cannot be closed
            PROCESS.inherited.append(self._exporter)
        if self._state is None:
            self._state = build_state(self.settings, self.ledger, self.metrics, self.instance)
        return Exporter(
            self.settings,
            self.calls,
            self.ledger,
            self.metrics,
            self._state,
            clients=self.clients,
            pending_usage=PROCESS.pending_usage,
            forks=PROCESS.forks,
        )

    def _wake_exporter(self) -> None:
        if self._exporter is not None:
            self._exporter.wake()

    async def _spool_all(self) -> int:
        return 0 if self._exporter is None else await self._exporter.spool_all()

    async def _flush_after_call(self) -> bool:
        if self._exporter is None:
            return False
        self._exporter.flush_after_call()
        return True

    async def _flush(self) -> bool:
        return self._exporter is not None and await self._exporter.flush()

    async def _purge(self) -> bool:
        if self._exporter is None:
            return False
        await self._exporter.purge()
        return True


def end_flush(flush: Future[bool]) -> bool:
    """Cancel a flush; true if it has already delivered everything."""
    flush.cancel()
    try:
        return flush.result(0)
    except (TimeoutError, CancelledError):
        return False
    except Exception:
        warn_sparsely("flush", "a flush failed", exc_info=True)
        return False


def _unfinished() -> Future[bool]:
    future: Future[bool] = Future()
    future.set_result(False)
    return future

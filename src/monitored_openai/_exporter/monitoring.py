"""The public handle on the telemetry of one set of settings in this process."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from monitored_openai._exporter.clients import Clients
from monitored_openai._exporter.intake import Intake
from monitored_openai._exporter.losses import Failures, losses
from monitored_openai._exporter.process import PROCESS
from monitored_openai._exporter.termination import handle_sigterm
from monitored_openai._exporter.totals import OWN_METRICS, Totals
from monitored_openai._log import logger, warn_sparsely
from monitored_openai._observer import Observer
from monitored_openai._settings import MonitoringSettings
from monitored_openai._stats import DropReason, FlushResult, Stats

if TYPE_CHECKING:
    from monitored_openai._call import Call
    from monitored_openai._collector import MonitoringCollector
    from monitored_openai._exporter.exporter import Exporter
    from monitored_openai._exporter.thread import ExporterThread

_T = TypeVar("_T")
_numbers = itertools.count()
_shared: dict[MonitoringSettings, Monitoring] = {}
_MANY_HANDLES = 32
"""Handles of a process up to which nothing is logged; more mean that settings are made anew for each use."""
_FLUSH_ON_CALL_SECONDS = 2.0
_STOP_SECONDS, _SEAL_SECONDS, _START_SECONDS = 0.5, 2.0, 5.0


class Monitoring:
    """What becomes of the calls of all clients with the same settings: their totals, their log, their delivery."""

    def __init__(self, settings: MonitoringSettings) -> None:
        """Nothing starts before the first call has ended, or with a spool has begun."""
        self._settings = settings
        self._number = next(_numbers)
        self._intake = Intake(
            most_entries=settings.queue_size,
            most_bytes=settings.queue_bytes,
            logs=settings.logs_url is not None,
            wake=self._wake,
            forked=PROCESS.after_fork,
        )
        self._totals = Totals(
            self._intake,
            label_names=settings.label_names,
            max_label_sets=settings.max_label_sets,
            push_seconds=settings.push_seconds,
        )
        self._clients = Clients(self._client_returned)
        self._thread: ExporterThread | None = None
        self._exporter: Exporter | None = None
        self._ended = False
        self._born_ms = time.time_ns() // 1_000_000
        self.observer = (
            Observer(
                emit=self._ended_and_flushed if settings.flush_on_call else self._intake.ended,
                opened=self._intake.opened if settings.spool_dir is None else self._opened_and_begun,
                lost=self._intake.lost,
                inject_usage=settings.inject_stream_usage,
                keeps_content=settings.capture_content
                and (settings.logs_url is not None or settings.on_record is not None),
                provider=settings.provider,
            )
            if settings.enabled
            else None
        )
        PROCESS.handles.add(self)
        if settings.enabled and settings.handle_sigterm:
            handle_sigterm(PROCESS.at_exit, PROCESS.begin_exit)
        if settings.enabled and settings.metrics_url is None and settings.logs_url is None:
            logger.info("neither metrics_url nor logs_url is set: calls are counted in memory only")

    @property
    def settings(self) -> MonitoringSettings:
        """The settings that all of this follows."""
        return self._settings

    def stats(self) -> Stats:
        """The books at this instant."""
        return self._intake.stats()

    @property
    def collector(self) -> MonitoringCollector:
        """The metrics for those who scrape: register it with a `prometheus_client` registry.

        Raises:
            ImportError: `prometheus_client` is not installed; the extra `scrape` brings it.
        """
        try:
            from monitored_openai._collector import MonitoringCollector
        except ImportError as error:
            raise ImportError("prometheus_client is missing: pip install 'monitored-openai[scrape]'") from error
        return MonitoringCollector(self._totals.samples, self._settings.shared_labels, OWN_METRICS)

    def flush(self, timeout: float = 5.0) -> FlushResult:
        """Deliver what has been recorded so far, waiting for at most `timeout` seconds."""
        flush = self.begin_flush()
        if flush is None:
            return self._flushed(pushed=True)
        wait([flush], timeout)
        return self._flushed(_has_pushed(flush))

    async def aflush(self, timeout: float = 5.0) -> FlushResult:
        """The same as `flush`, without blocking the caller's event loop."""
        flush = self.begin_flush()
        if flush is None:
            return self._flushed(pushed=True)
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        flush.add_done_callback(lambda _: _tell(loop, ended))
        try:
            async with asyncio.timeout(timeout):
                await ended.wait()
        except TimeoutError:
            pass
        except BaseException:
            flush.cancel()
            raise
        return self._flushed(_has_pushed(flush))

    def close(self, timeout: float = 5.0) -> FlushResult:
        """Flush, then stop for good; calls that end later are counted as dropped, for the reason `closed`."""
        result = self.flush(timeout)
        self.end("closed")
        return result

    def purge(self, timeout: float = 5.0) -> None:
        """Remove from the spool's directory whatever waits there, of this process and of those that have ended.

        What other living processes keep is theirs to purge. Entries of this process are counted as dropped.

        Raises:
            TimeoutError: it is not done yet; it goes on in the background.
        """
        thread = self._thread
        if self._exporter is not None and thread is not None and thread.is_alive and not thread.is_current:
            thread.submit(self._exporter.purge()).result(timeout)
        elif self._settings.spool_dir is not None:
            from monitored_openai._exporter.spool import open_spool  # not every system can have one

            open_spool(self._settings, {}, self._intake.forgets).purge()

    # For the process: its end, and the child of a fork

    def begin_flush(self) -> Future[bool] | None:
        """Start a flush; `None` when there is nothing to flush."""
        return self._begin(self._flush)

    def _begin(self, flush: Callable[[], Coroutine[Any, Any, bool]]) -> Future[bool] | None:
        if self._thread is None or self._ended:
            return None
        if not self._thread.is_alive:
            self._wake()
            if not self._thread.is_alive:
                return _unfinished()
        if self._thread.is_current:  # called from `on_record`, which the flush would have to wait for
            return _unfinished()
        return self._thread.submit(flush())

    def end_active(self) -> None:
        """The process ends, and with it the calls that are under way."""
        for call in self._intake.active.copy():
            call.interrupted()

    def end(self, reason: DropReason) -> None:
        """Stop, and count what is neither delivered nor in the spool as dropped for `reason`."""
        homeless = 0
        if self._settings.spool_dir is not None:
            homeless = self._result_of(self._seal(), _START_SECONDS if self.is_starting else _SEAL_SECONDS) or 0
        is_first_end, self._ended = not self._ended, True
        self._intake.close(reason, homeless)
        if is_first_end and reason != "fault":
            self._warn_of_losses(reason)
        with PROCESS.sharing:
            if _shared.get(self._settings) is self:
                del _shared[self._settings]
        if self._exporter is not None:
            self._result_of(self._exporter.stop(), _STOP_SECONDS if self._settings.spool_dir is None else _SEAL_SECONDS)

    def _warn_of_losses(self, reason: DropReason) -> None:
        failures = self._exporter.failures if self._exporter is not None else Failures()
        lost = losses(self._intake.stats(), failures, reason)
        if lost and self._settings.log_warnings:
            end, about = (
                ("process ended", f"exit {self._number}") if reason == "shutdown" else ("handle was closed", reason)
            )
            warn_sparsely(about, "lost when the %s: %s", end, lost)

    def _result_of(self, work: Coroutine[Any, Any, _T], seconds: float) -> _T | None:
        """Have the exporter's thread do it, if it still does anything; `None` if it has not come to its end in time."""
        thread = self._thread
        if thread is None or not thread.is_alive or thread.is_current:
            work.close()
            return None
        ending = thread.submit(work)
        wait([ending], timeout=seconds)
        return ending.result() if ending.done() and not ending.cancelled() and ending.exception() is None else None

    @property
    def is_starting(self) -> bool:
        """Whether the exporter's thread is still importing what it needs."""
        return self._exporter is None and not self._ended

    def progress(self) -> int:
        """A number that grows with whatever is achieved."""
        stats = self._intake.stats()
        return stats.folded + stats.delivered + sum(stats.dropped.values()) + stats.pushes + stats.samples.delivered

    def thread_ended(self) -> None:
        """Whatever the exporter's thread has been told last, it may not have heard: the next call starts another."""
        self._intake.sleeps()

    def after_fork(self) -> None:
        """Begin anew in a forked child, under its own instance: what the parent has recorded is the parent's."""
        self._intake.reset()
        if self._ended:
            self._intake.close("closed")
        self._totals.reset()
        if self._exporter is not None:
            self._exporter.forked()
        PROCESS.inherited.append(self._exporter)  # asyncio complains of tasks that are collected before their end
        self._thread = self._exporter = None
        self._born_ms = time.time_ns() // 1_000_000

    # On the callers' threads

    def _client_returned(self) -> None:
        """End the rest of an exporter whose clients were gone, before the first call of the new one ends."""
        thread = self._thread
        if thread is not None and thread.is_alive and not self._ended:
            self._wake()

    def _opened_and_begun(self, call: Call) -> None:
        """The exporter imports what it needs while the first call waits for its answer, to be able to keep it at once."""
        self._intake.opened(call)
        if self._thread is None:
            self._intake.stirs()

    def _ended_and_flushed(self, call: Call) -> None:
        """A process that is frozen after each request has no other time to deliver than now."""
        self._intake.ended(call)
        if asyncio._get_running_loop() is None:  # noqa: SLF001 - the documented one raises where there is none
            self.flush(_FLUSH_ON_CALL_SECONDS)
        else:
            self._begin(self._flush_for_call)

    # On the exporter's thread

    @property
    def _instance(self) -> str:
        return f"{self._settings.instance}:{os.getpid()}:{self._born_ms:x}:{self._number}"

    def _start(self) -> None:
        try:
            with PROCESS.importing:
                from monitored_openai._exporter.exporter import Exporter  # it imports much; here nobody waits for it

                before = self._exporter
                if before is not None:  # its connections belong to a loop that is gone: they cannot even be closed
                    PROCESS.inherited.append(before)
                self._exporter = Exporter(
                    self._settings, self._intake, self._totals, self._instance, clients=self._clients, before=before
                )
            if not self._ended:  # else nobody would end it any more
                self._exporter.start()
        except Exception:
            warn_sparsely("start", "the exporter could not start; calls are not recorded", exc_info=True)
            self.end("fault")

    def _rouse(self) -> None:
        if self._exporter is not None:
            self._exporter.wake()

    async def _seal(self) -> int:
        return 0 if self._exporter is None else await self._exporter.seal()

    async def _flush_for_call(self) -> bool:
        return self._exporter is not None and not self._exporter.flushes and await self._exporter.flush()

    async def _flush(self) -> bool:
        return self._exporter is not None and await self._exporter.flush()

    # On any thread

    def _wake(self) -> None:
        try:
            thread = PROCESS.thread()
            if thread is self._thread:
                thread.call(self._rouse)
            else:
                self._thread = thread
                thread.call(self._start)
        except Exception:  # no thread at the interpreter's end, or no file descriptor left for its loop
            self._intake.sleeps()
            warn_sparsely("thread", "the exporter's thread cannot be started now", exc_info=True)

    def _flushed(self, pushed: bool) -> FlushResult:
        stats = self._intake.stats()
        left = stats.queued + stats.in_flight + stats.spooled
        return FlushResult(
            complete=pushed and left == stats.metrics_queued == stats.samples.queued == 0,
            delivered=stats.delivered,
            dropped=sum(stats.dropped.values()),
            left=left,
            pushed=pushed,
        )


def monitoring_for(monitoring: MonitoringSettings | Monitoring | None) -> Monitoring:
    """The handle that a client's `monitoring` argument means; equal settings share one.

    Raises:
        SettingsError: the environment, where `None` looks, holds wrong settings.
        TypeError: it is none of these.
    """
    if isinstance(monitoring, Monitoring):
        return monitoring
    if monitoring is None:
        monitoring = MonitoringSettings()
    elif not isinstance(monitoring, MonitoringSettings):
        raise TypeError(
            "monitoring must be a MonitoringSettings, another client's .monitoring, or None for the environment, "
            f"not {type(monitoring).__name__}"
        )
    with PROCESS.sharing:
        handle = _shared.get(monitoring)
        if handle is not None:
            return handle
        handle = _shared[monitoring] = Monitoring(monitoring)
        living = len(_shared)
    if living > _MANY_HANDLES:
        warn_sparsely(
            "settings",
            "%d different settings objects are in use in this process, each with its own series, queue and requests; "
            "label tenants with attributes(), or share settings and close() handles that are done",
            living,
        )
    return handle


def _has_pushed(flush: Future[bool]) -> bool:
    """How a flush has ended, which ends here at the latest."""
    flush.cancel()
    try:
        return flush.result(0)
    except (TimeoutError, CancelledError):
        return False
    except Exception:
        warn_sparsely("flush", "a flush could not be brought to its end", exc_info=True)
        return False


def _tell(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    with suppress(RuntimeError):  # closed meanwhile
        loop.call_soon_threadsafe(ended.set)


def _unfinished() -> Future[bool]:
    future: Future[bool] = Future()
    future.set_result(False)
    return future

"""The public handle on the telemetry of one set of settings in this process."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from monitored_openai._exporter.runner import Runner, end_flush
from monitored_openai._exporter.runtime.process import PROCESS
from monitored_openai._exporter.runtime.sigterm import handle_sigterm
from monitored_openai._logging import logger, warn_sparsely
from monitored_openai._settings.model import MonitoringSettings
from monitored_openai._stats import FlushResult, Stats

if TYPE_CHECKING:
    from monitored_openai._calls.tracker import CallTracker
    from monitored_openai._metrics.collector import MonitoringCollector

_shared: dict[MonitoringSettings, Monitoring] = {}
_MANY_HANDLES = 32
"""Handles of a process, beyond which the library warns: the program probably creates new settings for each use."""


class Monitoring:
    """The telemetry of all clients with the same settings: totals, log entries, and the delivery of both."""

    def __init__(self, settings: MonitoringSettings) -> None:
        """Create the handle. The process's exporter thread starts with the first call: when the call ends or, if
        `spool_dir` or `host_dir` is set, when it starts.

        Args:
            settings: The settings of all clients that share this handle.
        """
        self._settings = settings
        self._runner = Runner(settings, on_end=self._unshare)
        self._has_delivered = True
        """False if the last flush failed or ran out of time; true before the first flush."""
        if settings.enabled and settings.handle_sigterm:
            handle_sigterm(PROCESS.at_exit, PROCESS.begin_exit)
        if settings.enabled and settings.metrics_url is None and settings.logs_url is None:
            logger.info("neither metrics_url nor logs_url is set: calls are counted in memory only")

    def __repr__(self) -> str:
        """Return the back ends' hosts, without credentials and paths, which may hold a token."""
        urls = {"metrics": self._settings.metrics_url, "logs": self._settings.logs_url}
        shown = [f"{signal}={_address(url)}" for signal, url in urls.items() if url is not None]
        return f"<{type(self).__name__} {' '.join(shown) or 'in memory only'}>"

    @property
    def settings(self) -> MonitoringSettings:
        """The settings of this handle."""
        return self._settings

    def stats(self) -> Stats:
        """Return the current counts of calls, log entries, pushes and legacy samples.

        Returns:
            A consistent snapshot of the counts since this handle was created or the process was forked.
        """
        return self._runner.ledger.stats()

    @property
    def collector(self) -> MonitoringCollector:
        """A collector of the metrics, to register with a `prometheus_client` registry that Prometheus scrapes.

        Raises:
            ImportError: `prometheus_client` is not installed; the extra `scrape` installs it.
        """
        try:
            from monitored_openai._metrics.collector import MonitoringCollector
        except ImportError as error:
            raise ImportError("prometheus_client is missing: pip install 'monitored-openai[scrape]'") from error
        return MonitoringCollector(self._runner.metrics.samples, self._settings.metric_labels)

    def flush(self, timeout: float = 5.0) -> FlushResult:
        """Deliver everything recorded so far, and wait at most `timeout` seconds.

        A timeout loses no data and raises no error: the method returns, and the exporter continues to deliver at its usual
        pace. In the function `on_record`, which runs on the exporter's own thread, the method returns immediately,
        because otherwise the thread would wait for itself.

        Args:
            timeout: Longest wait in seconds; 0 returns immediately.

        Returns:
            The result, with `complete=False` if something is still undelivered.
        """
        flush = self._runner.begin_flush()
        if flush is not None:
            wait([flush], timeout)
        return self._result(flush)

    async def aflush(self, timeout: float = 5.0) -> FlushResult:
        """Deliver everything recorded so far, as `flush` does, without blocking the caller's event loop.

        Args:
            timeout: Longest wait in seconds.

        Returns:
            The result, with `complete=False` if something is still undelivered.
        """
        flush = self._runner.begin_flush()
        if flush is None:
            return self._result(None)
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        flush.add_done_callback(lambda _: _set_from_thread(loop, ended))
        try:
            async with asyncio.timeout(timeout):
                await ended.wait()
        except TimeoutError:
            pass
        except BaseException:
            flush.cancel()
            raise
        return self._result(flush)

    def close(self, timeout: float = 5.0) -> FlushResult:
        """Flush for at most `timeout` seconds, then stop permanently.

        Calls that end later count as dropped, with the reason `closed`. Entries that the flush did not deliver stay in the
        spool; without a spool, they count as dropped with the same reason.

        Args:
            timeout: Longest wait for the flush in seconds.

        Returns:
            The result of the flush.
        """
        result = self.flush(timeout)
        self._runner.end("closed")
        return result

    def purge(self, timeout: float = 5.0) -> None:
        """Remove all waiting data of this process and of ended processes from the spool's directory.

        The files of other living processes stay. The removed entries of this process count as dropped.

        Args:
            timeout: Longest wait in seconds.

        Raises:
            TimeoutError: The purge takes more than `timeout` seconds and continues in the background, or the exporter's
                thread cannot run now.
        """
        purge = self._runner.begin_purge()
        if purge is not None:
            if not purge.result(timeout):
                raise TimeoutError("the exporter's thread cannot purge the spool now; try again later")
        elif self._settings.spool_dir is not None:
            try:
                from monitored_openai._exporter.spool.spool import open_spool
            except ImportError:  # this system does not support a spool, so nothing waits in one
                return
            open_spool(self._settings, {}, self._runner.ledger.record_evicted).purge()

    def _result(self, flush: Future[bool] | None) -> FlushResult:
        if flush is not None:
            self._has_delivered = end_flush(flush)
        stats = self.stats()
        left = stats.queued + stats.in_flight + stats.spooled
        any_pushed = stats.pushes > 0 or (stats.host is not None and stats.host.last_push_ns is not None)
        return FlushResult(
            complete=self._has_delivered and left == stats.metrics_queued == stats.samples.queued == 0,
            delivered=stats.delivered,
            dropped=sum(stats.dropped.values()),
            left=left,
            pushed=self._has_delivered and any_pushed,
        )

    def _unshare(self) -> None:
        with PROCESS.sharing:
            if _shared.get(self._settings) is self:
                del _shared[self._settings]


def monitoring_for(monitoring: MonitoringSettings | Monitoring | None) -> Monitoring:
    """Return the handle for a client's `monitoring` argument; equal settings share one.

    Raises:
        SettingsError: `monitoring` is `None`, and the environment holds invalid settings.
        TypeError: `monitoring` has another type.
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
            "label tenants with attributes(), or share settings and close() handles that you no longer use",
            living,
        )
    return handle


def tracker_of(monitoring: Monitoring) -> CallTracker | None:
    """Return the call tracker for the clients of a handle; `None` if its settings disable monitoring."""
    return monitoring._runner.tracker  # noqa: SLF001 - for the clients only, so not a public member


def client_token(monitoring: Monitoring) -> object:
    """Return a token for a client to hold while it can start calls; without clients, the handle stops its pushes."""
    return monitoring._runner.clients.token()  # noqa: SLF001 - for the clients only, so not a public member


def _address(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _set_from_thread(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(ended.set)

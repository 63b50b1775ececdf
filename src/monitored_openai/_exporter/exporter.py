"""Turns ended calls into records, counters and log entries on the exporter's loop, and runs the pushers."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple

from monitored_openai._calls.record_builder import build_record
from monitored_openai._exporter.build import build_log_pusher, build_metrics_pusher, build_recovery, build_sample_pusher
from monitored_openai._exporter.delivery.flush_gate import FlushGate
from monitored_openai._exporter.delivery.legacy_sample_pusher import LegacySamplePusher
from monitored_openai._exporter.delivery.log_pusher import LogPusher
from monitored_openai._exporter.encoders import loki
from monitored_openai._exporter.flushes import Flushes
from monitored_openai._exporter.idle import Rest
from monitored_openai._exporter.losses import Failures
from monitored_openai._exporter.price_updates import PriceUpdates
from monitored_openai._hashing import value_hasher
from monitored_openai._legacy_series import call_samples
from monitored_openai._log_entry import is_sampled, log_entry
from monitored_openai._logging import warn_sparsely
from monitored_openai._pricing.billed import Billed
from monitored_openai._pricing.price_book import PriceBook
from monitored_openai._pricing.price_file import follow_price_file
from monitored_openai._redaction.redactor import redactor
from monitored_openai._stats import DropReason

if TYPE_CHECKING:
    from monitored_openai._calls.finished_call import FinishedCall
    from monitored_openai._calls.pending_usage import PendingUsage
    from monitored_openai._endpoints.base import ParsedResponse
    from monitored_openai._exporter.build import TotalsPusher
    from monitored_openai._exporter.call_queue import CallQueue
    from monitored_openai._exporter.clients import Clients
    from monitored_openai._exporter.ledger import DeliveryLedger
    from monitored_openai._exporter.metrics_state import MetricsState
    from monitored_openai._exporter.runtime.fork_gate import ForkGate
    from monitored_openai._exporter.state import ExporterState
    from monitored_openai._record import CallRecord, Cost
    from monitored_openai._settings.model import MonitoringSettings

_GATHER_SECONDS = 0.1
"""Seconds. Calls are recorded in groups: a wake-up for each would make the callers' threads wait for the GIL."""
_GATHER_SECONDS_TO_SPOOL = 0.05
"""Seconds with a spool. Shorter, because a crash must lose no entry that is older than 150 ms."""
_CALLS_IN_A_ROW = 64
"""Calls recorded before other tasks of the loop may run."""
_RESTART_SECONDS = 1.0


class Exporter:
    """Records ended calls, and runs the pushers."""

    def __init__(
        self,
        settings: MonitoringSettings,
        calls: CallQueue,
        ledger: DeliveryLedger,
        metrics: MetricsState,
        state: ExporterState,
        *,
        clients: Clients,
        pending_usage: PendingUsage,
        forks: ForkGate,
    ) -> None:
        """Create and use it on the exporter's loop only. `state` may come from an exporter whose thread has died."""
        self._settings = settings
        self._calls = calls
        self._metrics = metrics
        self._state = state
        self._pending_usage = pending_usage
        self._forks = forks
        updates = PriceUpdates(settings.price_updates, forks) if settings.price_updates is not None else None
        self._prices = PriceBook(
            follow_price_file(settings.prices_file, settings.prices),
            azure_deployment=settings.azure_deployment,
            newest=(lambda: None) if updates is None else updates.snapshot,
        )
        metrics.follow_prices(lambda: self._prices.table_dates)  # loads the table now: a fork waits until this is done
        redact, on_record = settings.redact, settings.on_record
        # A fork waits for no function of the user, which may take long.
        self._redact = redactor(forks.between_steps()(redact) if callable(redact) else redact, settings.redact_presets)
        self._on_record = None if on_record is None else forks.between_steps()(on_record)
        self._hasher = value_hasher(settings.hash_attributes, settings.hash_key)
        prefix = os.urandom(8).hex()
        self._ids = (f"{prefix}{number:08x}" for number in itertools.count())
        self._last_entry_ns = 0
        self._flush_gate = FlushGate()
        self._woken = asyncio.Event()
        self._rest = Rest(ledger, clients)
        parts = (settings, state, self._flush_gate, metrics, clients)
        self._log_pusher = build_log_pusher(*parts)
        self._metrics_pusher = build_metrics_pusher(*parts, ledger=ledger, rest=self._rest)
        self._sample_pusher = build_sample_pusher(*parts)
        self._recovery = build_recovery(state, ledger, self._log_pusher, self._metrics_pusher)
        self._tasks: list[asyncio.Task[None]] = []
        self._flushes = Flushes(
            self._flush_gate,
            self._record_calls,
            push_totals=self._metrics_pusher.flush if self._metrics_pusher is not None else None,
            others=[pusher.idle for pusher in (self._log_pusher, self._sample_pusher) if pusher is not None],
        )

    def start(self) -> None:
        """Start to record calls, and start the pushers."""
        others = [part for part in (self._recovery, self._state.host) if part is not None]
        for run in (self._run, *(one.run for one in (*self._pushers(), *others))):
            self._tasks.append(asyncio.get_running_loop().create_task(_run_for_ever(run)))
        self._woken.set()
        if self._log_pusher is not None and self._state.log_queue.has_any:
            self._log_pusher.more()

    def wake(self) -> None:
        """Resume work after a new call or client."""
        self._woken.set()
        self._rest.end()

    async def flush(self) -> bool:
        """Record and deliver everything; true if the metrics back end has the latest totals, or if no URL for it is set.

        `stop` cancels the flush, even if no thread waits for it.
        """
        return await self._flushes.flush()

    def flush_after_call(self) -> None:
        """Begin to deliver the data of a call that has ended."""
        self._flushes.flush_after_call()

    @property
    def failures(self) -> Failures:
        """Why each pusher has undelivered data, and whether the last flush left totals that no process will push."""
        return Failures(
            logs=self._log_pusher.failure if self._log_pusher else "",
            metrics=self._metrics_pusher.failure if self._metrics_pusher else "",
            samples=self._sample_pusher.failure if self._sample_pusher else "",
            owes_totals=self._flushes.owes_totals and not self._keeps_totals,
        )

    @property
    def _keeps_totals(self) -> bool:
        host = self._state.host
        return self._recovery is not None if host is None else host.is_kept

    async def spool_all(self) -> int:
        """Write everything to the spool and the host's file, if set; return the number of entries whose file is gone."""
        await self._record_calls()
        if self._recovery is not None:
            self._recovery.keep(at_once=True)
        if self._state.host is not None:
            self._state.host.keep(at_once=True)
        return self._state.log_queue.missing_on_disk

    async def purge(self) -> None:
        """Drop everything that waits in the spool."""
        if self._state.spool is not None:
            self._state.log_queue.purge()

    async def stop(self) -> None:
        """Cancel all tasks, and close the connections and the spool."""
        ending = [*self._tasks, *self._flushes.tasks]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        try:
            for pusher in self._pushers():
                await pusher.aclose()
        finally:
            if self._state.spool is not None:  # last, because other processes may then adopt the files
                self._state.spool.close()
            if self._state.host is not None:
                self._state.host.close()

    def _pushers(self) -> list[LogPusher | TotalsPusher | LegacySamplePusher]:
        pushers = (self._log_pusher, self._metrics_pusher, self._sample_pusher)
        return [pusher for pusher in pushers if pusher is not None]

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            await self._flush_gate.wait(self._gather_seconds())
            await self._record_calls()
            if self._recovery is not None:
                self._recovery.keep()
            if self._state.host is not None:
                self._state.host.keep()

    def _gather_seconds(self) -> float:
        """Return the seconds to wait for more calls. With a spool, subtract the age of the oldest call."""
        if self._state.spool is None:
            return _GATHER_SECONDS
        oldest = self._calls.peek()
        waited = 0.0 if oldest is None else (time.time_ns() - oldest.ended_ns) / 1e9
        return min(_GATHER_SECONDS_TO_SPOOL, max(0.0, _GATHER_SECONDS_TO_SPOOL - waited))

    async def _record_calls(self) -> None:
        recorded = 0
        while (call := self._calls.peek()) is not None:
            self._record(call)
            recorded += 1
            if recorded % _CALLS_IN_A_ROW == 0 or self._forks.is_awaited:
                self._state.log_queue.store()
                await asyncio.sleep(0)
        self._state.log_queue.store()

    def _record(self, call: FinishedCall) -> None:
        """Turn the oldest call into a record, its counters and its log entry."""
        try:
            record = build_record(call, next(self._ids), price=self._price, pending_usage=self._pending_usage)
            if self._hasher is not None:
                record = self._hasher.record(record)
            self._metrics.fold(record)
        except Exception:
            warn_sparsely("record", "a call could not be recorded", exc_info=True)
            self._calls.pop_unreadable()
            return
        self._add_samples(record)
        self._call_on_record(record)
        entry = self._entry(record)
        if isinstance(entry, str):
            self._calls.pop_folded(None, reason=entry)
        elif (
            self._calls.pop_folded(len(entry.encoded), cut=entry.cut, failed=entry.failed)
            and self._log_pusher is not None
        ):
            self._state.log_queue.add(entry.encoded, self._last_entry_ns)
            self._log_pusher.more()

    def _price(self, call: FinishedCall, parsed: ParsedResponse) -> Cost | str:
        return self._prices.cost(
            Billed(
                provider=call.provider,
                model=parsed.model,
                usage=parsed.usage,
                at_ns=call.ended_ns,
                service_tier=parsed.service_tier or parsed.requested_tier,
                host=call.host,
                units=parsed.units,
                parts=parsed.parts,
                incomplete=parsed.incomplete,
                cache_retention=parsed.cache_retention,
                completion_window=parsed.completion_window,
            )
        )

    def _add_samples(self, record: CallRecord) -> None:
        if self._sample_pusher is None:
            return
        try:
            samples = call_samples(record)
            if samples is not None:
                self._sample_pusher.add(samples, record.ended_ns)
        except Exception:
            warn_sparsely("sample", "the samples of a call could not be created", exc_info=True)

    def _call_on_record(self, record: CallRecord) -> None:
        if self._on_record is None:
            return
        try:
            self._on_record(record)
        except BaseException:  # the user's code may raise anything, and must not end this thread
            warn_sparsely("on_record", "the function given as on_record raised", exc_info=True)

    def _entry(self, record: CallRecord) -> _Encoded | DropReason:
        """Return the encoded log entry of a call, or the reason why it has none."""
        if self._log_pusher is None or not is_sampled(record, self._settings.log_sample_ratio):
            return "sampled"
        try:
            entry = log_entry(
                record,
                redact=self._redact,
                max_bytes=self._settings.max_content_bytes,
                predecessor="grafana_openai" in self._settings.metric_names,
            )
            if entry.failed:
                warn_sparsely("redact", "redact failed; a log entry is sent without content, but with the reason")
            self._last_entry_ns = loki.following(self._last_entry_ns, record.ended_ns)
            return _Encoded(loki.encode_entry(self._last_entry_ns, entry.line, entry.metadata), entry.cut, entry.failed)
        except Exception:
            warn_sparsely("entry", "a call could not be logged", exc_info=True)
            return "fault"


class _Encoded(NamedTuple):
    encoded: bytes
    cut: bool
    failed: bool


async def _run_for_ever(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a loop, and restart it after an exception."""
    while True:
        try:
            await run()
        except Exception:
            warn_sparsely("loop", "a task of the exporter failed and will restart", exc_info=True)
            await asyncio.sleep(_RESTART_SECONDS)

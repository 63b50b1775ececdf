"""The work of one handle on the exporter's loop: calls in, records and totals and log entries out."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple

from monitored_openai._exporter import loki
from monitored_openai._exporter.backlog import Backlog
from monitored_openai._exporter.log_lane import LogLane
from monitored_openai._exporter.losses import Failures
from monitored_openai._exporter.metrics_lane import MetricsLane
from monitored_openai._exporter.parts import Parts
from monitored_openai._exporter.process import PROCESS
from monitored_openai._exporter.rest import Rest
from monitored_openai._exporter.sample_lane import SampleLane
from monitored_openai._exporter.urgency import Urgency
from monitored_openai._grafana_openai import call_samples
from monitored_openai._log import warn_sparsely
from monitored_openai._log_entry import is_sampled, log_entry
from monitored_openai._pricing import PriceBook
from monitored_openai._redaction import redactor
from monitored_openai._stats import DropReason

if TYPE_CHECKING:
    from monitored_openai._answer import Answer
    from monitored_openai._call import Call
    from monitored_openai._exporter.clients import Clients
    from monitored_openai._exporter.intake import Intake
    from monitored_openai._exporter.spool import Spool
    from monitored_openai._exporter.totals import Totals
    from monitored_openai._metrics import Sample
    from monitored_openai._record import CallRecord, Cost
    from monitored_openai._settings import MonitoringSettings

_GATHER_SECONDS = 0.1
"""Calls are taken in together: a wake-up for each would make the callers' threads share the interpreter each time."""
_GATHER_SECONDS_TO_SPOOL = 0.05
"""After a crash without notice, entries up to 150 ms old may be lost."""
_CALLS_IN_A_ROW = 64
_RESTART_SECONDS = 1.0
_ENOUGH_FLUSHES = 2


class Exporter:
    """Takes in what has ended, and runs the two lanes."""

    def __init__(
        self,
        settings: MonitoringSettings,
        intake: Intake,
        totals: Totals,
        instance: str,
        *,
        clients: Clients,
        before: Exporter | None = None,
    ) -> None:
        """On the exporter's loop, of which nothing here is used from elsewhere; `instance` is the metrics' label.

        `before`: one whose thread has died, and whose work goes on here.
        """
        self._settings = settings
        self._intake = intake
        self._totals = totals
        self._prices = PriceBook(settings.prices)
        self._totals.prices_timestamp = self._prices_timestamp()  # loads the table while a fork waits for imports
        self._redact = redactor(settings.redact)
        prefix = os.urandom(8).hex()
        self._ids = (f"{prefix}{number:08x}" for number in itertools.count())
        self._last_entry_ns = 0
        self._urgency = Urgency()
        self._woken = asyncio.Event()
        self._rest = Rest(intake, clients)
        parts = Parts(settings, intake, totals, self._urgency, instance, clients=clients)
        self._spool: Spool | None = before._spool if before else parts.spool()  # noqa: SLF001 - one of its kind
        self._backlog: Backlog = before._backlog if before else parts.backlog(self._spool)  # noqa: SLF001 - as above
        self._log_lane = parts.log_lane(self._backlog)
        self._metrics_lane = parts.metrics_lane(self._samples, self._rest)
        self._sample_lane = parts.sample_lane()
        lane_before = before._metrics_lane if before else None  # noqa: SLF001 - as above
        if self._metrics_lane is not None and lane_before is not None:
            self._metrics_lane.goes_on_from(lane_before)
        samples_before = before._sample_lane if before else None  # noqa: SLF001 - as above
        if self._sample_lane is not None and samples_before is not None:
            self._sample_lane.goes_on_from(samples_before)
        self._keeping = parts.keeping(self._spool, self._backlog, self._log_lane, self._metrics_lane)
        if self._keeping is not None and self._metrics_lane is not None:
            self._metrics_lane.on_push = self._keeping.on_push
        self._owes_totals = False
        self._tasks: list[asyncio.Task[None]] = []
        self._flushes: set[asyncio.Task[bool]] = set()

    def start(self) -> None:
        """Begin to work."""
        others = [self._keeping] if self._keeping is not None else []
        for run in (self._run, *(one.run for one in (*self._lanes(), *others))):
            self._tasks.append(asyncio.get_running_loop().create_task(_for_ever(run)))
        self._woken.set()
        if self._log_lane is not None and self._backlog.has_any:
            self._log_lane.more()

    def wake(self) -> None:
        """A call or a client has come."""
        self._woken.set()
        self._rest.end()

    @property
    def flushes(self) -> bool:
        """Whether so many flushes are under way that the last of them takes along whatever comes in now."""
        return len(self._flushes) >= _ENOUGH_FLUSHES

    async def flush(self) -> bool:
        """Take in and deliver everything; whether the metrics' back end has taken the totals' latest state.

        It ends with all other work, even if nobody waits for it.
        """
        flushing = asyncio.get_running_loop().create_task(self._flush())
        self._flushes.add(flushing)
        flushing.add_done_callback(self._flushes.discard)
        try:
            await asyncio.wait([flushing])
        finally:
            flushing.cancel()
        return not flushing.cancelled() and flushing.result()

    async def _flush(self) -> bool:
        with self._urgency.held():
            self._owes_totals = self._metrics_lane is not None
            await self._take_in()
            pushed, *_ = await asyncio.gather(
                self._push_totals(self._metrics_lane) if self._metrics_lane else _true(),
                self._log_lane.idle() if self._log_lane else _true(),
                self._sample_lane.idle() if self._sample_lane else _true(),
            )
            return pushed

    async def _push_totals(self, lane: MetricsLane) -> bool:
        self._owes_totals = not await lane.flush()
        return not self._owes_totals

    @property
    def failures(self) -> Failures:
        """How the last request of each lane failed, and whether the last flush left totals that nobody will push."""
        return Failures(
            logs=self._log_lane.failure if self._log_lane else "",
            metrics=self._metrics_lane.failure if self._metrics_lane else "",
            samples=self._sample_lane.failure if self._sample_lane else "",
            owes_totals=self._owes_totals and self._keeping is None,
        )

    async def seal(self) -> int:
        """Bring everything to the spool, if there is one; how many entries of it nobody will find there."""
        await self._take_in()
        if self._keeping is not None:
            self._keeping.keep_totals(at_once=True)
        return self._backlog.homeless

    async def purge(self) -> None:
        """Remove all that waits in the spool."""
        if self._spool is not None:
            self._backlog.purge()

    def forked(self) -> None:
        """In a forked child: let go of what is the parent's."""
        if self._spool is not None:
            self._spool.forked()

    async def stop(self) -> None:
        """End all work and close the connections."""
        ending = [*self._tasks, *self._flushes]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        try:
            for lane in self._lanes():
                await lane.aclose()
        finally:
            if self._spool is not None:  # nobody else may have what waits there before
                self._spool.close()

    def _lanes(self) -> list[LogLane | MetricsLane | SampleLane]:
        return [lane for lane in (self._log_lane, self._metrics_lane, self._sample_lane) if lane is not None]

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            await self._urgency.linger(_GATHER_SECONDS if self._spool is None else _GATHER_SECONDS_TO_SPOOL)
            await self._take_in()
            if self._keeping is not None:
                self._keeping.keep_totals()

    async def _take_in(self) -> None:
        taken = 0
        while (call := self._intake.next_call()) is not None:
            self._take(call)
            taken += 1
            if taken % _CALLS_IN_A_ROW == 0:
                self._backlog.store()
                await asyncio.sleep(0)
        self._backlog.store()

    def _take(self, call: Call) -> None:
        """One call to a record, the totals, and an entry of the log."""
        try:
            record = call.record(next(self._ids), self._price, PROCESS.owed)
            self._totals.fold(record)
        except Exception:
            warn_sparsely("record", "a call could not be recorded", exc_info=True)
            self._intake.faulty()
            return
        self._sample(record)
        self._tell(record)
        entry = self._entry(record)
        if isinstance(entry, str):
            self._intake.folded(None, reason=entry)
        elif self._intake.folded(len(entry.encoded), cut=entry.cut, failed=entry.failed) and self._log_lane is not None:
            self._backlog.add(entry.encoded, self._last_entry_ns)
            self._log_lane.more()

    def _price(self, provider: str, answer: Answer, at_ns: int) -> Cost | str:
        return self._prices.cost(
            provider=provider, model=answer.model, service_tier=answer.service_tier, usage=answer.usage, at_ns=at_ns
        )

    def _sample(self, record: CallRecord) -> None:
        if self._sample_lane is None:
            return
        try:
            samples = call_samples(record)
            if samples is not None:
                self._sample_lane.add(samples, record.ended_ns)
        except Exception:
            warn_sparsely("sample", "the samples of a call could not be made", exc_info=True)

    def _tell(self, record: CallRecord) -> None:
        if self._settings.on_record is None:
            return
        try:
            self._settings.on_record(record)
        except BaseException:  # the user's own code raises what it likes, and this thread must not end by it
            warn_sparsely("on_record", "the function given as on_record raised", exc_info=True)

    def _entry(self, record: CallRecord) -> _Encoded | DropReason:
        """The entry of a call as it will be sent, or the reason why there is none."""
        if self._log_lane is None or not is_sampled(record, self._settings.log_sample_ratio):
            return "sampled"
        try:
            entry = log_entry(
                record,
                redact=self._redact,
                max_bytes=self._settings.max_content_bytes,
                predecessor="grafana_openai" in self._settings.metric_names,
            )
            if entry.failed:
                warn_sparsely("redact", "redact failed; a log entry went out without its content and names the reason")
            self._last_entry_ns = loki.following(self._last_entry_ns, record.ended_ns)
            return _Encoded(loki.encode_entry(self._last_entry_ns, entry.line, entry.metadata), entry.cut, entry.failed)
        except Exception:
            warn_sparsely("entry", "a call could not be logged", exc_info=True)
            return "fault"

    def _samples(self) -> list[Sample]:
        self._totals.prices_timestamp = self._prices_timestamp()
        return self._totals.samples(of_calls="gen_ai" in self._settings.metric_names)

    def _prices_timestamp(self) -> float | None:
        date = self._prices.table_timestamp
        return None if math.isnan(date) else date


class _Encoded(NamedTuple):
    encoded: bytes
    cut: bool
    failed: bool


async def _for_ever(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a loop; should it break, say so and begin it again."""
    while True:
        try:
            await run()
        except Exception:
            warn_sparsely("loop", "the exporter had to begin again", exc_info=True)
            await asyncio.sleep(_RESTART_SECONDS)


async def _true() -> bool:
    return True

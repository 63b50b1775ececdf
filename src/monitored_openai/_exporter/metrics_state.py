"""Every series that an exporter has to tell of: the calls' and its own."""

from __future__ import annotations

import time
from collections import Counter as Count
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from monitored_openai._exporter.runtime import gevent
from monitored_openai._metrics.rate_limits import RateLimits
from monitored_openai._metrics.store import ACTIVE, SECONDS, Histogram, Labels, Metric, Metrics, Sample

if TYPE_CHECKING:
    from monitored_openai._exporter.call_queue import Intake
    from monitored_openai._record import CallRecord

PRODUCED = Metric("monitored_openai_produced_total", "counter", "Calls seen (metrics) and log entries to be (logs).")
DELIVERED = Metric(
    "monitored_openai_delivered_total", "counter", "Calls added to the counters (metrics), log entries taken (logs)."
)
DROPPED = Metric("monitored_openai_dropped_total", "counter", "What was given up, by reason.")
QUEUED = Metric("monitored_openai_queued", "gauge", "Calls and log entries that wait in memory.")
IN_FLIGHT = Metric("monitored_openai_in_flight", "gauge", "Log entries in the request under way.")
SPOOL_BYTES = Metric(
    "monitored_openai_spool_bytes", "gauge", "Size of the spool's directory, whose files belong to many processes."
)
FOLDED = Metric(
    "monitored_openai_folded_label_sets_total",
    "counter",
    "Updates that went to label sets of `other`, and rate limits left out, past `max_label_sets`.",
)
LAST_SUCCESS = Metric(
    "monitored_openai_last_success_timestamp_seconds", "gauge", "When the back end last took anything."
)
PRICES_DATE = Metric("monitored_openai_prices_timestamp_seconds", "gauge", "The date of the table of prices.")
SEND_SECONDS = Metric("monitored_openai_send_seconds", "histogram", "Time of each request to a back end.", SECONDS)

OWN_METRICS = (
    *(PRODUCED, DELIVERED, DROPPED, QUEUED, IN_FLIGHT, SPOOL_BYTES),
    *(FOLDED, LAST_SUCCESS, PRICES_DATE, SEND_SECONDS),
)
_PUSHES_SHOWN = 2
"""Push intervals are a little longer than they are meant to be, so one would not always be enough for one push."""


class MetricsState:
    """The calls' metrics and the exporter's own, for one reader or writer at a time."""

    def __init__(self, intake: Intake, *, label_names: Iterable[str], max_label_sets: int, push_seconds: float) -> None:
        """See `Metrics` for the limits; a gauge that does not last is there for one push at least."""
        self._intake = intake
        self._label_names = tuple(label_names)
        self._max_label_sets = max_label_sets
        self._push_seconds = push_seconds
        self.reset()

    def reset(self) -> None:
        """Start from nothing, as a forked child must."""
        self._lock = gevent.lock()
        self._metrics = Metrics(label_names=self._label_names, max_label_sets=self._max_label_sets)
        self._rate_limits = RateLimits(
            max_label_sets=self._max_label_sets, shown_seconds=_PUSHES_SHOWN * self._push_seconds
        )
        self._send_seconds = {signal: Histogram(SECONDS) for signal in ("metrics", "logs")}
        self._ever_active: set[Labels] = set()
        self.prices_timestamp: float | None = None

    def fold(self, record: CallRecord) -> None:
        """Add a call."""
        with self._lock:
            self._metrics.fold(record)
            self._rate_limits.fold(record)

    def timed(self, signal: str, seconds: float) -> None:
        """Add a request to a back end."""
        with self._lock:
            self._send_seconds[signal].observe(seconds)

    def samples(self, *, of_calls: bool = True) -> list[Sample]:
        """Every series' present value, without the labels that all of them share; the exporter's own only, if asked."""
        with self._lock:
            if not of_calls:
                return list(self._own())
            limits = self._rate_limits.samples(time.time())
            return [*self._metrics.samples(), *limits, *self._active(), *self._own()]

    def _active(self) -> Iterator[Sample]:
        """Those that have come down to none as well: Prometheus would show their last number for minutes."""
        numbers = Count(dict.fromkeys(self._ever_active, 0))
        for call in self._intake.active.copy():
            facts = call.result
            of = self._metrics.labels(facts.endpoint.operation, facts.provider, facts.request_model, facts.attributes)
            numbers[of if of in numbers else self._metrics.admitted(of, numbers) or self._metrics.folded(of)] += 1
        self._ever_active.update(numbers)
        return (Sample(ACTIVE.name, of, number, cumulative=False) for of, number in numbers.items())

    def _own(self) -> Iterator[Sample]:
        stats = self._intake.stats()
        logs, metrics, samples = (("signal", "logs"),), (("signal", "metrics"),), (("signal", "samples"),)
        yield Sample(PRODUCED.name, metrics, stats.calls)
        yield Sample(DELIVERED.name, metrics, stats.folded)
        yield Sample(PRODUCED.name, logs, stats.produced - stats.adopted)  # as those who produced them have said
        yield Sample(DELIVERED.name, logs, stats.delivered)
        if stats.samples.produced:
            yield Sample(PRODUCED.name, samples, stats.samples.produced)
            yield Sample(DELIVERED.name, samples, stats.samples.delivered)
            yield Sample(QUEUED.name, samples, stats.samples.queued, cumulative=False)
        of_signals = ((metrics, stats.metrics_dropped), (logs, stats.dropped), (samples, stats.samples.dropped))
        for signal, dropped in of_signals:
            for reason, number in dropped.items():
                yield Sample(DROPPED.name, (*signal, ("reason", reason)), number)
        if stats.totals_refused:
            yield Sample(DROPPED.name, (("signal", "totals"), ("reason", "rejected")), stats.totals_refused)
        yield Sample(FOLDED.name, metrics, self._metrics.folded_label_sets + self._rate_limits.left_out)
        yield Sample(QUEUED.name, metrics, stats.metrics_queued, cumulative=False)
        yield Sample(QUEUED.name, logs, stats.queued, cumulative=False)
        yield Sample(IN_FLIGHT.name, logs, stats.in_flight, cumulative=False)
        if stats.spool_bytes:
            yield Sample(SPOOL_BYTES.name, (), stats.spool_bytes, cumulative=False)
        for signal, at_ns in ((metrics, stats.last_push_ns), (logs, stats.last_delivery_ns)):
            if at_ns is not None:
                yield Sample(LAST_SUCCESS.name, signal, at_ns / 1e9, cumulative=False)
        if self.prices_timestamp is not None:
            yield Sample(PRICES_DATE.name, (), self.prices_timestamp, cumulative=False)
        for signal_name, histogram in self._send_seconds.items():
            yield from histogram.samples(SEND_SECONDS.name, (("signal", signal_name),))

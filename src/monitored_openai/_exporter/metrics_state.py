"""All series of one exporter: those about the calls and those about the exporter itself."""

from __future__ import annotations

import time
from collections import Counter as Count
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING

from monitored_openai._exporter.runtime import gevent
from monitored_openai._metrics.metric_set import MetricSet
from monitored_openai._metrics.names import (
    ACTIVE,
    DELIVERED,
    DROPPED,
    FOLDED,
    IN_FLIGHT,
    LAST_SUCCESS,
    PRICES_DATE,
    PRODUCED,
    QUEUED,
    SEND_SECONDS,
    SPOOL_BYTES,
)
from monitored_openai._metrics.otel_genai import otel_genai_samples
from monitored_openai._metrics.rate_limits import RateLimits
from monitored_openai._metrics.series import Histogram, Labels, Sample, histogram_samples
from monitored_openai._metrics.store import Metrics

if TYPE_CHECKING:
    from monitored_openai._exporter.ledger import DeliveryLedger
    from monitored_openai._record import CallRecord

_PUSHES_SHOWN = 2
"""Minimum push intervals for which a rate limit is shown. One is too few, because a push may be a little late."""


class MetricsState:
    """The metrics of the calls and of the exporter, behind one lock."""

    def __init__(
        self,
        ledger: DeliveryLedger,
        *,
        label_names: Iterable[str],
        optional_labels: Iterable[str] = (),
        max_label_sets: int,
        push_seconds: float,
        exposed: MetricSet,
        pushes_calls: bool = True,
    ) -> None:
        """See `Metrics` for the limits and `exposed`.

        `push_seconds`: seconds between pushes; each rate limit is in at least one push.

        Without `pushes_calls`, only the exporter's own series are pushed.
        """
        self._ledger = ledger
        self._label_names = tuple(label_names)
        self._optional_labels = tuple(optional_labels)
        self._max_label_sets = max_label_sets
        self._push_seconds = push_seconds
        self._exposed = exposed
        self._series_names = exposed.series_names
        self._pushes_calls = pushes_calls
        self.reset()

    def reset(self) -> None:
        """Start from zero with a new lock, as a forked child must."""
        self._lock = gevent.lock()
        self.folded_by_host = 0
        """Number of label sets that `other` replaced because the host's processes together reached `max_label_sets`."""
        self._metrics = Metrics(
            label_names=self._label_names,
            optional_labels=self._optional_labels,
            max_label_sets=self._max_label_sets,
            exposed=self._exposed,
        )
        self._rate_limits = RateLimits(
            max_label_sets=self._max_label_sets, shown_seconds=_PUSHES_SHOWN * self._push_seconds
        )
        bounds = self._exposed.bounds.get(SEND_SECONDS, ())
        self._send_seconds: dict[Labels, Histogram] = {
            (("signal", signal),): Histogram(bounds) for signal in ("metrics", "logs")
        }
        self._ever_active: set[Labels] = set()
        self.price_dates: Mapping[str, float] = {}
        self._providers: set[str] = set()
        self._read_price_dates: Callable[[], Mapping[str, float]] | None = None

    def fold(self, record: CallRecord) -> None:
        """Add a finished call."""
        if record.provider not in self._providers:  # a scrape does not read the date, so read it now
            self._providers.add(record.provider)
            self._refresh_price_dates()
        with self._lock:
            self._metrics.fold(record)
            self._rate_limits.fold(record)

    def time_request(self, signal: str, seconds: float) -> None:
        """Add the duration of a request to a back end."""
        with self._lock:
            self._send_seconds[("signal", signal),].observe((seconds,))

    def follow_prices(self, read_dates: Callable[[], Mapping[str, float]]) -> None:
        """Show the date of each provider's published prices, read now, at its first call and before each push."""
        self._read_price_dates = read_dates
        self._refresh_price_dates()

    def _refresh_price_dates(self) -> None:
        if self._read_price_dates is not None:
            self.price_dates = self._read_price_dates()

    def folded(self, labels: Labels) -> Labels:
        """Return the labels with `other` in place of the unbounded values."""
        return self._metrics.folded(labels)

    def _folded_label_sets(self) -> int:
        return self._metrics.folded_label_sets + self._rate_limits.left_out + self.folded_by_host

    def push_samples(self) -> list[Sample]:
        """Return the samples of a push, without the labels that all series share."""
        self._refresh_price_dates()
        return self._samples(
            of_calls=self._pushes_calls,
            labels_without_buckets=self._exposed.labels_without_buckets,
            whole_bounds=True,
        )

    def samples(self) -> list[Sample]:
        """Return the current value of every series for a scrape, without the labels that all series share.

        Unlike in a push, each sum and count has buckets with the same labels, because OpenMetrics requires this.
        """
        return self._samples()

    def _samples(
        self,
        *,
        of_calls: bool = True,
        labels_without_buckets: frozenset[str] = frozenset(),
        whole_bounds: bool = False,
    ) -> list[Sample]:
        """Without `of_calls`, return only the exporter's own series."""
        with self._lock:
            own = self._own()
            if not of_calls:
                return self._without_left_out(own)
            limits = self._rate_limits.samples(time.time())
            calls = self._metrics.samples(labels_without_buckets=labels_without_buckets)
            samples = calls + self._without_left_out(chain(limits, self._active(), own))
        if not self._exposed.otel_genai:
            return samples
        return [*otel_genai_samples(samples, self._series_names, whole_bounds=whole_bounds)]

    def _without_left_out(self, samples: Iterable[Sample]) -> list[Sample]:
        return [sample for sample in samples if sample.name in self._series_names]

    def _active(self) -> Iterator[Sample]:
        """Return the active calls, with 0 for unused label sets: else Prometheus shows their last value for minutes."""
        numbers = Count(dict.fromkeys(self._ever_active, 0))
        for call in self._ledger.active.copy():
            facts = call.result
            labels = self._metrics.labels(
                facts.endpoint.operation,
                facts.endpoint.api_type,
                facts.provider,
                facts.request_model,
                facts.attributes,
            )
            if labels not in numbers:
                labels = self._metrics.admitted(labels, numbers) or self._metrics.folded(labels)
            numbers[labels] += 1
        self._ever_active.update(numbers)
        return (Sample(ACTIVE.name, labels, number, cumulative=False) for labels, number in numbers.items())

    def _own(self) -> Iterator[Sample]:
        stats = self._ledger.stats()
        logs, metrics, samples = (("signal", "logs"),), (("signal", "metrics"),), (("signal", "samples"),)
        yield Sample(PRODUCED.name, metrics, stats.calls)
        yield Sample(DELIVERED.name, metrics, stats.folded)
        # The processes that produced the adopted ones have counted them.
        yield Sample(PRODUCED.name, logs, stats.produced - stats.adopted)
        yield Sample(DELIVERED.name, logs, stats.delivered)
        if stats.samples.produced:
            yield Sample(PRODUCED.name, samples, stats.samples.produced)
            yield Sample(DELIVERED.name, samples, stats.samples.delivered)
            yield Sample(QUEUED.name, samples, stats.samples.queued, cumulative=False)
        dropped_by_signal = ((metrics, stats.metrics_dropped), (logs, stats.dropped), (samples, stats.samples.dropped))
        for signal, dropped in dropped_by_signal:
            for reason, number in dropped.items():
                yield Sample(DROPPED.name, (*signal, ("reason", reason)), number)
        if stats.totals_refused:
            yield Sample(DROPPED.name, (("signal", "totals"), ("reason", "rejected")), stats.totals_refused)
        yield Sample(FOLDED.name, metrics, self._folded_label_sets())
        yield Sample(QUEUED.name, metrics, stats.metrics_queued, cumulative=False)
        yield Sample(QUEUED.name, logs, stats.queued, cumulative=False)
        yield Sample(IN_FLIGHT.name, logs, stats.in_flight, cumulative=False)
        if stats.spool_bytes:
            yield Sample(SPOOL_BYTES.name, (), stats.spool_bytes, cumulative=False)
        for signal, at_ns in ((metrics, stats.last_push_ns), (logs, stats.last_delivery_ns)):
            if at_ns is not None:
                yield Sample(LAST_SUCCESS.name, signal, at_ns / 1e9, cumulative=False)
        for provider, date in self.price_dates.items():
            yield Sample(PRICES_DATE.name, (("gen_ai_provider_name", provider),), date, cumulative=False)
        yield from histogram_samples(SEND_SECONDS.name, self._send_seconds)

"""The legacy samples that wait for a push. Outlives an exporter whose thread died.

Each sample of a series has a later millisecond than the one before, because Prometheus keeps one per millisecond.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from monitored_openai._exporter.delivery.pacer import Pacer
from monitored_openai._metrics.store import OTHER

if TYPE_CHECKING:
    from monitored_openai._exporter.encoders.protocols import Protocol
    from monitored_openai._exporter.ledger import DeliveryLedger
    from monitored_openai._legacy_series import CallSamples
    from monitored_openai._stats import DropReason

MAX_SAMPLES = 2000
"""Samples in one request."""
MAX_WAITING = 50_000
"""Samples in memory; a further call's samples are dropped and counted."""
_MAX_AHEAD_MS = 600_000
"""Prometheus 2.42 accepts samples from further in the future, and then refuses the current samples of all senders."""


class SamplePoint(NamedTuple):
    """A sample, and the encoded labels of its series."""

    labels: bytes
    value: float
    milliseconds: int


class SampleQueue:
    """Samples in the order of time, and the batch in flight."""

    def __init__(
        self, ledger: DeliveryLedger, *, protocol: Protocol, labels: Mapping[str, str], max_models: int
    ) -> None:
        """`labels` go on every series; beyond `max_models` models, the label `model` is `other`."""
        self.protocol = protocol
        self.pacer = Pacer(MAX_SAMPLES)
        self._ledger = ledger
        self._own_labels = labels
        self._max_models = max_models
        self._encoded: dict[tuple[str, str], dict[str, bytes]] = {}
        self._last_ms: dict[tuple[str, str], int] = {}
        self._waiting: deque[SamplePoint] = deque()
        self._in_flight: Sequence[SamplePoint] = ()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, call: CallSamples, at_ns: int) -> bool:
        """Queue the samples of a call, at the time of its end; false if they are dropped."""
        number = len(call.values)
        self._ledger.record_samples_produced(number)
        if len(self._waiting) + number > MAX_WAITING:
            self._ledger.record_samples_dropped(number, "queue_full")
            return False
        source_and_model = self._admitted(call.source, call.model)
        at_ms = at_ns // 1_000_000
        milliseconds = max(at_ms, self._last_ms.get(source_and_model, 0) + 1)
        if milliseconds - at_ms > _MAX_AHEAD_MS:
            self._ledger.record_samples_dropped(number, "clock")
            return False
        self._last_ms[source_and_model] = milliseconds
        self._waiting.extend(
            SamplePoint(self._labels_of(source_and_model, name), value, milliseconds)
            for name, value in call.values.items()
        )
        return True

    def take(self) -> Sequence[SamplePoint]:
        """Move the oldest samples, as many as one request may hold, to the batch in flight."""
        number = min(len(self._waiting), MAX_SAMPLES)
        self._in_flight = [self._waiting.popleft() for _ in range(number)]
        return self._in_flight

    def put_back(self) -> None:
        """Requeue the batch in flight, after the thread that sent it has died."""
        self._waiting.extendleft(reversed(self._in_flight))
        self._in_flight = ()

    def delivered(self, samples: int) -> None:
        """Forget the first samples of the batch in flight, which the back end accepted."""
        self._in_flight = self._in_flight[samples:]
        self._ledger.record_samples_delivered(samples)

    def drop(self, reason: DropReason, samples: int | None = None) -> None:
        """Drop the first samples of the batch in flight, all of them by default."""
        number = len(self._in_flight) if samples is None else samples
        self._in_flight = self._in_flight[number:]
        self._ledger.record_samples_dropped(number, reason)

    def encode(self, batch: Sequence[SamplePoint]) -> bytes:
        """Return the body of a request."""
        series: dict[bytes, list[tuple[float | None, int]]] = {}
        for point in batch:
            series.setdefault(point.labels, []).append((point.value, point.milliseconds))
        return self.protocol.encode_push(
            self.protocol.encode_series(labels, samples) for labels, samples in series.items()
        )

    def _admitted(self, source: str, model: str) -> tuple[str, str]:
        key = (source, model)
        return key if key in self._encoded or len(self._encoded) < self._max_models else (source, OTHER)

    def _labels_of(self, source_and_model: tuple[str, str], name: str) -> bytes:
        series = self._encoded.setdefault(source_and_model, {})
        if name not in series:
            source, model = source_and_model
            labels = {**self._own_labels, "source": source, "model": model}
            series[name] = self.protocol.encode_labels(name, labels.items())
        return series[name]

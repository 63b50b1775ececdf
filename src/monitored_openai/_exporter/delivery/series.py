"""Tracks which series the metrics back end has, and encodes pushes. Outlives an exporter whose thread died.

- A new counter begins with a zero at the time of the last push, so that `rate` and `increase` see its first value.
- No timestamp repeats or goes back.
- A stale marker withdraws a gauge that no longer exists. It is sent until the back end has accepted it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import accumulate, islice
from typing import TYPE_CHECKING, NamedTuple

from monitored_openai._exporter.delivery.pacer import Pacer
from monitored_openai._exporter.values import CounterSnapshot

if TYPE_CHECKING:
    from monitored_openai._exporter.encoders.protocols import Protocol
    from monitored_openai._exporter.metrics_state import MetricsState
    from monitored_openai._metrics.series import Labels, Sample

MAX_SERIES = 2000
"""Series in one request; Prometheus itself sends as many samples."""
_MAX_SAMPLES = 2 * MAX_SERIES
"""Samples in one request: a new series has two."""
_LONGEST_LOOK_BACK_MS = 60_000


class Point(NamedTuple):
    """A series in a push: its encoded labels and present value, `None` to withdraw it."""

    labels: bytes
    value: float | None
    cumulative: bool


class PushedSeries:
    """Encodes the current series, and remembers which of them the back end has."""

    def __init__(
        self, metrics: MetricsState, *, protocol: Protocol, labels: Mapping[str, str], interval: float
    ) -> None:
        """`labels` go on every series; `interval`: seconds between pushes."""
        self.protocol = protocol
        self.interval = interval
        self.pacer = Pacer(_MAX_SAMPLES)
        self._metrics = metrics
        self._own_labels = tuple(labels.items())
        self._encoded: dict[tuple[str, Labels], bytes] = {}
        self._born: set[bytes] = set()
        self._shown: set[bytes] = set()
        """Gauges that the back end has."""
        self._being_born: set[bytes] = set()
        """New series of the request in flight, which may have arrived already."""
        self._last_ms = 0

    def points(self) -> list[Point]:
        """Return every current series, and the gauges to withdraw."""
        points = [
            Point(self._labels_of(sample), sample.value, sample.cumulative) for sample in self._metrics.push_samples()
        ]
        gone = self._shown.difference(point.labels for point in points)
        return points + [Point(labels, value=None, cumulative=False) for labels in gone]

    def part(self, points: Sequence[Point]) -> Sequence[Point]:
        """Return the first points that fit in one request, at least one."""
        births = self.births(points)
        samples = accumulate(1 + (point.labels in births) for point in points[:MAX_SERIES])
        return points[: max(1, sum(number <= self.pacer.size for number in samples))]

    def births(self, part: Sequence[Point]) -> set[bytes]:
        """Return the counters that the back end does not have yet."""
        return {point.labels for point in part if point.cumulative and point.labels not in self._born}

    def encode(self, part: Sequence[Point], births: set[bytes], born_ms: int, now_ms: int) -> bytes:
        """Return the body of a request, with a zero at `born_ms` for each series of `births`."""
        return self.protocol.encode_push(
            self.protocol.encode_series(
                point.labels,
                [(0.0, born_ms), (point.value, now_ms)] if point.labels in births else [(point.value, now_ms)],
            )
            for point in part
        )

    def tick(self) -> tuple[int, int]:
        """Return two times in ms: of the zeros that begin new series, and of this push.

        The zeros get the time of the last push, but at most 60 s before this one.
        """
        now_ms = max(time.time_ns() // 1_000_000, self._last_ms + 1)
        born_ms = self._born_at(now_ms)
        self._last_ms = now_ms
        return born_ms, now_ms

    def begin_request(self, births: set[bytes]) -> None:
        """Note the new series of the next request."""
        self._being_born = births

    def end_request(self, part: Sequence[Point], births: set[bytes], *, may_be_stored: bool) -> None:
        """Note the end of a request. If the back end may have stored it, its zeros must not be sent again."""
        self._being_born = set()
        if may_be_stored:
            self._born.update(births)
            self._shown.update(point.labels for point in part if not point.cumulative)

    def withdrawn(self, part: Sequence[Point]) -> None:
        """Forget the gauges that the back end has withdrawn."""
        self._shown.difference_update(point.labels for point in part if point.value is None)

    def snapshot(self) -> list[CounterSnapshot]:
        """Return the counters, without the gauges, for another process to push if this one dies."""
        points = (point for point in self.points() if point.cumulative)
        now_ms = max(time.time_ns() // 1_000_000, self._last_ms + 1)
        born_ms = self._born_at(now_ms)
        parts: list[CounterSnapshot] = []
        while part := list(islice(points, max(1, self.pacer.size // 2))):
            births = self.births(part) - self._being_born
            alone = self.encode(part, set(), born_ms, now_ms) if births else None
            parts.append(CounterSnapshot(self.encode(part, births, born_ms, now_ms), alone))
        return parts

    def _labels_of(self, sample: Sample) -> bytes:
        key = (sample.name, sample.labels)
        encoded = self._encoded.get(key)
        if encoded is None:
            encoded = self.protocol.encode_labels(sample.name, (*self._own_labels, *sample.labels))
            self._encoded[key] = encoded
        return encoded

    def _born_at(self, now_ms: int) -> int:
        before_ms = self._last_ms or now_ms - int(self.interval * 1000)
        return max(before_ms, now_ms - _LONGEST_LOOK_BACK_MS)

"""The series of a host: counter sums from the file, and gauges of the living processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from monitored_openai._exporter.delivery.series import MAX_SERIES, Point, PushedSeries
from monitored_openai._exporter.values import CounterSnapshot
from monitored_openai._metrics.series import Sample

if TYPE_CHECKING:
    from monitored_openai._exporter.encoders.protocols import Protocol
    from monitored_openai._exporter.host.file import State, Total
    from monitored_openai._exporter.metrics_state import MetricsState


class HostSeries(PushedSeries):
    """Encodes the series of all processes of the host, as the file records them."""

    def __init__(
        self,
        metrics: MetricsState,
        *,
        protocol: Protocol,
        labels: Mapping[str, str],
        interval: float,
        instance: str,
    ) -> None:
        """`labels` go on every series; `instance`: beginning of the label `instance`, before the epoch."""
        super().__init__(metrics, protocol=protocol, labels=labels, interval=interval)
        self._shared_labels = dict(labels)
        self._instance = instance
        self._epoch = ""
        self._planned: tuple[int, int] | None = None
        self._points: list[Point] = []
        self._births: dict[bytes, int] = {}
        """New series of this push, with their ids."""
        self._gauges: list[Sample] = []

    def load(self, state: State, totals: Sequence[Total], gauges: Sequence[Sample], shown: Sequence[Sample]) -> None:
        """Take the values of the next push; `shown`: gauges that the back end may have."""
        if state.epoch != self._epoch:
            self._epoch = state.epoch
            self._own_labels = tuple(self._labels_in(state.epoch).items())
            self._encoded.clear()
        self._last_ms = state.last_ms
        counters = [(self._labels_of(Sample(total.name, total.labels, total.value)), total) for total in totals]
        present = [Point(self._labels_of(gauge), gauge.value, cumulative=False) for gauge in gauges]
        labels = {point.labels for point in present}
        gone = [one for one in map(self._labels_of, shown) if one not in labels]
        self._points = [
            *(Point(encoded, total.value, cumulative=True) for encoded, total in counters),
            *present,
            *(Point(one, None, cumulative=False) for one in gone),
        ]
        self._born = {encoded for encoded, total in counters if total.is_born}
        self._births = {encoded: total.id for encoded, total in counters if not total.is_born}
        self._gauges = list(gauges)

    def points(self) -> list[Point]:
        """Return the loaded values."""
        return self._points

    def tick(self) -> tuple[int, int]:
        """Return two times in ms: the start of the new series, and this push. A second attempt has a later one."""
        planned, self._planned = self._planned, None
        return planned if planned is not None else super().tick()

    def plan(self) -> int:
        """Choose the time of the next push in ms, so that the file can record it before the push."""
        self._planned = super().tick()
        return self._planned[1]

    @property
    def unborn(self) -> list[int]:
        """Ids of the loaded new series that the back end certainly does not have."""
        return [number for encoded, number in self._births.items() if encoded not in self._born]

    def retired(self, epoch: str, totals: Sequence[Total]) -> list[CounterSnapshot]:
        """Return the last sums of a retired epoch, to push once more."""
        born_ms, now_ms = super().tick()
        own = tuple(self._labels_in(epoch).items())
        points = [
            Point(self.protocol.encode_labels(total.name, (*own, *total.labels)), total.value, cumulative=True)
            for total in totals
        ]
        births = {point.labels for point, total in zip(points, totals, strict=True) if not total.is_born}
        return [
            self._snapshot(points[start : start + MAX_SERIES], births, born_ms, now_ms)
            for start in range(0, len(points), MAX_SERIES)
        ]

    def _snapshot(
        self, part: Sequence[Point], births: AbstractSet[bytes], born_ms: int, now_ms: int
    ) -> CounterSnapshot:
        new = {point.labels for point in part} & births
        alone = self.encode(part, set(), born_ms, now_ms) if new else None
        return CounterSnapshot(self.encode(part, new, born_ms, now_ms), alone)

    def _labels_in(self, epoch: str) -> dict[str, str]:
        return {**self._shared_labels, "instance": f"{self._instance}:{epoch}"}

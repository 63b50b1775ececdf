"""The values of series: counters, histograms and the samples that back ends read."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat
from operator import add
from typing import NamedTuple

Label = tuple[str, str]
Labels = tuple[Label, ...]


class Sample(NamedTuple):
    """One value of one series."""

    name: str
    labels: Labels
    value: float
    cumulative: bool = True
    at: float = 0.0
    """Time of the response that the value comes from, in seconds since the epoch; 0 if the value is the current one."""


def bound_text(bound: float) -> str:
    """Return a bucket's bound in the format of Go, so that pushed and scraped series have the same label."""
    whole, _, _ = str(bound).partition(".")
    if bound < 1e6:
        return str(bound)
    return f"{whole[0]}.{whole[1:].rstrip('0') or '0'}e+{len(whole) - 1:02d}"


class Histogram:
    """The number of values in each bucket (not cumulative), and the sum of all values.

    Without bounds, it has no bucket series.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, values: Sequence[float]) -> None:
        """Count the values; a bucket includes its upper bound."""
        self.total += sum(values)
        if not self.bounds:
            self.counts[0] += len(values)
            return
        for value in values:
            self.counts[bisect_left(self.bounds, value)] += 1


def histogram_samples(
    name: str, series: Mapping[Labels, Histogram], labels_without_buckets: frozenset[str] = frozenset()
) -> Iterator[Sample]:
    """Yield the samples of a histogram's series; histograms that differ only in the named labels share buckets."""
    shared = {labels: tuple(one for one in labels if one[0] not in labels_without_buckets) for labels in series}
    counts: dict[Labels, list[int]] = {}
    for labels, histogram in series.items():
        counts[shared[labels]] = [*map(add, histogram.counts, counts.get(shared[labels], repeat(0)))]
    for labels, histogram in series.items():  # OpenMetrics requires that the series of one label set are adjacent
        texts = (*map(bound_text, histogram.bounds), "+Inf") if histogram.bounds else ()
        for text, cumulative in zip(texts, accumulate(counts.pop(shared[labels], ())), strict=False):
            yield Sample(f"{name}_bucket", (*shared[labels], ("le", text)), cumulative)
        yield Sample(f"{name}_sum", labels, histogram.total)
        yield Sample(f"{name}_count", labels, sum(histogram.counts))


@dataclass(slots=True)
class Counter:
    """A value that never decreases."""

    value: float = 0.0

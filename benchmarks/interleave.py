"""Rounds of the bare SDK and the monitored one, taken in turns, and the statistics of their differences.

A noisy machine drifts by more than what is measured here, so that two runs one after the other say nothing. Each round
runs bare, monitored, bare; the monitored cost is set against the mean of its two neighbours, which cancels a drift, and
the two bare ones against each other, which shows the noise that is left.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

Round = Callable[[], list[float]]
"""Runs one round of a workload: what an operation cost in each of its slices, in microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quartiles:
    """The middle half of the rounds."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The bare SDK beside the monitored one, in microseconds per operation.

    A round's cost is the median of its slices, and so what an operation usually costs; in `added_mean` it is their
    mean, on which the bursts of the exporter's thread fall as well, and those of other programs. `added_best` sets the
    best tenth of all slices beside the best tenth of the bare ones, which says most on a machine that others use.
    """

    bare: float
    added: Quartiles
    added_mean: float
    added_best: float
    noise: Quartiles
    """The bare SDK against itself."""

    @property
    def ratio(self) -> float:
        """How many times as much a monitored operation costs."""
        return (self.bare + self.added.median) / self.bare


def compare(bare: Round, monitored: Round, *, rounds: int) -> Comparison:
    """Run `rounds` rounds after one that does not count; the two bare runs change places from round to round.

    Raises:
        ValueError: `rounds` is below 2, of which there are no quartiles.
    """
    if rounds < 2:
        raise ValueError("quartiles need at least 2 rounds")
    bare()
    monitored()
    first: list[list[float]] = []
    second: list[list[float]] = []
    between: list[list[float]] = []
    for number in range(rounds):
        gc.collect()
        for runs, run in zip(
            (first, between, second)[:: -1 if number % 2 else 1], (bare, monitored, bare), strict=True
        ):
            runs.append(run())
    return Comparison(
        bare=statistics.median(statistics.median(costs) for costs in first + second),
        added=quartiles(_added(first, between, second, statistics.median)),
        added_mean=statistics.median(_added(first, between, second, statistics.fmean)),
        added_best=_best(between) - _best(first + second),
        noise=quartiles(
            [statistics.median(two) - statistics.median(one) for one, two in zip(first, second, strict=True)]
        ),
    )


def _added(
    first: list[list[float]],
    between: list[list[float]],
    second: list[list[float]],
    typical: Callable[[list[float]], float],
) -> list[float]:
    return [
        typical(ours) - (typical(one) + typical(two)) / 2 for one, ours, two in zip(first, between, second, strict=True)
    ]


def _best(rounds: list[list[float]]) -> float:
    """What nine tenths of all slices cost more than."""
    return statistics.quantiles(chain.from_iterable(rounds), n=10, method="inclusive")[0]


def quartiles(values: Sequence[float]) -> Quartiles:
    """The quartiles of at least two values, those included."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Quartiles(low=low, median=median, high=high)

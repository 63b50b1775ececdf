"""Alternate rounds of the bare SDK and the monitored one, and compute the statistics of their differences.

A noisy machine drifts by more than the measured cost, so two separate runs are not comparable. Each round runs bare,
monitored, bare. The difference between the monitored cost and the mean of the two bare ones cancels the drift; the
difference between the two bare ones shows the remaining noise.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

Round = Callable[[], list[float]]
"""Runs one round of a workload; returns the microseconds per operation of each slice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quartiles:
    """Quartiles of the rounds."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The monitored SDK compared with the bare one, in microseconds per operation.

    The cost of a round is the median of its slices, the usual cost of an operation. For `added_mean` it is their mean,
    which includes the bursts of the exporter's thread and of other programs. `added_best` compares the first deciles
    of all slices, the most reliable value on a shared machine.
    """

    bare: float
    added: Quartiles
    added_mean: float
    added_best: float
    noise: Quartiles
    """Difference between the two bare runs of a round."""

    @property
    def ratio(self) -> float:
        """Cost of a monitored operation divided by that of a bare one."""
        return (self.bare + self.added.median) / self.bare


def compare(bare: Round, monitored: Round, *, rounds: int) -> Comparison:
    """Compare `rounds` rounds, after one warm-up; every other round runs in reverse order.

    Raises:
        ValueError: `rounds` is below 2; quartiles need two values.
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
    """Return the first decile: nine tenths of all slices cost more."""
    return statistics.quantiles(chain.from_iterable(rounds), n=10, method="inclusive")[0]


def quartiles(values: Sequence[float]) -> Quartiles:
    """Return the quartiles of at least two values, by the inclusive method."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Quartiles(low=low, median=median, high=high)

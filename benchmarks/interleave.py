"""Rounds of the bare SDK and the monitored one, taken in turns, and the statistics of their differences.

A noisy machine drifts by more than what is measured here, so that two runs one after the other say nothing. Each round
runs bare, monitored, bare; the monitored figure is set against the mean of its two neighbours, which cancels a drift,
and the two bare figures against each other, which shows the noise that is left.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Round = Callable[[], float]
"""Runs one round of a workload; what one of its operations cost, in microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quartiles:
    """The middle half of the rounds."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The bare SDK beside the monitored one, in microseconds per operation."""

    bare: float
    added: Quartiles
    noise: Quartiles
    """The bare SDK against itself."""

    @property
    def ratio(self) -> float:
        """How many times as long a monitored operation takes."""
        return (self.bare + self.added.median) / self.bare


def compare(bare: Round, monitored: Round, *, rounds: int) -> Comparison:
    """Run `rounds` rounds, after one of each that does not count; the two bare ones change places from round to round.

    Raises:
        ValueError: `rounds` is below 2, of which there are no quartiles.
    """
    if rounds < 2:
        raise ValueError("quartiles need at least 2 rounds")
    bare(), monitored()
    first: list[float] = []
    second: list[float] = []
    added: list[float] = []
    for number in range(rounds):
        gc.collect()
        one, between, other = bare(), monitored(), bare()
        added.append(between - (one + other) / 2)
        first.append(other if number % 2 else one)
        second.append(one if number % 2 else other)
    return Comparison(
        bare=statistics.median(first + second),
        added=quartiles(added),
        noise=quartiles([b - a for a, b in zip(first, second, strict=True)]),
    )


def quartiles(values: Sequence[float]) -> Quartiles:
    """The quartiles of at least two values, those included."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Quartiles(low=low, median=median, high=high)

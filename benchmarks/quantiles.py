"""Compare quantiles estimated from buckets with the true ones: `python -m benchmarks.quantiles`.

The output is a Markdown table for docs/scaling.md. The values are random, with a fixed seed, so each run prints the same.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from monitored_openai._local.quantile import histogram_quantile
from monitored_openai._metrics.metric_set import COARSE_SECONDS, LEAN_SECONDS, Bounds
from monitored_openai._metrics.names import SECONDS
from monitored_openai._metrics.series import Histogram

_VALUES = 10_000
SHARES = (0.5, 0.95, 0.99)
DETAILS = {"full": SECONDS, "lean": LEAN_SECONDS, "coarse": COARSE_SECONDS}
_MEDIANS, _SIGMAS = (0.3, 0.7, 1.5, 3.0, 6.0, 12.0), (0.25, 0.5, 0.75, 1.0)
_BIMODAL_SIGMA = 0.4


@dataclass(frozen=True, slots=True)
class Shape:
    """A distribution of times: lognormal parts, each with its share and its median in seconds."""

    parts: tuple[tuple[float, float], ...]
    sigma: float

    @property
    def name(self) -> str:
        """The shape in words."""
        if len(self.parts) == 1:
            return f"median {self.parts[0][1]:g} s, sigma {self.sigma:g}"
        return " and ".join(f"{share:.0%} around {median:g} s" for share, median in self.parts)

    def values(self) -> list[float]:
        """Return random values in ascending order."""
        random = Random(self.name)  # noqa: S311  # the same values in each run
        medians = random.choices(
            [median for _, median in self.parts], weights=[share for share, _ in self.parts], k=_VALUES
        )
        return sorted(random.lognormvariate(math.log(median), self.sigma) for median in medians)


SHAPES = (
    *(Shape(((1.0, median),), sigma) for median in _MEDIANS for sigma in _SIGMAS),
    Shape(((0.7, 0.4), (0.3, 8.0)), _BIMODAL_SIGMA),
    Shape(((0.5, 0.3), (0.5, 3.0)), _BIMODAL_SIGMA),
    Shape(((0.9, 1.0), (0.1, 20.0)), _BIMODAL_SIGMA),
    Shape(((0.8, 0.5), (0.2, 30.0)), _BIMODAL_SIGMA),
    Shape(((0.96, 2.0), (0.04, 60.0)), _BIMODAL_SIGMA),
)
"""24 lognormal and 5 bimodal ones, with almost all values between 0.08 s and 163.84 s."""
OUTSIDE = (Shape(((1.0, 0.03),), 0.5), Shape(((1.0, 150.0),), 0.5))
"""Shapes with many values below the smallest lean bound, and above the largest."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The true quantiles of a shape in seconds, and the estimates by detail."""

    name: str
    truth: tuple[float, ...]
    estimates: dict[str, tuple[float, ...]]

    def errors(self, detail: str) -> list[float]:
        """Return the relative error of each quantile."""
        return [shown / true - 1 for shown, true in zip(self.estimates[detail], self.truth, strict=True)]


def compare(shape: Shape) -> Comparison:
    """Return the true and the estimated quantiles of a shape."""
    values = shape.values()
    truth = tuple(values[math.ceil(share * len(values)) - 1] for share in SHARES)
    estimates = {detail: _estimates(values, bounds) for detail, bounds in DETAILS.items()}
    return Comparison(shape.name, truth, estimates)


def _estimates(values: Sequence[float], bounds: Bounds) -> tuple[float, ...]:
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe((value,))
    cumulative, buckets = 0, {}
    for bound, counted in zip((*bounds, math.inf), histogram.counts, strict=True):
        cumulative += counted
        buckets[bound] = float(cumulative)
    return tuple(histogram_quantile(share, buckets) for share in SHARES)


def lines() -> Iterator[str]:
    """Yield the lines of the table."""
    compared, outside = ([compare(shape) for shape in shapes] for shapes in (SHAPES, OUTSIDE))
    heads = [f"error of `{detail}`, {len(bounds)} bounds" for detail, bounds in DETAILS.items()]
    yield f"| times of {_VALUES:,} calls | true p50, p95, p99 | {' | '.join(heads)} |"
    yield "|---|---|" + "---|" * len(DETAILS)
    for one in (*compared, *outside):
        errors = (", ".join(f"{error:+.0%}" for error in one.errors(detail)) for detail in DETAILS)
        yield f"| {one.name} | {', '.join(f'{true:.3g}' for true in one.truth)} s | {' | '.join(errors)} |"
    yield ""
    for detail in DETAILS:
        close = [sum(abs(one.errors(detail)[at]) <= 0.15 for one in compared) for at in range(len(SHARES))]
        yield (
            f"- `{detail}`: within 15 % in "
            + ", ".join(f"{number} (p{share * 100:g})" for number, share in zip(close, SHARES, strict=True))
            + f" of the first {len(compared)} rows"
        )


def main() -> int:
    """Print the table; return the exit status."""
    print("\n".join(lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

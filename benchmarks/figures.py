"""Results of a run, and their limits (bars)."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.interleave import Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A range that a result must stay in."""

    least: float | None = None
    most: float

    def is_met(self, value: float) -> bool:
        """True if the value is within the range."""
        return value <= self.most and (self.least is None or value >= self.least)

    def __str__(self) -> str:
        return f"= {self.most:,g}" if self.least == self.most else f"<= {self.most:,g}"


def at_most(value: float) -> Bar:
    """Return an upper limit."""
    return Bar(most=value)


def exactly(value: float) -> Bar:
    """Return a limit that only this value meets."""
    return Bar(least=value, most=value)


@dataclass(frozen=True, slots=True)
class Figure:
    """One number."""

    case: str
    what: str
    value: float
    unit: str
    bar: Bar | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """A case compared with the bare SDK, in microseconds; the bar limits the median added time."""

    case: str
    unit: str
    comparison: Comparison
    bar: Bar | None = None


Result = Figure | Compared

_COLUMNS = "{:<44} {:>9} {:>8} {:>17} {:>6} {:>8} {:>8} {:>22}  {}"


def heading(of: str) -> str:
    """Return the head of a table of comparisons."""
    columns = _COLUMNS.format(
        of, "bare us", "added", "[quartiles]", "ratio", "by mean", "at best", "A/A [quartiles]", "bar"
    )
    return f"\n{columns}\n{'-' * len(columns)}"


def line(result: Result) -> str:
    """Return one line of a table."""
    if isinstance(result, Figure):
        text = f"{result.case}: {result.what}"
        return f"{text:<96} {result.value:>12,.{0 if result.value == round(result.value) else 2}f} {result.unit:<6}" + (
            _verdict(result.bar, result.value)
        )
    compared = result.comparison
    added, noise = compared.added, compared.noise
    return _COLUMNS.format(
        f"{result.case}, per {result.unit}",
        f"{compared.bare:.1f}",
        f"{added.median:.1f}",
        f"[{added.low:.1f}, {added.high:.1f}]",
        f"{compared.ratio:.2f}",
        f"{compared.added_mean:.1f}",
        f"{compared.added_best:.1f}",
        f"{noise.median:.1f} [{noise.low:.1f}, {noise.high:.1f}]",
        _verdict(result.bar, added.median),
    ).rstrip()


def _verdict(bar: Bar | None, value: float) -> str:
    return "" if bar is None else f"{bar}: {'met' if bar.is_met(value) else 'MISSED'}"

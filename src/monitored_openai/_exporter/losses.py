"""Describes in one log line how much an exporter loses at its end, and why. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitored_openai._stats import DropReason, Stats

_NO_LOSS = ("sampled", "purged")
_NOT_SENT = "not sent in time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Why the data of each pusher is undelivered; empty if nothing was sent."""

    logs: str = ""
    metrics: str = ""
    samples: str = ""
    owes_totals: bool = False
    """True if totals are left that no process will push."""


def losses(stats: Stats, failures: Failures, reason: DropReason) -> str:
    """Describe the losses so far, and why those for `reason` occurred; empty if nothing is lost."""
    return "; ".join(_losses(stats, failures, reason))


def _losses(stats: Stats, failures: Failures, reason: DropReason) -> Iterator[str]:
    if lost := stats.dropped.get(reason):
        yield f"{lost} of {stats.produced} log entries ({failures.logs or _NOT_SENT})"
    if lost := stats.metrics_dropped.get(reason):
        yield f"{lost} of {stats.calls} calls in the metrics (not counted in time)"
    if failures.owes_totals:
        since = "since the last push" if stats.pushes else _of_calls(stats.folded)
        yield f"the totals {since} ({failures.metrics or _NOT_SENT})"
    if lost := stats.samples.dropped.get(reason):
        yield f"{lost} legacy samples ({failures.samples or _NOT_SENT})"
    if before := _in_words(stats.dropped, reason):
        yield f"log entries dropped before: {before}"
    if before := _in_words(stats.samples.dropped, reason):
        yield f"legacy samples dropped before: {before}"


def _of_calls(number: int) -> str:
    return "of 1 call" if number == 1 else f"of all {number} calls"


def _in_words(dropped: Mapping[str, int], reason: DropReason) -> str:
    return ", ".join(f"{number} ({of})" for of, number in dropped.items() if number and of not in (*_NO_LOSS, reason))

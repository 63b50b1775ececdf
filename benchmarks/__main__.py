"""Run the cases and print the cost that monitoring adds; `python -m benchmarks --help` lists the options."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import outage, short_processes, weight
from benchmarks.api import Clients, monitored
from benchmarks.calls import CASES, LARGE, SMALL
from benchmarks.figures import Compared, Figure, Result, at_most, heading, line
from benchmarks.interleave import Comparison
from benchmarks.measure import computing, waiting
from benchmarks.process import settings_for
from benchmarks.sink import back_end

_CPU = {"cpu-small": (SMALL, 1000, 100), "cpu-large": (LARGE, 400, 800)}
"""Case, calls in a round, and limit of the added CPU in microseconds per call."""
_CALLER = {"caller-small": (SMALL, 20), "caller-large": (LARGE, 20)}
"""Case, and limit of the CPU in microseconds that monitoring adds to the caller's thread."""
_OTHERS = ("outage", "loop", "memory", "import", "installed")
NAMES = (*CASES, *_CPU, *_CALLER, *_OTHERS)


def measure(names: list[str], rounds: int, share: float) -> Iterator[Result]:
    """Run cases and yield their results.

    Args:
        names: Names of the cases.
        rounds: Rounds of each comparison.
        share: Fraction of the work in each round or process; only 1 gives meaningful results.
    """
    if not set(names) <= set(_OTHERS):
        with back_end() as sink:
            clients = monitored(settings_for(sink.url))
            yield from _compared([name for name in names if name not in _OTHERS], clients, rounds, share)
            assert clients.monitoring is not None
            assert clients.monitoring.close().complete
    if "outage" in names:
        yield from outage.figures(rounds, share)
    if "loop" in names:
        yield from short_processes.tight_loop(round(20_000 * share))
    if "memory" in names:
        yield from short_processes.large_into_nowhere(round(3_000 * share))
    if "import" in names:
        yield from weight.imports(rounds)
    if "installed" in names:
        yield from weight.installed()


def _compared(names: list[str], clients: Clients, rounds: int, share: float) -> Iterator[Result]:
    """Yield the results of the cases that compare with the bare SDK in one process."""
    waited: dict[str, Comparison] = {}
    for name in names:
        if name in CASES:
            case = CASES[name]
            waited[name] = waiting(case, clients, rounds=rounds, share=share)
            yield Compared(case.name, case.unit, waited[name], None if case.bar is None else at_most(case.bar))
        elif name in _CALLER:
            case, bar = _CALLER[name]
            worked = waiting(case, clients, rounds=rounds, share=share, clock=time.thread_time)
            yield Compared(f"CPU of the caller's thread: {case.name}", case.unit, worked, at_most(bar))
        else:
            case, calls, bar = _CPU[name]
            computed = computing(case, clients, rounds=rounds, operations=max(1, round(calls * share)))
            yield Compared(f"CPU: {case.name}", case.unit, computed, at_most(bar))
    if {"small", "error"} <= waited.keys():
        success, failure = waited["small"], waited["error"]
        more = failure.added.median - success.added.median
        noise = max(success.noise.high - success.noise.low, failure.noise.high - failure.noise.low)
        yield Figure(
            "error (400)",
            "added beyond the cost of a successful call; the bar is the noise",
            more,
            "us",
            at_most(noise),
        )


def main(arguments: list[str] | None = None) -> None:
    """Run the cases that the command line names, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the cost of monitoring.")
    parser.add_argument("--case", action="append", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of each comparison (20)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, only to check that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to this file")
    options = parser.parse_args(arguments)
    names, rounds, share = options.case or list(NAMES), options.rounds, 1.0
    if options.quick:
        rounds, share = min(rounds, 3), 0.1
    results: list[Result] = []
    print(_where())
    if not set(names) <= set(_OTHERS) - {"outage"}:
        print(heading("added to"))
    for result in measure(names, rounds, share):
        print(line(result), flush=True)
        results.append(result)
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1), encoding="utf-8")


def _where() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("openai", "pydantic", "httpx"))
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}, {packages}, {sys.platform}"


if __name__ == "__main__":
    main()

"""Runs the cases and prints what monitoring adds to each; `python -m benchmarks --help` lists the options."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import chain
from pathlib import Path

from benchmarks import lives, weight
from benchmarks.api import Clients, monitored
from benchmarks.calls import CASES, LARGE, SMALL
from benchmarks.figures import Compared, Figure, Result, at_most, heading, line
from benchmarks.measure import computing, waiting
from benchmarks.process import settings_for
from benchmarks.sink import back_end

_CPU = {"cpu-small": (SMALL, 1000, 100), "cpu-large": (LARGE, 400, 800)}
"""Case, calls in a round, and the microseconds of CPU that may be added to a call."""
_OTHERS = ("loop", "memory", "import", "installed")
NAMES = (*CASES, *_CPU, *_OTHERS)


def compared(names: list[str], rounds: int, share: float) -> Iterator[Compared]:
    """The cases that are set beside the bare SDK in one process."""
    if set(names) <= set(_OTHERS):
        return
    with back_end() as sink:
        clients = monitored(settings_for(sink.url))
        for name in (name for name in names if name in CASES):
            case = CASES[name]
            comparison = waiting(case, clients, rounds=rounds, share=share)
            yield Compared(case.name, case.unit, comparison, None if case.bar is None else at_most(case.bar))
        for name in (name for name in names if name in _CPU):
            case, calls, bar = _CPU[name]
            comparison = computing(case, clients, rounds=rounds, operations=round(calls * share))
            yield Compared(f"CPU: {case.name}", case.unit, comparison, at_most(bar))
        _close(clients)


def _close(clients: Clients) -> None:
    assert clients.monitoring is not None
    assert clients.monitoring.close().complete


def others(names: list[str], rounds: int, share: float) -> Iterator[Figure]:
    """The cases in processes of their own."""
    if "loop" in names:
        yield from lives.tight_loop(round(20_000 * share))
    if "memory" in names:
        yield from lives.large_into_nowhere(round(3_000 * share))
    if "import" in names:
        yield from weight.imports(rounds)
    if "installed" in names:
        yield from weight.installed()


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What monitoring costs.")
    parser.add_argument("--case", action="append", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of each comparison (20)")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything: shows that it runs, no more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(arguments)
    names, rounds, share = options.case or list(NAMES), options.rounds, 1.0
    if options.quick:
        rounds, share = min(rounds, 3), 0.1
    results: list[Result] = []
    print(_where())
    if not set(names) <= set(_OTHERS):
        print(heading("added to"))
    for result in chain(compared(names, rounds, share), others(names, rounds, share)):
        print(line(result), flush=True)
        results.append(result)
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1), encoding="utf-8")


def _where() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("openai", "pydantic", "httpx"))
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}, {packages}, {sys.platform}"


if __name__ == "__main__":
    main()

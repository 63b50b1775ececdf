"""Measure two versions of this library beside the bare SDK: `python -m benchmarks.versions --beside PATH`.

On a noisy machine, the speed of the processor drifts by more than the measured cost. One process for each version and
two for the bare SDK therefore perform short blocks in turns, of less than a second each, and in an order that rotates.
The output is a Markdown table of microseconds for each operation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from benchmarks import child
from benchmarks.api import CHUNKS
from benchmarks.block_process import Blocks, Reading
from benchmarks.calls import CASES
from benchmarks.child import ROOT
from benchmarks.interleave import Quartiles, quartiles
from benchmarks.sink import back_end

BLOCKS = {"small": 400, "large": 200, "stream": 8 * CHUNKS}
"""Operations in a block, by the name of the case."""
TURNS = 4
"""Blocks of each process in a round. The telemetry of a round is delivered at its end."""
BARE, AGAIN = "bare SDK", "bare SDK again"
MEASURES = {
    "waited": "time in a tight loop",
    "caller": "CPU of the caller's thread",
    "computed": "CPU of all threads",
}
Costs = Mapping[str, Reading]
"""Microseconds per operation in one round, by the name of the version."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A process that performs blocks on request."""

    process: subprocess.Popen[str]

    def perform(self, operations: int) -> Reading:
        """Let the process perform operations, or deliver its telemetry if there are none; return its clocks."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{operations}\n")
        self.process.stdin.flush()
        return Reading(**json.loads(self.process.stdout.readline()))


@contextmanager
def measured(name: str, source: Path, url: str | None) -> Iterator[Measured]:
    """Run a process that imports the package from the folder `source`; `url` is `None` for the bare SDK."""
    work = json.dumps(asdict(Blocks(case=name, url=url)))
    with child.start("-m", "benchmarks.block_process", work, source=source) as process:
        try:
            yield Measured(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def rounds(name: str, sources: Mapping[str, Path], number: int, operations: int) -> Iterator[Costs]:
    """Yield the costs of each round, after one that warms the processes up.

    Args:
        name: Name of the case.
        sources: Folders with the versions of the package, by the name of the version.
        number: Number of rounds.
        operations: Operations in a block.
    """
    with ExitStack() as stack:
        sink = stack.enter_context(back_end())
        bare = {version: (next(iter(sources.values())), None) for version in (BARE, AGAIN)}
        processes = {
            version: stack.enter_context(measured(name, source, url))
            for version, (source, url) in (bare | {one: (source, sink.url) for one, source in sources.items()}).items()
        }
        before = _round(processes, operations)
        for _ in range(number):
            after = _round(processes, operations)
            yield {one: _costs(before[one], after[one], TURNS * operations) for one in processes}
            before = after


def _round(processes: Mapping[str, Measured], operations: int) -> Mapping[str, Reading]:
    order = list(processes)
    for _ in range(TURNS):
        for version in order:
            processes[version].perform(operations)
        order = [*order[1:], order[0]]
    return {version: process.perform(0) for version, process in processes.items()}


def _costs(before: Reading, after: Reading, operations: int) -> Reading:
    clocks = (one.name for one in fields(Reading))
    return Reading(**{name: (getattr(after, name) - getattr(before, name)) * 1e6 / operations for name in clocks})


def rows(name: str, costs: Sequence[Costs]) -> Iterator[str]:
    """Yield a row for each measure of a case: medians over the rounds, with the first and third quartiles."""
    case = CASES[name]
    for measure, text in MEASURES.items():
        of = {version: [getattr(one[version], measure) for one in costs] for version in costs[0]}
        bare = [(one + two) / 2 for one, two in zip(of[BARE], of[AGAIN], strict=True)]
        differences = {
            version: [one - base for one, base in zip(found, bare, strict=True)] for version, found in of.items()
        }
        noise = [two - one for one, two in zip(of[BARE], of[AGAIN], strict=True)]
        shown = [noise, *(differences[version] for version in costs[0] if version not in (BARE, AGAIN))]
        cells = [f"{quartiles(bare).median:,.1f}", *(_cell(quartiles(one)) for one in shown)]
        yield f"| {case.name}, per {case.unit} | {text} | {' | '.join(cells)} |"


def _cell(found: Quartiles) -> str:
    return f"{found.median:,.1f} [{found.low:,.1f}, {found.high:,.1f}]"


def head(versions: Sequence[str]) -> str:
    """Return the head of the table."""
    columns = ("operation", "measure", BARE, "A/A", *(f"added by {version}" for version in versions))
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the cases that the command line names, or all, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.versions",
        description="Measure this checkout and another one beside the bare SDK, in turns.",
    )
    names = ", ".join(BLOCKS)
    parser.add_argument("--beside", type=Path, metavar="PATH", help="the other checkout")
    parser.add_argument("--case", action="append", choices=BLOCKS, metavar="NAME", help=f"one of {names}")
    parser.add_argument("--rounds", type=int, default=16, help="number of rounds (16)")
    options = parser.parse_args(arguments)
    sources = {} if options.beside is None else {options.beside.name: options.beside.resolve() / "src"}
    sources |= {"this checkout": ROOT / "src"}
    print(head(list(sources)))
    for name in options.case or BLOCKS:
        for line in rows(name, list(rounds(name, sources, options.rounds, BLOCKS[name]))):
            print(line, flush=True)


if __name__ == "__main__":
    main()

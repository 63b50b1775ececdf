"""Count the instructions of a call with valgrind's callgrind: `python -m benchmarks.instructions`.

On a noisy machine, times differ from run to run by more than the measured cost. Instructions differ by 2 % or less. Each
round counts the bare SDK and the monitored client in separate processes. The output is a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.api import CHUNKS
from benchmarks.calls import CASES
from benchmarks.child import ROOT
from benchmarks.counted_process import Count
from benchmarks.sink import back_end

OPERATIONS = {"small": 200, "large": 100, "stream": 8 * CHUNKS}
"""Calls or chunks that each process counts, by the name of the case."""
_WARM_UPS = 8
"""The warm-up is this part of the operations."""
_INSTALLED = ROOT / ".cache" / "valgrind" / "usr"
_TOTAL = re.compile(r"^totals: (\d+)$", re.MULTILINE)
_SECONDS = 1800
BARE = "bare SDK"


@dataclass(frozen=True, slots=True)
class Instructions:
    """Instructions of one operation."""

    caller: float
    """Those of the caller's thread."""
    exporter: float = 0.0
    """Those of all other threads."""

    @property
    def total(self) -> float:
        """Instructions of all threads."""
        return self.caller + self.exporter


class NoValgrind(Exception):
    """Valgrind is not installed."""


def valgrind(installed: Path = _INSTALLED) -> tuple[Path, Path, Mapping[str, str]]:
    """Return the programs `valgrind` and `vgdb`, and the environment that they need.

    Args:
        installed: Folder in which `scripts/install-valgrind` puts them.

    Raises:
        NoValgrind: Neither `PATH` nor `scripts/install-valgrind` has them.
    """
    if (installed / "bin" / "valgrind").exists():
        tools = {"VALGRIND_LIB": str(installed / "libexec" / "valgrind")}
        return installed / "bin" / "valgrind", installed / "bin" / "vgdb", tools
    program, control = shutil.which("valgrind"), shutil.which("vgdb")
    if program is None or control is None:
        raise NoValgrind(
            "valgrind is missing. On Debian and Ubuntu, scripts/install-valgrind downloads it into .cache/ without root, "
            "and `apt-get install valgrind` installs it for all users."
        )
    return Path(program), Path(control), {}


def read(threads: Iterable[str], operations: int) -> Instructions:
    """Return the instructions of one operation from callgrind's files, one for each thread; the first is the caller's."""
    caller, *others = (int(found[1]) if (found := _TOTAL.search(text)) else 0 for text in threads)
    return Instructions(caller / operations, sum(others) / operations)


def count(name: str, source: Path, url: str | None, operations: int) -> Instructions:
    """Count the instructions of a case in a process that imports the package from the folder `source`.

    Args:
        name: Name of the case.
        source: Folder with the package.
        url: URL of the back end; `None` for the bare SDK.
        operations: Calls or chunks to count.
    """
    program, control, tools = valgrind()
    warm_up = max(_one_call(name), operations // _WARM_UPS)
    work = Count(case=name, url=url, operations=operations, warm_up=warm_up, switch=(str(control),))
    paths = os.pathsep.join((str(source), str(ROOT)))
    environment = {**os.environ, **tools, "PYTHONPATH": paths, "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory() as folder:
        counting = ["-q", "--tool=callgrind", "--separate-threads=yes", "--instr-atstart=no"]
        python = [sys.executable, "-m", "benchmarks.counted_process", json.dumps(asdict(work))]
        command = [str(program), *counting, f"--callgrind-out-file={folder}/thread", *python]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=_SECONDS)
        threads = sorted(Path(folder).glob("thread-*"))
        return read((path.read_text(encoding="utf-8") for path in threads), operations)


def _one_call(name: str) -> int:
    return CHUNKS if CASES[name].unit == "chunk" else 1


def rounds(
    name: str, sources: Mapping[str, Path], number: int, operations: int
) -> Iterator[Mapping[str, Instructions]]:
    """Yield the counts of each round, by the name of the version; the bare SDK is the first."""
    with back_end() as sink:
        for _ in range(number):
            bare = {BARE: count(name, next(iter(sources.values())), None, operations)}
            yield bare | {version: count(name, source, sink.url, operations) for version, source in sources.items()}


def row(name: str, counts: Sequence[Mapping[str, Instructions]]) -> Iterator[str]:
    """Yield the rows of a case, in thousands of instructions: medians over the rounds, and the spread of the total."""
    case = CASES[name]
    bare = statistics.median(one[BARE].total for one in counts)
    for version in counts[0]:
        found = [one[version] for one in counts]
        caller, exporter, total = (
            statistics.median(getattr(one, part) for one in found) for part in ("caller", "exporter", "total")
        )
        spread = max(one.total for one in found) - min(one.total for one in found)
        added = ("", "", "") if version == BARE else (caller - bare, exporter, total - bare)
        cells = [value if isinstance(value, str) else f"{value / 1e3:,.1f}" for value in (total, *added, spread)]
        yield f"| {case.name}, per {case.unit} | {version} | {' | '.join(cells)} | {total / bare:.3f} |"


HEAD = (
    "| operation | version | all | added: caller's thread | added: exporter's thread | added: all | spread | ratio |\n"
    "|---|---|---|---|---|---|---|---|"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Count the cases that the command line names, or all, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions",
        description="Count the instructions that monitoring adds to the bare SDK. Needs valgrind.",
    )
    names = ", ".join(OPERATIONS)
    parser.add_argument("--case", action="append", choices=OPERATIONS, metavar="NAME", help=f"one of {names}")
    parser.add_argument("--rounds", type=int, default=2, help="number of rounds (2)")
    parser.add_argument(
        "--beside", type=Path, metavar="PATH", help="also count another checkout, in turns with this one"
    )
    parser.add_argument("--quick", action="store_true", help="a twentieth of the work, only to check that it runs")
    options = parser.parse_args(arguments)
    try:
        valgrind()
    except NoValgrind as error:
        parser.error(str(error))
    sources = {} if options.beside is None else {options.beside.name: options.beside.resolve() / "src"}
    sources |= {"this checkout": ROOT / "src"}
    print(HEAD)
    for name in options.case or OPERATIONS:
        operations = max(_one_call(name), OPERATIONS[name] // (20 if options.quick else 1))
        for line in row(name, list(rounds(name, sources, options.rounds, operations))):
            print(line, flush=True)


if __name__ == "__main__":
    main()

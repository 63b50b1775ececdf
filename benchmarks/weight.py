"""Measure the import time of the package, and the size of its installation."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks import child
from benchmarks.figures import Figure, at_most

_PACKAGE = "monitored-openai"
_PLAIN = child.ROOT / ".venv-demo" / "bin" / "python"
"""Interpreter of an environment with only the package, because httpx imports click and rich if they are installed."""


def imports(rounds: int) -> Iterator[Figure]:
    """Yield the time that `import monitored_openai` adds to `import openai`, with cached bytecode."""
    name, python = ("import", str(_PLAIN)) if _PLAIN.exists() else ("import, with all extras", sys.executable)
    both = ("import openai", "import openai, monitored_openai")
    for program in both:
        _seconds(program, python)  # writes the bytecode cache
    bare, ours = zip(*(_turn(both, python, back=bool(number % 2)) for number in range(rounds)), strict=True)
    added = statistics.median(b - a for a, b in zip(bare, ours, strict=True))
    yield Figure(name, "the bare SDK, whole process", statistics.median(bare) * 1e3, "ms")
    yield Figure(name, "added", added * 1e3, "ms", at_most(60))


def _turn(programs: tuple[str, str], python: str, *, back: bool) -> tuple[float, float]:
    first, second = (_seconds(program, python) for program in programs[:: -1 if back else 1])
    return (second, first) if back else (first, second)


def _seconds(program: str, python: str) -> float:
    started = time.perf_counter()
    with child.start("-c", program, python=python) as process:
        assert process.wait() == 0, f"`{program}` failed"
    return time.perf_counter() - started


def installed() -> Iterator[Figure]:
    """Yield the number and the size of the distributions that the package adds to those of the SDK."""
    own = sum(
        path.stat().st_size for path in (child.ROOT / "src").rglob("*") if path.is_file() and path.suffix != ".pyc"
    )
    try:
        added = _closure(_PACKAGE) - _closure("openai") - {_PACKAGE}
    except PackageNotFoundError as error:
        print(f"cannot list the installed distributions: {error}")
        return
    size = own + sum(map(_size, added))
    yield Figure("installed", f"distributions added, itself and {', '.join(sorted(added))}", len(added) + 1, "")
    yield Figure("installed", "size added", size / 1e6, "MB")


def _closure(name: str) -> set[str]:
    """Return the canonical names of a distribution and its installed dependencies, without extras."""
    found: set[str] = set()
    missing = [canonicalize_name(name)]
    while missing:
        one = missing.pop()
        if one not in found:
            found.add(one)
            needs = map(Requirement, distribution(one).requires or ())
            missing += [canonicalize_name(need.name) for need in needs if not need.marker or need.marker.evaluate()]
    return found


def _size(name: str) -> int:
    """Return the bytes on disk, without bytecode."""
    paths = [Path(str(path.locate())) for path in distribution(name).files or () if path.suffix != ".pyc"]
    return sum(path.stat().st_size for path in paths if path.is_file())

"""`python -m benchmarks.instructions` reads callgrind's files correctly, and its processes make the calls they count."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.counted_process import Count, run
from benchmarks.instructions import BARE, OPERATIONS, Instructions, NoValgrind, read, row, valgrind
from benchmarks.sink import back_end

pytestmark = pytest.mark.once

_THREAD = """# callgrind format
version: 1
pid: 10090
thread: {number}
positions: line
events: Ir
summary: 0

fn=(1) _PyEval_EvalFrameDefault
12 34

totals: {total}
"""


def test_the_first_file_is_the_callers_thread() -> None:
    threads = [_THREAD.format(number=number, total=total) for number, total in ((1, 1000), (2, 300), (3, 50))]
    found = read(threads, operations=10)
    assert found == Instructions(caller=100, exporter=35)
    assert found.total == 135


def test_a_thread_that_ended_before_the_count_adds_nothing() -> None:
    assert read([_THREAD.format(number=1, total=1000), "# callgrind format\nversion: 1\n"], operations=10).total == 100


def test_rows_show_the_difference_to_the_bare_sdk_in_thousands() -> None:
    rounds = [
        {BARE: Instructions(5_000_000 + 2000 * number), "new": Instructions(5_100_000, 900_000 + 4000 * number)}
        for number in (0, 1)
    ]
    assert list(row("small", rounds)) == [
        "| small call, per call | bare SDK | 5,001.0 |  |  |  | 2.0 | 1.000 |",
        "| small call, per call | new | 6,002.0 | 99.0 | 902.0 | 1,001.0 | 4.0 | 1.200 |",
    ]


def test_a_missing_valgrind_is_an_error_that_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoValgrind, match="scripts/install-valgrind"):
        valgrind(tmp_path / "usr")


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_counted_process_makes_and_delivers_its_calls(name: str) -> None:
    per_call = 500 if name == "stream" else 1
    with back_end() as sink:
        run(Count(case=name, url=sink.url, operations=2 * per_call, warm_up=per_call, switch=("true",)))
        received = sink.received()
    assert (received.calls, received.entries) == (3, 3)

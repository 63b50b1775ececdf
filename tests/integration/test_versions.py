"""`python -m benchmarks.versions` measures each version's own processes, and shows their difference to the bare SDK."""

from __future__ import annotations

import pytest

from benchmarks.block_process import Blocks, Reading, perform
from benchmarks.child import ROOT
from benchmarks.sink import back_end
from benchmarks.versions import AGAIN, BARE, head, rounds, rows

pytestmark = pytest.mark.once


def reading(cost: float) -> Reading:
    return Reading(waited=cost, caller=cost / 10, computed=cost * 10)


def test_rows_show_the_difference_to_both_bare_processes() -> None:
    costs = [
        {BARE: reading(100), AGAIN: reading(110), "new": reading(added + 105), "old": reading(125)}
        for added in (10, 20, 30)
    ]
    all_threads = ("100.0 [100.0, 100.0]", "200.0 [150.0, 250.0]", "200.0 [200.0, 200.0]")
    assert list(rows("small", costs)) == [
        "| small call, per call | time in a tight loop | 105.0 | 10.0 [10.0, 10.0] | 20.0 [15.0, 25.0] | 20.0 [20.0, 20.0] |",
        "| small call, per call | CPU of the caller's thread | 10.5 | 1.0 [1.0, 1.0] | 2.0 [1.5, 2.5] | 2.0 [2.0, 2.0] |",
        f"| small call, per call | CPU of all threads | 1,050.0 | {' | '.join(all_threads)} |",
    ]
    assert head(["new", "old"]).count("|") == 14


@pytest.mark.parametrize("name", ["small", "stream"])
def test_a_process_performs_what_its_input_requests(name: str) -> None:
    per_call = 500 if name == "stream" else 1
    with back_end() as sink:
        readings = list(perform(Blocks(case=name, url=sink.url), [f"{2 * per_call}\n", "0\n", f"{per_call}\n"]))
        received = sink.received()
    assert (received.calls, received.entries) == (3, 3)
    first, delivered, last = readings
    assert 0 < first.caller <= first.computed < delivered.computed < last.computed
    assert first.waited == delivered.waited < last.waited


def test_each_version_has_a_process_of_its_own() -> None:
    for costs in rounds("small", {"this": ROOT / "src"}, 1, operations=2):
        assert list(costs) == [BARE, AGAIN, "this"]
        assert all(one.computed > 0 for one in costs.values())

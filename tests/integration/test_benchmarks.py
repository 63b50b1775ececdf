"""The benchmarks run, and their statistics are correct; `make bench` measures."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, cycle
from pathlib import Path

import pytest

from benchmarks import outage, short_processes, weight
from benchmarks.__main__ import main
from benchmarks.api import CHUNKS, Clients, monitored, prose
from benchmarks.calls import CASES, LARGE, Case
from benchmarks.figures import Compared, Figure, at_most, exactly, line
from benchmarks.interleave import Comparison, Quartiles, compare, quartiles
from benchmarks.measure import computing, waiting
from benchmarks.process import WARM_UP, Life, settings_for
from benchmarks.sink import BackEnd, back_end

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def sink() -> Iterator[BackEnd]:
    with back_end() as running:
        yield running


@pytest.fixture(scope="module")
def clients(sink: BackEnd) -> Iterator[Clients]:
    made = monitored(settings_for(sink.url))
    yield made
    assert made.monitoring is not None
    made.monitoring.close()


def costs(of: Callable[[], float], slices: int = 1) -> Callable[[], list[float]]:
    return lambda: [of() for _ in range(slices)]


def test_what_is_added_is_the_difference_to_the_bare_rounds_around() -> None:
    found = compare(costs(lambda: 500.0), costs(lambda: 520.0), rounds=5)
    assert found.bare == 500
    assert found.added == Quartiles(low=20, median=20, high=20)
    assert found.noise == Quartiles(low=0, median=0, high=0)
    assert found.ratio == pytest.approx(1.04)


def test_a_machine_that_slows_down_steadily_adds_nothing() -> None:
    clock = count(100)
    found = compare(costs(lambda: float(next(clock))), costs(lambda: float(next(clock))), rounds=6)
    assert found.added == Quartiles(low=0, median=0, high=0)


def test_the_two_bare_rounds_change_places_so_that_the_first_is_not_always_the_favoured_one() -> None:
    turn = cycle([110.0, 100.0])
    warm_up = [100.0]
    found = compare(costs(lambda: warm_up.pop() if warm_up else next(turn)), costs(lambda: 105.0), rounds=4)
    assert found.noise.median == 0
    assert found.noise.high == 10


def test_a_burst_counts_for_the_mean_and_not_for_what_is_usual() -> None:
    slices = cycle([10.0] * 9 + [110.0])
    found = compare(costs(lambda: 10.0, slices=10), costs(lambda: next(slices), slices=10), rounds=3)
    assert found.added.median == 0
    assert found.added_mean == pytest.approx(10)
    assert found.added_best == 0


def test_one_round_has_no_quartiles() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        compare(costs(lambda: 1.0), costs(lambda: 1.0), rounds=1)


def test_quartiles_are_those_of_the_values_given() -> None:
    assert quartiles([5, 1, 4, 2, 3]) == Quartiles(low=2, median=3, high=4)


@pytest.mark.parametrize(
    ("bar", "value", "verdict"),
    [(at_most(20), 20, "met"), (at_most(20), 20.1, "MISSED"), (exactly(7), 7, "met"), (exactly(7), 6, "MISSED")],
)
def test_a_line_says_whether_the_bar_is_met(bar: object, value: float, verdict: str) -> None:
    comparison = Comparison(
        bare=1,
        added=Quartiles(low=0, median=value, high=9),
        added_mean=0,
        added_best=0,
        noise=Quartiles(low=0, median=0, high=0),
    )
    assert line(Figure("case", "what", value, "us", bar)).endswith(f": {verdict}")  # type: ignore[arg-type]
    assert line(Compared("case", "call", comparison, bar)).endswith(f": {verdict}")  # type: ignore[arg-type]


def test_prose_has_the_size_asked_for_and_compresses_like_prose() -> None:
    text = prose(20_000)
    assert len(text.encode()) == 20_000
    assert text == prose(20_000)
    assert 2 < 20_000 / len(zlib.compress(text.encode())) < 4


@pytest.mark.parametrize("name", CASES)
def test_each_case_runs_and_delivers_every_call(name: str, clients: Clients, sink: BackEnd) -> None:
    assert clients.monitoring is not None
    case = CASES[name]
    before, delivered = clients.monitoring.stats().calls, sink.received()
    found = waiting(_smaller(case), clients, rounds=2, share=0.01)
    after, arrived = clients.monitoring.stats().calls, sink.received()
    assert found.bare > 0
    made = 3 * (_smaller(case).at_once // (CHUNKS if case.unit == "chunk" else 1))
    assert after - before == made
    assert (arrived.calls - delivered.calls, arrived.entries - delivered.entries) == (made, made)


def _smaller(case: Case) -> Case:
    """One slice of the case, and not more than two streams in it: enough to see that it runs."""
    return replace(case, slices=1, at_once=min(case.at_once, 2 * CHUNKS))


@pytest.mark.alone
def test_the_cpu_of_delivery_is_counted(clients: Clients) -> None:
    found = computing(LARGE, clients, rounds=2, operations=50)
    assert found.added.low > 0


def test_a_tight_loop_is_counted_exactly_and_its_figures_are_told() -> None:
    figures = {figure.what: figure for figure in short_processes.tight_loop(20)}
    for what in ("calls in the metrics", "log entries"):
        assert figures[what].value == 20 + WARM_UP
        assert figures[what].bar == exactly(20 + WARM_UP)
    assert figures["memory added by the package at rest"].value > 0


def test_memory_and_exit_with_a_back_end_that_never_answers_are_told() -> None:
    figures = {figure.what: figure for figure in short_processes.large_into_nowhere(3)}
    assert figures.keys() == {"memory added", "exit"}
    assert figures["exit"].value > 1, "the exit did not wait for the back end"


def test_what_an_outage_costs_with_a_spool_is_told() -> None:
    found = list(outage.figures(rounds=2, share=0.01))
    compared = [one.case for one in found if isinstance(one, Compared)]
    assert [case.partition(",")[0] for case in compared] == ["small call", "large call: 20 KB in", "CPU: small call"]
    assert all(one.value != 0 for one in found if isinstance(one, Figure))


def test_a_process_that_fails_ends_the_run() -> None:
    with pytest.raises(RuntimeError, match="ended with 1"):
        short_processes.run(Life(url="not a URL", calls=1))


@pytest.mark.alone
def test_the_import_and_what_is_installed_are_told() -> None:
    figures = [*weight.imports(rounds=3), *weight.installed()]
    assert figures[1].what == "added"
    assert figures[1].value < figures[0].value


def test_the_command_prints_a_table_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--quick", "--case", "small", "--case", "error", "--json", str(tmp_path / "figures.json")])
    printed = capsys.readouterr().out
    assert "small call, per call" in printed
    written = json.loads((tmp_path / "figures.json").read_text())
    assert [figure["case"] for figure in written] == ["small call", "error (400)", "error (400)"]
    assert written[0]["comparison"]["added"].keys() == {"low", "median", "high"}


def test_an_unknown_case_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--case", "everything"])
    assert "invalid choice" in capsys.readouterr().err

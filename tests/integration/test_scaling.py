"""The measurements behind the page on scaling: a small fleet, and estimated percentiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fleet import QUERIES, figures
from benchmarks.quantiles import OUTSIDE, SHAPES, compare, lines
from benchmarks.series import MODES, count, settings_of
from tests.support.servers.prometheus import Prometheus, require_prometheus

pytestmark = pytest.mark.once
PROCESSES = 5
PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"


def test_a_fleet_is_so_many_times_one_process() -> None:
    require_prometheus()

    told = {figure.what: figure.value for figure in figures(PROCESSES)}

    assert told["series in Prometheus"] == PROCESSES * told["series in all, three models and two features"]
    # a push while calls are in progress adds a gauge for each of the six combinations to the 281 series
    assert 281 <= told["series in all, three models and two features"] <= 287
    assert 38 <= told["series for each model and feature"] <= 44
    assert 12 <= told["series of its own"] <= 14
    assert len([what for what in told if what.startswith("query over")]) == len(QUERIES)


def test_a_cold_start_of_a_function_creates_about_sixty_series(tmp_path: Path) -> None:
    (lean,) = (mode for mode in MODES if mode.histograms == "lean" and not mode.shares_host)

    with Prometheus(require_prometheus(), tmp_path) as prometheus:
        assert 55 <= count(prometheus, "function", settings_of(lean, tmp_path), workers=1, models=1) <= 70


def test_lean_percentiles_are_no_worse_than_full_ones() -> None:
    compared = [compare(shape) for shape in SHAPES]

    assert len(compared) == 29
    assert len({one.name for one in compared}) == 29
    for one in compared:
        worse = [abs(lean) - abs(full) for lean, full in zip(one.errors("lean"), one.errors("full"), strict=True)]
        assert max(worse) <= 1e-9, one.name


def test_beyond_the_lean_bounds_full_is_better() -> None:
    for shape in OUTSIDE:
        one = compare(shape)
        assert sum(map(abs, one.errors("full"))) < sum(map(abs, one.errors("lean")))


def test_the_page_has_the_printed_table_of_percentiles() -> None:
    assert "\n".join(lines()).strip() in PAGE.read_text()

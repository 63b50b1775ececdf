"""The simulation behind the page on scaling, with a small fleet."""

from __future__ import annotations

import pytest

from benchmarks.fleet import QUERIES, figures
from tests.support.servers.prometheus import require_prometheus

pytestmark = pytest.mark.once
PROCESSES = 5


def test_a_fleet_is_so_many_times_one_process() -> None:
    require_prometheus()

    told = {figure.what: figure.value for figure in figures(PROCESSES)}

    assert told["series in Prometheus"] == PROCESSES * told["series in all, three models and two features"]
    assert 40 < told["series for each model and feature"] < 160
    assert 20 < told["series of its own"] < 100
    assert len([what for what in told if what.startswith("query over")]) == len(QUERIES)

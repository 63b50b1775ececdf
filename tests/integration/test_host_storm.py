"""The totals of a host's processes against the truth, while processes are killed, restarted and without a disk."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.host_storm import Storm
from tests.support.servers.prometheus import Prometheus, require_prometheus

pytestmark = [pytest.mark.once, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]


def test_kills_and_restarts_leave_exact_totals_in_one_set(tmp_path: Path) -> None:
    program = require_prometheus()
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with (
        Prometheus(program, tmp_path / "first") as first,
        Prometheus(program, tmp_path / "second") as second,
        Storm(tmp_path, (first, second), interval=0.5, seed=3) as storm,
    ):
        storm.run(workers=2, kills=3, restarts=1, full_disks=1)
        for number, truth in enumerate(storm.truth):
            assert storm.pushed(number) == pytest.approx(truth, rel=1e-9)
            assert (storm.instances(number), storm.resets(number)) == (1, 0)
            assert min(truth.values()) > 0

"""Snapshots of the counters in the spool."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from monitored_openai import Monitoring
from monitored_openai._exporter.spool.snapshots import SnapshotKeeper
from tests.support.handles import MANUAL, call, handle, settled
from tests.support.servers._http import wait_until
from tests.support.servers._steps import Gate
from tests.support.servers.loki import FakeLoki, Hold
from tests.support.servers.remote_write import RemoteWriteProxy

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the spool needs locks that end with their process")
CALLS = "gen_ai_client_operation_duration_seconds_count"


def totals_kept(directory: Path) -> int:
    """In how many parts the one file there has totals."""
    (path,) = directory.glob("*.db")
    with closing(sqlite3.connect(path)) as file:
        (parts,) = file.execute("SELECT count(*) FROM totals").fetchone()
    return int(parts)


def test_totals_of_calls_that_end_while_a_push_is_under_way_are_kept_until_they_are_pushed_too(
    directory: Path, proxy: RemoteWriteProxy
) -> None:
    gate = Gate()
    with handle(metrics_url=proxy.write_url, spool_dir=str(directory), **MANUAL) as monitoring:
        proxy.fail_next(Hold(gate))
        call(monitoring)
        flush = monitoring._runner.begin_flush()
        gate.wait_reached()
        call(monitoring, 2)
        wait_until(lambda: keeper(monitoring)._kept == 3)
        gate.set()
        assert flush is not None
        assert flush.result(30)
        assert (proxy.total(CALLS), totals_kept(directory)) == (1, 1)
        settled(monitoring)
        assert (proxy.total(CALLS), totals_kept(directory)) == (3, 0)


def keeper(monitoring: Monitoring) -> SnapshotKeeper:
    assert monitoring._runner._exporter is not None
    found = monitoring._runner._exporter._state.keeper
    assert found is not None
    return found


@pytest.mark.parametrize("how", ["would not take", "has lost"])
def test_totals_that_the_disk_would_not_take_are_kept_when_it_works(
    directory: Path, proxy: RemoteWriteProxy, loki: FakeLoki, how: str
) -> None:
    proxy.refuse()
    loki.refuse()
    own = {"metrics_url": proxy.write_url, "logs_url": loki.push_url, "spool_dir": str(directory)}
    with handle(**own, log_sample_ratio=0 if how == "would not take" else 1, push_interval=60) as monitoring:
        if how == "would not take":
            directory.touch()
        call(monitoring)
        wait_until(lambda: monitoring._runner._exporter is not None)
        assert monitoring._runner._exporter is not None
        spool = monitoring._runner._exporter._state.spool
        assert spool is not None
        if how == "would not take":
            wait_until(lambda: spool._paused_until > 0)
            directory.unlink()
            spool._paused_until = 0.0  # as 10 seconds later
        else:
            wait_until(lambda: keeper(monitoring)._kept == 1)
            shutil.rmtree(directory)
        wait_until(lambda: (kept := keeper(monitoring)._kept_in) is not None and kept.is_in_place())
        assert totals_kept(directory) == 1

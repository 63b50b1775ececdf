"""The bounds of the spool."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from monitored_openai._exporter.spool.directory import SpoolDirectory
from tests.support.handles import MANUAL, call, handle, imbalance, settled
from tests.support.servers.loki import FakeLoki
from tests.support.spools import (
    Losses,
    entry,
    files,
    left_behind,
    read_all,
    spool,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the spool needs locks that end with their process")
SECOND = 1_000_000_000


def test_a_full_spool_gives_up_the_oldest_and_stays_below_its_bound(directory: Path) -> None:
    losses = Losses()
    one = spool(directory, losses, most_bytes=8 * 2**20)
    written = peak = 0
    for _ in range(400):
        assert one.write([entry(written + number, size=1000) for number in range(100)])
        written += 100
        peak = max(peak, sum(path.stat().st_size for path in directory.iterdir()))

    kept = [json.loads(json.loads(encoded)[1])["number"] for encoded in read_all(one)]
    assert peak <= 9 * 2**20
    assert len(kept) > 3500
    assert kept == list(range(written - len(kept), written))
    assert losses == {"spool_full": written - len(kept)}
    assert sum(path.stat().st_size for path in directory.iterdir()) < 2**20
    one.close()


def test_what_is_too_old_expires_and_is_counted(directory: Path) -> None:
    losses = Losses()
    one = spool(directory, losses)
    assert one.write([entry(1, time.time_ns() - 86_401 * SECOND), entry(2, time.time_ns() - 86_399 * SECOND)])

    assert [json.loads(json.loads(encoded)[1])["number"] for encoded in read_all(one)] == [2]
    assert losses == {"expired": 1}
    one.close()


def test_a_clock_set_back_by_days_makes_nothing_expire(
    directory: Path, loki: FakeLoki, monkeypatch: pytest.MonkeyPatch
) -> None:
    with handle(logs_url=loki.push_url, spool_dir=str(directory)) as monitoring:
        call(monitoring)
        settled(monitoring)
        back = time.time_ns() - 3 * 86_400 * SECOND
        monkeypatch.setattr(time, "time_ns", lambda: back)
        call(monitoring, 3)
        settled(monitoring)
        assert monitoring.stats().dropped == {}
    assert (len(loki.entries), loki.rejected) == (4, [])


def test_below_the_floor_of_the_free_disk_the_oldest_make_room_for_the_newest(directory: Path) -> None:
    losses = Losses()
    one = spool(directory, losses)
    assert one.write([entry(number, size=10_000) for number in range(500)])
    one._least_free_bytes = 2**60
    one._look_again_at = 0.0
    before, _ = SpoolDirectory(directory, "d").sizes(None)
    for number in range(500, 1500):
        if not number % 50:
            one._look_again_at = 0.0  # as a second later
        assert one.write([entry(number, size=10_000)])
    after, _ = SpoolDirectory(directory, "d").sizes(None)
    assert after <= before + 2 * 2**20  # what SQLite's log may take
    assert set(losses) == {"spool_full"}
    found = read_all(one)
    assert b'"number\\": 1499' in found[-1]
    assert len(found) + losses["spool_full"] == 1500
    one.close()


def test_purge_leaves_nothing_of_oneself_and_of_the_dead(directory: Path, loki: FakeLoki) -> None:
    left_behind(directory, [entry(1)], destination="other")
    (directory / f"d-{'1' * 32}.1.corrupt").write_bytes(b"secret")
    loki.refuse()
    with handle(logs_url=loki.push_url, spool_dir=str(directory), **MANUAL) as monitoring:
        call(monitoring, 3)
        loki.wait_until(lambda: monitoring.stats().spooled == 3)
        monitoring.purge()
        stats = monitoring.stats()
        assert (stats.dropped, stats.spooled, imbalance(stats)) == ({"purged": 3}, 0, (0, 0))
        assert files(directory) == []

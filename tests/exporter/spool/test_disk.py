"""Disks that fail or fill up, and directories that vanish."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitored_openai import Monitoring, MonitoringSettings, _logging
from tests.support.handles import call, handle, imbalance, settled
from tests.support.servers.loki import FakeLoki, NeverAnswer
from tests.support.spools import (
    Losses,
    entry,
    no_byte_written_beyond,
    read_all,
    spool,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the spool needs locks that end with their process")
CALLS = "gen_ai_client_operation_duration_seconds_count"


def test_a_directory_that_is_deleted_costs_nothing_and_a_flush_waits_for_what_was_in_it(
    directory: Path, loki: FakeLoki
) -> None:
    loki.refuse()
    with handle(logs_url=loki.push_url, spool_dir=str(directory)) as monitoring:
        call(monitoring, 5)
        loki.wait_until(lambda: monitoring.stats().in_flight + monitoring.stats().spooled == 5)
        call(monitoring, 5)
        loki.wait_until(lambda: monitoring.stats().in_flight + monitoring.stats().spooled == 10)
        shutil.rmtree(directory)
        assert monitoring._runner._exporter is not None
        assert monitoring._runner._exporter._state.spool is not None
        monitoring._runner._exporter._state.spool._look_again_at = 0.0  # as a second later
        call(monitoring, 5)
        loki.wait_until(lambda: monitoring.stats().in_flight + monitoring.stats().spooled == 15)
        assert len(list(directory.glob("*.db"))) == 1
        loki.listen()
        settled(monitoring)
    assert len(loki.entries) == 15


def test_what_has_been_tried_from_memory_goes_to_the_disk_when_it_works(directory: Path, loki: FakeLoki) -> None:
    loki.refuse()
    with handle(logs_url=loki.push_url, spool_dir=str(directory)) as monitoring:
        directory.touch()
        call(monitoring, 3)
        loki.wait_until(lambda: tried(monitoring) > 0)
        directory.unlink()
        assert monitoring._runner._exporter is not None
        assert monitoring._runner._exporter._state.spool is not None
        monitoring._runner._exporter._state.spool._paused_until = 0.0  # as 10 seconds later
        call(monitoring)
        loki.wait_until(lambda: monitoring.stats().spooled == 4)
        monitoring.close(0)
        assert (monitoring.stats().spooled, monitoring.stats().dropped) == (4, {})


def tried(monitoring: Monitoring) -> int:
    """How often the batch that is the first has been tried."""
    exporter = monitoring._runner._exporter
    return (
        exporter._state.log_queue._taken[0].retry.failures
        if exporter is not None and exporter._state.log_queue._taken
        else 0
    )


@pytest.mark.parametrize("how", ["deleted", "purged"])
def test_what_is_no_longer_on_disk_when_its_process_ends_is_not_said_to_be_there(
    directory: Path, loki: FakeLoki, how: str
) -> None:
    loki.always = NeverAnswer()
    with handle(logs_url=loki.push_url, spool_dir=str(directory)) as monitoring:
        call(monitoring, 3)
        loki.wait_until(lambda: monitoring.stats().in_flight == 3)
        if how == "deleted":
            call(monitoring, 2)
            loki.wait_until(lambda: monitoring.stats().spooled == 2)
            shutil.rmtree(directory)
        else:
            monitoring.purge()
        monitoring.close(0)
        stats = monitoring.stats()
        assert (stats.spooled, stats.dropped) == (0, {"closed": 5 if how == "deleted" else 3})
        assert imbalance(stats) == (0, 0)


def test_with_a_full_disk_entries_stay_in_memory_and_one_warning_says_so(
    directory: Path, loki: FakeLoki, caplog: pytest.LogCaptureFixture
) -> None:
    loki.refuse()
    with handle(logs_url=loki.push_url, spool_dir=str(directory)) as monitoring:
        call(monitoring, 5)
        loki.wait_until(lambda: monitoring.stats().spooled == 5)
        assert monitoring._runner._exporter is not None
        assert monitoring._runner._exporter._state.spool is not None
        own = monitoring._runner._exporter._state.spool.own
        assert own is not None
        own._db.execute(f"PRAGMA max_page_count = {own._one('PRAGMA page_count')[0]}")  # SQLite's "disk is full"
        for _ in range(3):
            call(monitoring, 5, text="x" * 20_000)
        loki.wait_until(lambda: monitoring.stats().metrics_queued == 0)
        stats = monitoring.stats()
        assert stats.queued + stats.in_flight + stats.spooled == 20
        assert (stats.dropped, imbalance(stats)) == ({}, (0, 0))
        loki.listen()
        settled(monitoring)
    assert len(loki.entries) == 20
    assert sum("the spool cannot be used now" in message for message in caplog.messages) <= 1


@pytest.mark.parametrize("trouble", ["is a file", "cannot be made"])
def test_a_spool_that_cannot_be_opened_leaves_everything_in_memory(
    directory: Path, loki: FakeLoki, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = MonitoringSettings(logs_url=loki.push_url, spool_dir=str(directory / "below"))
    directory.touch() if trouble == "is a file" else directory.symlink_to("/proc/1")
    with handle(logs_url=loki.push_url, spool_dir=settings.spool_dir) as monitoring:
        call(monitoring, 5)
        settled(monitoring)
    assert len(loki.entries) == 5


def test_a_directory_that_becomes_a_file_costs_nothing_and_is_used_again_when_it_is_one(
    directory: Path, loki: FakeLoki
) -> None:
    loki.refuse()
    with handle(logs_url=loki.push_url, spool_dir=str(directory)) as monitoring:
        call(monitoring, 5)
        loki.wait_until(lambda: monitoring.stats().spooled == 5)
        assert monitoring._runner._exporter is not None
        one = monitoring._runner._exporter._state.spool
        assert one is not None
        shutil.rmtree(directory)
        directory.touch()
        one._look_again_at = 0.0  # as a second later
        call(monitoring, 5)
        loki.wait_until(lambda: one._paused_until > 0 and monitoring.stats().metrics_queued == 0)
        stats = monitoring.stats()
        assert stats.queued + stats.in_flight + stats.spooled == 10
        assert (stats.dropped, imbalance(stats)) == ({}, (0, 0))
        directory.unlink()
        one._paused_until = one._look_again_at = 0.0  # as ten seconds later
        loki.wait_until(lambda: monitoring.stats().queued == 0)  # though no call ends
        assert len(list(directory.glob("*.db"))) == 1
        loki.listen()
        settled(monitoring)
    assert len(loki.entries) == 10


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_made_read_only_costs_nothing(directory: Path) -> None:
    directory.mkdir(0o500)
    one = spool(directory)
    assert not one.write([entry(1)])
    directory.chmod(0o700)
    one._paused_until = 0.0
    assert one.write([entry(1)])
    one.close()


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk of its own of a megabyte, with the given option."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size=1m,mode=700,{request.param}", "tmpfs", str(place)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk can be mounted here: that needs Linux, and root")
    yield place
    subprocess.run(["umount", str(place)], check=True, timeout=20)


@pytest.mark.parametrize("disk", ["rw"], indirect=True)
def test_a_disk_that_is_really_full_loses_nothing_and_is_used_again_when_there_is_room(disk: Path) -> None:
    losses = Losses()
    one = spool(disk, losses, least_free_bytes=0, most_bytes=2**40)
    one._room = 2**30  # the disk's end comes as a surprise
    one._look_again_at = time.monotonic() + 3600
    filler = disk / "another's"
    filler.write_bytes(bytes(500_000))
    written = 0
    while one.write([entry(written, size=20_000)]):
        written += 1
        assert written < 100
    filler.unlink()
    one._paused_until = 0.0
    assert one.write([entry(written, size=20_000)])
    assert len(read_all(one)) == written + 1
    assert losses == {}
    one.close()


@pytest.mark.parametrize("disk", ["rw", "ro"], indirect=True)
def test_on_a_disk_with_too_little_room_or_none_to_write_everything_stays_in_memory(
    disk: Path, loki: FakeLoki, caplog: pytest.LogCaptureFixture
) -> None:
    with handle(logs_url=loki.push_url, spool_dir=str(disk)) as monitoring:
        call(monitoring, 5)
        settled(monitoring)
    assert len(loki.entries) == 5
    assert list(disk.iterdir()) == []


def test_a_disk_that_fails_loses_nothing_and_is_used_again_when_it_works(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_logging, "_said", {})
    losses = Losses()
    one = spool(directory, losses)
    assert one.write([entry(1)])
    assert one.own is not None
    with no_byte_written_beyond(1):
        started = time.monotonic()
        assert not one.write([entry(2)])
        assert time.monotonic() - started < 4
        one.mark(one.own, 1, as_replay=True)
        one.remove(one.own, 1, 1)
    one._paused_until = 0.0
    assert one.write([entry(2)])
    assert [json.loads(json.loads(encoded)[1])["number"] for encoded in read_all(one)] == [1, 2]
    assert losses == {}
    one.close()
    assert len(caplog.messages) == 1
    assert "disk I/O error" in caplog.text

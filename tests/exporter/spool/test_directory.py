"""The spool's directory: its owner, its permissions, and the files of other processes."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from monitored_openai import MonitoringSettings, SettingsError
from monitored_openai._exporter.spool.file import SpoolFile
from monitored_openai._exporter.spool.lock import Lock
from monitored_openai._files.private import NotOurs
from tests.support.handles import call, handle, imbalance
from tests.support.servers.loki import FakeLoki
from tests.support.spools import (
    entry,
    left_behind,
    spool,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the spool needs locks that end with their process")


def test_directory_and_files_are_the_owners_alone_whatever_the_umask(directory: Path) -> None:
    before = os.umask(0)
    try:
        one = spool(directory)
        assert one.write([entry(1)])
    finally:
        os.umask(before)

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    one.close()


def test_a_directory_that_others_could_swap_is_refused_in_the_settings(tmp_path: Path) -> None:
    plain, link, shared = tmp_path / "file", tmp_path / "link", tmp_path / "shared"
    plain.touch()
    shared.mkdir()
    shared.chmod(0o777)
    link.symlink_to(shared)
    for wrong in (plain, link, shared, "relative/spool", "~nobody-like-this/spool"):
        with pytest.raises(SettingsError, match=r"^spool_dir: "):
            MonitoringSettings(spool_dir=str(wrong))


def test_a_lock_or_file_that_is_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch()
    (tmp_path / "d-1.lock").symlink_to(target)
    with pytest.raises(OSError):  # noqa: PT011 - ELOOP, whose text depends on the system
        Lock(tmp_path / "d-1.lock")
    (tmp_path / "d-2.db").symlink_to(target)
    lock = Lock.create(tmp_path / "d-2.lock")
    with pytest.raises(NotOurs):
        SpoolFile(tmp_path / "d-2.db", lock)
    lock.let_go()
    assert target.read_bytes() == b""


def test_files_of_another_destination_are_left_alone_until_they_are_too_old(directory: Path, loki: FakeLoki) -> None:
    path = left_behind(directory, [entry(1)], destination="other")
    old = left_behind(directory, [entry(2)], destination="old")
    for one in directory.glob(f"{old.stem}*"):
        os.utime(one, (0, time.time() - 86_500))

    with handle(logs_url=loki.push_url, spool_dir=str(directory)) as monitoring:
        call(monitoring)
        loki.wait_until(lambda: len(loki.entries) == 1)
        loki.wait_until(lambda: monitoring.stats().dropped == {"expired": 1})
        assert imbalance(monitoring.stats()) == (0, 0)
    assert path.exists()
    assert not old.exists()


def test_one_adopter_takes_a_file_and_nobody_takes_that_of_a_living_process(directory: Path) -> None:
    living = spool(directory)
    assert living.write([entry(1)])
    left_behind(directory, [entry(2)])
    others = [spool(directory) for _ in range(3)]

    assert [len(other.adopt()[0]) for other in others] == [1, 0, 0]
    assert living.adopt() == ([], 0)
    for one in (living, *others):
        one.close()


def test_what_others_have_put_into_the_directory_stops_nobody(directory: Path) -> None:
    left_behind(directory, [entry(1)]).write_bytes(b"no file of SQLite's, but as long as one" * 500)
    for number in range(3):
        (directory / f"{number}.corrupt").mkdir()
    (directory / "corrupt.corrupt").touch()
    good = left_behind(directory, [entry(2)])
    one = spool(directory)
    adopted, _ = one.adopt()
    assert [file.path for file in adopted] == [good]
    one.purge()
    assert list(directory.glob("*.db")) == []

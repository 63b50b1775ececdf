"""The common totals of a host's processes: one set of series, and what happens when processes or the file end.

Handles with different sizes of the queue stand for the processes: they share nothing but the directory.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest

from monitored_openai import MonitoredOpenAI, Monitoring, MonitoringSettings, _logging, attributes
from monitored_openai._exporter.diagnostics import check
from monitored_openai._exporter.host.directory import HostDirectory, destination, file_system_of
from monitored_openai._exporter.host.lock_holder import pid_in
from monitored_openai._exporter.host.merge import merge_gauges
from monitored_openai._metrics.names import ACTIVE, DURATION
from monitored_openai._metrics.series import Sample
from tests.support.handles import MANUAL, ask, call, handle, http, in_process, settled
from tests.support.servers._http import wait_until
from tests.support.servers.remote_write import RemoteWriteProxy, Status
from tests.support.spools import no_byte_written_beyond

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the totals need locks that end with their process")
CALLS = DURATION.count


@pytest.fixture
def of_host(proxy: RemoteWriteProxy, directory: Path) -> dict[str, Any]:
    """Settings with common totals, and pushes by a flush only."""
    return {"metrics_url": proxy.write_url, "host_dir": str(directory), **MANUAL}


def directory_of(monitoring: Monitoring) -> HostDirectory:
    return HostDirectory(Path(monitoring.settings.host_dir or ""), destination(monitoring.settings))


def change(monitoring: Monitoring, statement: str) -> None:
    """Change the file as a failure of the machine would."""
    execute(directory_of(monitoring).database, statement)


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


def by_instance(proxy: RemoteWriteProxy) -> dict[str, float]:
    """The calls of each set of series."""
    return {dict(labels)["instance"]: value for labels, value in proxy.latest(CALLS).items()}


def test_processes_of_a_host_push_one_set_of_series(proxy: RemoteWriteProxy, of_host: dict[str, Any]) -> None:
    with handle(**of_host) as one, handle(**of_host, queue_size=9) as other:
        call(one, times=2)
        call(other, times=3)
        settled(one)
        settled(other)
        assert by_instance(proxy) == {f"test:{other._runner.ledger.host.epoch}": 5}  # type: ignore[union-attr] # set by host_dir
        assert proxy.violations == []


def test_the_process_that_finds_a_push_due_pushes_for_all(proxy: RemoteWriteProxy, of_host: dict[str, Any]) -> None:
    quick = of_host | {"push_interval": 0.1}
    with handle(**quick) as one, handle(**quick, queue_size=9) as other:
        call(one)
        call(other)
        wait_until(lambda: proxy.total(CALLS) == 2)
        pushed = len(proxy.stored)
        wait_until(lambda: len(proxy.stored) >= pushed + 4)
        stats = other.stats().host
        assert stats is not None
        assert (stats.pusher, stats.processes, stats.fallbacks) == (os.getpid(), 2, 0)
        assert (len(by_instance(proxy)), proxy.violations) == (1, [])


def test_a_flush_waits_for_the_push_of_another_process(proxy: RemoteWriteProxy, of_host: dict[str, Any]) -> None:
    with handle(**of_host) as one, handle(**of_host, queue_size=9) as other:
        call(one)
        settled(one)
        turn = directory_of(one).take_turn()
        assert turn is not None
        call(other)
        waiting = other._runner.begin_flush()
        assert waiting is not None
        wait_until(lambda: other.stats().folded == 1)
        assert not waiting.done()
        turn.release()
        assert waiting.result(30)
        result = other.flush(10)
        assert (result.complete, result.pushed, proxy.total(CALLS)) == (True, True, 2)


def test_counters_of_an_ended_process_stay_in_the_totals(proxy: RemoteWriteProxy, of_host: dict[str, Any]) -> None:
    for number in range(1, 4):
        with handle(**of_host, queue_size=number) as monitoring:
            call(monitoring)
            settled(monitoring)
        assert list(by_instance(proxy).values()) == [number]
    assert proxy.violations == []


def test_what_an_ended_process_could_not_push_the_next_one_does(
    proxy: RemoteWriteProxy, of_host: dict[str, Any], tmp_path: Path
) -> None:
    spool = {"spool_dir": str(tmp_path / "spool")}
    with handle(**of_host, **spool) as monitoring:
        proxy.always = Status(503)
        call(monitoring, times=2)
        wait_until(lambda: monitoring.stats().folded == 2)
        monitoring.flush(0.3)
    proxy.always = None
    with handle(**of_host, **spool, queue_size=9) as monitoring:
        call(monitoring)
        settled(monitoring)
    assert list(by_instance(proxy).values()) == [3]
    assert proxy.violations == []


def test_active_calls_of_all_processes_add_up(proxy: RemoteWriteProxy, of_host: dict[str, Any]) -> None:
    go_on = threading.Event()

    def answer(_: Any) -> Any:
        go_on.wait(30)
        return http.Response(500)

    with ExitStack() as living:
        asking = []
        for number in (8, 9):
            monitoring = living.enter_context(handle(**of_host, queue_size=number))
            call(monitoring)
            http_client = living.enter_context(http.Client(transport=http.MockTransport(answer)))
            client = MonitoredOpenAI(api_key="sk-test", max_retries=0, http_client=http_client, monitoring=monitoring)
            asking.append(threading.Thread(target=refused, args=(client,)))
            living.callback(asking[-1].join)
            asking[-1].start()
            wait_until(partial(is_asking, monitoring))
            settled(monitoring)
        living.callback(go_on.set)
        assert (proxy.total(ACTIVE.name), len(by_instance(proxy))) == (2, 1)


def test_active_calls_of_all_processes_have_at_most_the_label_sets_of_one() -> None:
    def active(user: str, value: float) -> Sample:
        return Sample(ACTIVE.name, (("user", user),), value, cumulative=False)

    gauges = merge_gauges(
        [[active("a", 1), active("b", 2)], [active("c", 3), active("b", 4)], [active("other", 5), active("d", 6)]],
        max_label_sets=2,
        shown=[active("c", 0), active("b", 0)],
        folded=lambda _: (("user", "other"),),
    )
    assert {dict(gauge.labels)["user"]: gauge.value for gauge in gauges} == {"c": 3, "b": 6, "other": 12}


def is_asking(monitoring: Monitoring) -> bool:
    return monitoring.stats().active == 1


def refused(client: MonitoredOpenAI) -> None:
    with pytest.raises(openai.InternalServerError):
        ask(client)


def test_a_stopped_pusher_is_reported_once_and_keeps_its_lock(
    proxy: RemoteWriteProxy, of_host: dict[str, Any], directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with handle(**of_host | {"push_interval": 0.05}) as monitoring:
        call(monitoring)
        settled(monitoring)
        stopped = directory_of(monitoring)
        while (turn := stopped.take_turn()) is None:
            time.sleep(0.001)  # its own push ends at once
        (note,) = directory.glob("*.pusher")
        note.write_text(json.dumps({"pid": 4711, "since": time.monotonic() - 1000}))
        pushed = len(proxy.stored)
        call(monitoring)
        wait_until(lambda: (stats := monitoring.stats().host) is not None and stats.stopped_pushers == 1)
        assert not monitoring.flush(0.3).complete
        assert (len(proxy.stored), [r for r in caplog.messages if "4711 holds the lock" in r][1:]) == (pushed, [])
        assert any("4711 holds the lock" in message for message in caplog.messages)
        assert "4711 holds the lock" in next(one.says for one in check(monitoring.settings) if one.about == "host")
        turn.release()
        settled(monitoring)
        assert proxy.total(CALLS) == 2


_TRANSACTION = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("begun", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the system does not tell who holds a lock")
def test_a_process_that_is_stopped_inside_a_transaction_is_named(
    proxy: RemoteWriteProxy, of_host: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with handle(**of_host) as monitoring:
        call(monitoring)
        settled(monitoring)
        command = [sys.executable, "-c", _TRANSACTION, str(directory_of(monitoring).database)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            try:
                assert other.stdout is not None
                assert other.stdout.readline() == b"begun\n"
                other.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, other.pid, os.WSTOPPED)
                says = f"locked by process {other.pid}, which is stopped"
                call(monitoring)
                wait_until(lambda: any(says in message for message in caplog.messages))
                (found,) = [one for one in check(monitoring.settings) if one.about == "host"]
                assert (found.is_well, found.says) == (False, f"this host's totals are {says}")
            finally:
                other.kill()
        settled(monitoring)
        assert proxy.total(CALLS) == 2
        assert next(one.is_well for one in check(monitoring.settings) if one.about == "host")


def test_a_lock_belongs_to_the_process_that_may_write_to_the_file() -> None:
    locks = """\
1: FLOCK  ADVISORY  WRITE 11 fe:0a:77 0 EOF
2: POSIX  ADVISORY  WRITE 12 fe:0b:77 1073741825 1073741825
2: -> POSIX  ADVISORY  WRITE 13 fe:0a:77 1073741825 1073741825
3: POSIX  ADVISORY  READ 14 fe:0a:77 1073741826 1073742335
4: POSIX  ADVISORY  WRITE 0 fe:0a:77 1073741825 1073741825
5: POSIX  ADVISORY  WRITE 15 fe:0a:77 1073741825 1073741825
"""
    assert pid_in(locks, os.makedev(0xFE, 0x0A), 77) == 15
    assert pid_in(locks, os.makedev(0xFE, 0x0A), 78) is None


@pytest.mark.parametrize(
    "harm",
    [
        lambda directory, database: shutil.rmtree(directory),
        lambda directory, database: database.write_bytes(b"x" * 9000),
        lambda directory, database: database.write_bytes(database.read_bytes()[:5000]),
        lambda directory, database: database.unlink(),
        lambda directory, database: execute(database, "UPDATE series SET labels = '[[' WHERE id = 1"),
        lambda directory, database: execute(database, "UPDATE series SET base = 'x'"),
        lambda directory, database: execute(database, "UPDATE state SET shown = '[1]'"),
    ],
    ids=["directory removed", "overwritten", "cut off", "file removed", "labels", "values", "gauges"],
)
def test_a_lost_file_begins_a_new_set_and_counts_nothing_twice(
    proxy: RemoteWriteProxy, of_host: dict[str, Any], directory: Path, harm: Callable[[Path, Path], object]
) -> None:
    with handle(**of_host) as one, handle(**of_host, queue_size=9) as other:
        for monitoring in (one, other):
            call(monitoring, times=2)
            settled(monitoring)
        harm(directory, directory_of(one).database)
        for monitoring in (one, other):
            call(monitoring)
            settled(monitoring)
        assert sorted(by_instance(proxy).values()) == [2, 4]
        assert proxy.violations == []


def test_after_a_reboot_the_rest_goes_out_and_a_new_set_begins(
    proxy: RemoteWriteProxy, of_host: dict[str, Any]
) -> None:
    with handle(**of_host) as monitoring:
        call(monitoring)
        settled(monitoring)
        proxy.always = Status(503)
        call(monitoring, times=2)
        wait_until(lambda: monitoring.stats().folded == 3)
        monitoring.flush(0.3)
    change(monitoring, "UPDATE state SET boot = 'another'")
    proxy.always = None
    with handle(**of_host) as monitoring:
        call(monitoring)
        settled(monitoring)
        settled(monitoring)
    assert sorted(by_instance(proxy).values()) == [1, 3]
    assert proxy.violations == []


def test_sums_below_those_pushed_begin_a_new_set(proxy: RemoteWriteProxy, of_host: dict[str, Any]) -> None:
    with handle(**of_host) as monitoring:
        call(monitoring, times=2)
        settled(monitoring)
        change(monitoring, f"UPDATE series SET pushed = 1000 WHERE name = '{CALLS}'")  # noqa: S608  # a constant
        call(monitoring)
        settled(monitoring)
        call(monitoring, times=4)
        settled(monitoring)
        assert sorted(by_instance(proxy).values()) == [4, 1000]
        assert proxy.violations == []


def test_no_push_is_earlier_than_the_one_before(proxy: RemoteWriteProxy, of_host: dict[str, Any]) -> None:
    with handle(**of_host) as monitoring:
        call(monitoring)
        settled(monitoring)
    change(monitoring, f"UPDATE state SET last_ms = {time.time_ns() // 1_000_000 + 60_000}")  # noqa: S608  # a number
    for number in (8, 9):
        with handle(**of_host, queue_size=number) as monitoring:
            call(monitoring)
            settled(monitoring)
    assert (proxy.total(CALLS), proxy.violations) == (3, [])


@pytest.mark.parametrize("then", ["restart", "reboot"])
def test_a_clock_that_was_ahead_stops_no_process_that_starts_later(
    proxy: RemoteWriteProxy, of_host: dict[str, Any], then: str
) -> None:
    with handle(**of_host) as monitoring:
        call(monitoring, times=2)
        settled(monitoring)
    change(monitoring, f"UPDATE state SET last_ms = {time.time_ns() // 1_000_000 + 86_400_000}")  # noqa: S608  # a number
    if then == "reboot":
        change(monitoring, "UPDATE state SET boot = 'another'")
    with handle(**of_host, queue_size=9) as monitoring:
        call(monitoring)
        settled(monitoring)
    assert sorted(by_instance(proxy).values()) == [1, 2]


def test_the_limit_of_label_sets_holds_for_all_processes_together(
    proxy: RemoteWriteProxy, of_host: dict[str, Any]
) -> None:
    limited = of_host | {"label_names": ["user"], "max_label_sets": 6}
    with ExitStack() as living:
        for number in range(4):
            monitoring = living.enter_context(handle(**limited, queue_size=number + 1))
            client = living.enter_context(in_process(monitoring))
            for user in (2 * number, 2 * number + 1):
                with attributes(user=f"u{user}"):
                    ask(client)
            settled(monitoring)
    sets = {dict(labels)["user"]: value for labels, value in proxy.latest(CALLS).items()}
    assert sets == {f"u{number}": 1 for number in range(6)} | {"other": 2}
    folded = sum(proxy.latest("monitored_openai_folded_label_sets_total").values())
    assert folded >= 2  # the duration's label sets, and those of the other metrics
    assert folded % 2 == 0


def test_a_write_that_the_disk_refused_adds_to_no_series_of_another_process(
    proxy: RemoteWriteProxy, of_host: dict[str, Any]
) -> None:
    labelled = of_host | {"label_names": ["user"]}
    with handle(**labelled) as one, handle(**labelled, queue_size=9) as other:
        for monitoring in (one, other):
            call(monitoring)
            settled(monitoring)
        with no_byte_written_beyond(directory_of(one).database.stat().st_size):
            call_as(one, "a" * 900)
            one.flush(0.5)
            assert not is_kept(one)
        call_as(other, "b" * 900)
        settled(other)
        settled(one)
    sets = {dict(labels).get("user", "")[:1]: value for labels, value in proxy.latest(CALLS).items()}
    assert sets == {"": 2, "a": 1, "b": 1}


def test_a_full_disk_makes_no_push_more_frequent(proxy: RemoteWriteProxy, of_host: dict[str, Any]) -> None:
    with handle(**of_host | {"push_interval": 1}) as monitoring, in_process(monitoring) as client:
        ask(client)
        wait_until(lambda: proxy.total(CALLS) == 1)
        with no_byte_written_beyond(0):
            ask(client)
            wait_until(lambda: not is_kept(monitoring))
            before, until = len(proxy.stored), time.monotonic() + 2
            wait_until(lambda: time.monotonic() > until)
        assert len(proxy.stored) - before <= 4


def is_kept(monitoring: Monitoring) -> bool:
    """True if the file has the latest values of the handle."""
    state = monitoring._runner._state
    assert state is not None
    assert state.host is not None
    return state.host.is_kept


def call_as(monitoring: Monitoring, user: str) -> None:
    with attributes(user=user):
        call(monitoring)


@pytest.mark.parametrize("kind", ["file", "foreign", "shared"])
def test_a_directory_that_cannot_be_used_leaves_a_set_for_each_process(
    proxy: RemoteWriteProxy,
    tmp_path: Path,
    kind: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_logging, "_said", {})
    blocked = tmp_path / "file"
    blocked.write_text("")
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    path = {"file": blocked / "host", "foreign": folder / "host", "shared": folder}[kind]
    with handle(metrics_url=proxy.write_url, host_dir=str(path), **MANUAL) as monitoring:
        call(monitoring)
        settled(monitoring)
        stats = monitoring.stats().host
        assert stats is not None
        assert stats.fallbacks == 1
        assert list(by_instance(proxy)) == [monitoring._runner.instance]
    assert sum("host_dir cannot be used" in message for message in caplog.messages) == 1


def test_network_file_systems_are_recognised() -> None:
    mounts = (
        "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n36 21 0:45 / /srv rw shared:2 - nfs4 server:/srv rw\n"
    )
    assert file_system_of(mounts, os.makedev(0, 45)) == "nfs4"
    assert file_system_of(mounts, os.makedev(8, 1)) == "ext4"
    assert file_system_of(mounts, os.makedev(9, 9)) == ""


def test_the_check_names_the_process_that_pushes(proxy: RemoteWriteProxy, of_host: dict[str, Any]) -> None:
    with handle(**of_host) as monitoring:
        assert "no process" in next(one.says for one in check(monitoring.settings) if one.about == "host")
        call(monitoring)
        settled(monitoring)
        (finding,) = [one for one in check(monitoring.settings) if one.about == "host"]
        assert (finding.is_well, f"process {os.getpid()} pushed last, for 1 process of" in finding.says) == (True, True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_after_the_end_of_a_handle_closes_no_file_of_others(of_host: dict[str, Any]) -> None:
    with handle(**of_host) as monitoring:
        call(monitoring)
        settled(monitoring)
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
    child = os.fork()
    if not child:
        os._exit(sum(not is_open(file) for file in files))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for file in files:
        os.close(file)


def is_open(file: int) -> bool:
    try:
        os.fstat(file)
    except OSError:
        return False
    return True


def test_the_files_are_the_owners_alone_whatever_the_umask(of_host: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "above" / "host"
    before = os.umask(0)
    try:
        with handle(**of_host | {"host_dir": str(path)}) as monitoring:
            call(monitoring)
            settled(monitoring)
            modes = {one.name.rpartition(".")[2]: one.stat().st_mode & 0o777 for one in path.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("alive", "push", "pusher", "sqlite", "sqlite-journal"), 0o600)
    assert [one.stat().st_mode & 0o777 for one in (path.parent, path)] == [0o700, 0o700]


@pytest.mark.parametrize(
    ("one", "other", "is_common"),
    [
        ({"metrics_token": "first"}, {"metrics_token": "second"}, False),
        ({"headers": {"X-Scope-OrgID": "a"}}, {"headers": {"X-Scope-OrgID": "b"}}, False),
        ({"tenant_id": "a"}, {"headers": {"X-Scope-OrgID": "a"}}, True),
        ({"metrics_username": "1", "metrics_token": "old"}, {"metrics_username": "1", "metrics_token": "new"}, True),
    ],
    ids=["token", "header", "tenant", "new token"],
)
def test_only_processes_of_the_same_tenant_have_common_totals(
    of_host: dict[str, Any], one: dict[str, Any], other: dict[str, Any], is_common: bool
) -> None:
    first, second = (MonitoringSettings(**of_host | settings) for settings in (one, other))
    assert (destination(first) == destination(second)) == is_common


def test_processes_with_other_buckets_have_their_own_totals(of_host: dict[str, Any]) -> None:
    with handle(**of_host) as lean, handle(**of_host, histograms="full") as full:
        assert directory_of(lean).database != directory_of(full).database

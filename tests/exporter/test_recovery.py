"""Delivery of the data that ended processes left in the spool."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from monitored_openai import MonitoredOpenAI, MonitoringSettings
from monitored_openai._exporter import exporter
from monitored_openai._exporter.runtime.process import PROCESS
from monitored_openai._exporter.spool.file import SpoolFile
from monitored_openai._exporter.spool.lock import Lock
from monitored_openai._exporter.spool.spool import _destination
from monitored_openai._exporter.values import CounterSnapshot
from tests.support.handles import MANUAL, ask, call, handle, http, imbalance, in_process_transport, settled
from tests.support.programs import running, settings
from tests.support.servers._http import wait_until
from tests.support.servers.loki import FakeLoki, LoseAnswer, Status
from tests.support.servers.remote_write import RemoteWriteProxy
from tests.support.spools import (
    entry,
    files,
    kill_after,
    left_behind,
    made_in,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the spool needs locks that end with their process")
CALLS = "gen_ai_client_operation_duration_seconds_count"
SECOND = 1_000_000_000
OLDEST_LOST_MS = 150
"""P4's promise, measured by `make chaos`; the test allows ten times as much, for a machine under load."""


def test_in_an_outage_entries_wait_on_disk_and_not_in_memory_and_arrive_in_order_afterwards(
    directory: Path, loki: FakeLoki
) -> None:
    loki.refuse()
    with handle(logs_url=loki.push_url, spool_dir=str(directory)) as monitoring:
        call(monitoring, 40)
        loki.wait_until(lambda: monitoring.stats().spooled == 40)
        assert (monitoring._runner.ledger.memory_bytes, imbalance(monitoring.stats())) == (0, (0, 0))
        loki.listen()
        settled(monitoring)
        assert monitoring.stats().delivered == 40

    stamps = [one.ts for one in loki.entries]
    assert (stamps, len(stamps), loki.rejected) == (sorted(stamps), 40, [])
    assert files(directory) == []


def test_what_could_not_be_delivered_before_the_end_is_delivered_by_the_next_process(
    directory: Path, loki: FakeLoki
) -> None:
    loki.refuse()
    with handle(logs_url=loki.push_url, spool_dir=str(directory), **MANUAL) as monitoring:
        call(monitoring, 10)
        monitoring.close(0)
        stats = monitoring.stats()
        assert (stats.spooled, stats.dropped, imbalance(stats)) == (10, {}, (0, 0))
    loki.listen()
    with handle(logs_url=loki.push_url, spool_dir=str(directory)) as monitoring:
        call(monitoring)
        loki.wait_until(lambda: monitoring.stats().delivered == 11)
        stats = monitoring.stats()
        assert (stats.adopted, stats.produced, stats.delivered, imbalance(stats)) == (10, 11, 11, (0, 0))
    assert (loki.duplicates, loki.rejected) == (0, [])


def test_a_backlog_of_five_hours_is_taken_beside_a_living_process_each_entry_once(
    directory: Path, loki: FakeLoki
) -> None:
    own: dict[str, Any] = {"logs_url": loki.push_url, "spool_dir": str(directory)}
    loki.always = LoseAnswer()
    with handle(**own, **MANUAL) as dead:  # what it has left may be stored, and is
        call(dead, 5)
        flush = dead._runner.begin_flush()
        loki.wait_until(lambda: len(loki.entries) == 5)
        assert flush is not None
        flush.cancel()
    loki.always = None
    now = time.time_ns()
    backlog = [entry(number, now - 5 * 3600 * SECOND + number * 17 * SECOND) for number in range(1000)]
    left_behind(directory, backlog, destination=_destination(MonitoringSettings(**own)))
    loki.fail_next(Status(503))
    for _ in range(50):
        loki.fail_next(LoseAnswer())
        loki.fail_next(None)
    deadline = time.monotonic() + 60
    living_calls = 0
    with handle(logs_url=loki.push_url) as living, handle(**own) as adopter:
        call(adopter)
        while adopter.stats().delivered < 1006:
            assert time.monotonic() < deadline
            call(living)
            living_calls += 1
            living.flush(0.1)
        settled(living, 30)
        assert imbalance(adopter.stats()) == (0, 0)

    assert (len(loki.entries), loki.rejected) == (1006 + living_calls, [])
    assert len({(one.ts, one.line) for one in loki.entries}) == 1006 + living_calls
    assert loki.duplicates >= 10
    replayed = {one.line for one in loki.entries if "replay" in one.labels}
    assert {json.loads(one.encoded)[1] for one in backlog if one.at_ns < now - 3600 * SECOND} <= replayed
    assert replayed <= {json.loads(one.encoded)[1] for one in backlog}


def test_entries_that_may_be_stored_keep_their_labels_in_another_process(directory: Path, loki: FakeLoki) -> None:
    loki.always = LoseAnswer()
    with handle(logs_url=loki.push_url, spool_dir=str(directory), **MANUAL) as monitoring:
        call(monitoring, 5)
        flush = monitoring._runner.begin_flush()
        loki.wait_until(lambda: len(loki.entries) == 5)
        assert flush is not None
        flush.cancel()
    loki.always = None
    with handle(logs_url=loki.push_url, spool_dir=str(directory)) as monitoring:
        call(monitoring)
        loki.wait_until(lambda: monitoring.stats().delivered == 6)

    assert (len(loki.entries), len(loki.streams)) == (6, 1)
    assert loki.duplicates >= 5


def test_a_kill_without_notice_loses_no_entry_older_than_the_promise_and_the_totals_arrive(
    directory: Path, tmp_path: Path, loki: FakeLoki, proxy: RemoteWriteProxy
) -> None:
    env = settings(
        logs_url=loki.push_url, metrics_url=proxy.write_url, spool_dir=directory, push_interval=60, log_linger=0.2
    ) | {"OPENAI_BASE_URL": "http://api.test/v1"}
    kills: list[tuple[int, set[str]]] = []
    for fault in (Status(503), LoseAnswer(), None):
        loki.always = fault
        file = tmp_path / f"made-{len(kills)}"
        with running("spooling", 100, file, env=env) as program:
            at = kill_after(program, file, 120)
        kills.append((at, made_in(file)))
    loki.always = None
    with handle(logs_url=loki.push_url, metrics_url=proxy.write_url, spool_dir=str(directory)) as monitoring:
        call(monitoring)

        def nothing_waits() -> bool:
            stats = monitoring.stats()
            is_alone = len(list(directory.glob("*.db"))) <= 1  # the last of the dead may have been heir to the others
            return is_alone and stats.folded == 1 and stats.queued == stats.in_flight == stats.spooled == 0

        loki.wait_until(nothing_waits, 60)
        proxy.wait_until(lambda: len({dict(labels)["instance"] for labels in proxy.latest(CALLS)}) == 4, 60)

    arrived = {json.loads(one.line)["request"]["messages"][0]["content"] for one in loki.entries}
    lost = [(at - int(made)) / 1e6 for at, all_made in kills for made in all_made - arrived]
    assert max(lost, default=0) < 10 * OLDEST_LOST_MS
    assert (loki.rejected, proxy.violations) == ([], [])
    assert len({(one.ts, one.line) for one in loki.entries}) == len(loki.entries)
    assert proxy.total(CALLS) > 3


def test_the_exporter_is_ready_to_keep_the_first_call_when_its_answer_comes(directory: Path, loki: FakeLoki) -> None:
    loki.refuse()
    made = in_process_transport()
    with handle(logs_url=loki.push_url, spool_dir=str(directory)) as monitoring:

        def answer(request: Any) -> Any:
            wait_until(lambda: monitoring._runner._exporter is not None, 30)
            return made.handle_request(request)

        with http.Client(transport=http.MockTransport(answer)) as connection:
            ask(MonitoredOpenAI(api_key="sk-test", http_client=connection, monitoring=monitoring, max_retries=0))
        loki.wait_until(lambda: monitoring.stats().in_flight + monitoring.stats().spooled == 1)


def test_calls_that_waited_for_the_exporter_go_to_the_spool_at_once(
    directory: Path, loki: FakeLoki, monkeypatch: pytest.MonkeyPatch
) -> None:
    loki.refuse()
    monkeypatch.setattr(exporter, "_GATHER_SECONDS_TO_SPOOL", 0.6)
    folded: Future[int] = Future()
    is_busy, is_made = threading.Event(), threading.Event()

    def keep_busy() -> None:
        is_busy.set()
        assert is_made.wait(30)
        time.sleep(0.6)
        asyncio.get_running_loop().call_later(0.3, lambda: folded.set_result(monitoring.stats().folded))

    with handle(logs_url=loki.push_url, spool_dir=str(directory)) as monitoring:
        call(monitoring)
        loki.wait_until(lambda: monitoring.stats().folded == 1)
        PROCESS.thread().call(keep_busy)
        assert is_busy.wait(30)
        call(monitoring)
        is_made.set()
        assert folded.result(30) == 2


def test_totals_of_a_dead_process_that_are_refused_or_damaged_are_counted(
    directory: Path, proxy: RemoteWriteProxy
) -> None:
    own = MonitoringSettings(metrics_url=proxy.write_url, spool_dir=str(directory))
    path = left_behind(directory, [entry(1)], _destination(own))
    dead = SpoolFile(path, Lock(path.with_suffix(".lock")))
    dead.remove(1, 1)
    dead.keep_totals([CounterSnapshot(b"part", b"part"), CounterSnapshot(b"damaged", None)])
    dead._db.execute("UPDATE totals SET body = ? WHERE part = 1", (b"damagef",))
    dead._db.close()
    dead._lock.let_go()
    proxy.always = Status(400)
    with handle(metrics_url=proxy.write_url, spool_dir=str(directory), push_interval=60) as monitoring:
        call(monitoring)
        wait_until(lambda: monitoring.stats().totals_refused == 2)
        wait_until(lambda: not path.exists())
        told = {
            sample.labels: sample.value for sample in monitoring._runner.metrics.samples() if "dropped" in sample.name
        }
        assert b"damagef" not in [request.body for request in proxy.requests]
    assert told[("signal", "totals"), ("reason", "rejected")] == 2


def test_a_forked_child_keeps_nothing_of_the_parents_spool(directory: Path, loki: FakeLoki) -> None:
    with handle(logs_url=loki.push_url, spool_dir=str(directory), **MANUAL) as monitoring:
        loki.refuse()
        call(monitoring, 3)
        loki.wait_until(lambda: monitoring.stats().spooled == 3)
        assert monitoring._runner._exporter is not None
        assert monitoring._runner._exporter._state.spool is not None
        own = monitoring._runner._exporter._state.spool.own
        assert own is not None
        child = os.fork()
        if not child:
            held = [path.resolve() for path in Path("/proc/self/fd").iterdir()]
            os._exit(sum(path == own._lock.path for path in held) + monitoring.stats().spooled)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        loki.listen()
        settled(monitoring)
    assert len(loki.entries) == 3

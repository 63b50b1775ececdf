"""Odd interpreters, frozen processes, many clients, and loggers that show everything."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from monitored_openai import MonitoredOpenAI, MonitoringSettings
from monitored_openai._exporter import monitoring_for
from tests.support.handles import QUICK, ask, call, handle, http, imbalance, in_process_transport, settled
from tests.support.programs import run, running, settings
from tests.support.servers._http import wait_until
from tests.support.servers.loki import FakeLoki


@pytest.mark.parametrize("options", [("-I",), ("-OO",), ("-W", "error"), ("-X", "dev", "-W", "error")], ids=" ".join)
def test_odd_interpreters_deliver(options: tuple[str, ...], loki: FakeLoki) -> None:
    env = settings(logs_url=loki.push_url) | {"OPENAI_BASE_URL": "http://api.test/v1"}

    ended = run("plain", env=env, options=options)

    assert (ended.code, ended.said) == (0, {"complete": True}), ended.err
    assert len(loki.entries) == 1
    assert "Error" not in ended.err
    assert "ResourceWarning" not in ended.err


def test_where_no_thread_can_be_started_calls_work_and_what_is_lost_is_counted(loki: FakeLoki) -> None:
    env = settings(logs_url=loki.push_url) | {"OPENAI_BASE_URL": "http://api.test/v1"}

    ended = run("isolated", env=env)

    if "does not support loading in subinterpreters" in ended.err:
        pytest.skip("a dependency cannot be imported in a subinterpreter")
    assert ended.code == 0, ended.err
    assert ended.said == {"answer": "fine", "dropped": {"closed": 1}, "metrics_dropped": {"closed": 1}}


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="Python 3.11 aborts when a subinterpreter with threads is destroyed"
)
def test_a_subinterpreter_that_may_start_threads_delivers_when_it_is_destroyed(loki: FakeLoki) -> None:
    env = settings(logs_url=loki.push_url) | {"OPENAI_BASE_URL": "http://api.test/v1"}

    ended = run("subinterpreter", env=env)

    assert (ended.code, ended.err, ended.said) == (0, "", "done")
    assert len(loki.entries) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system freezes no process")
def test_a_process_that_was_frozen_goes_on_and_loses_nothing(loki: FakeLoki, tmp_path: Path) -> None:
    env = settings(logs_url=loki.push_url, log_linger=0.1, flush_on_call=False)
    made = tmp_path / "made"
    with running("spooling", 100, made, env=env | {"OPENAI_BASE_URL": "http://api.test/v1"}) as program:
        loki.wait_until(lambda: len(loki.entries) > 20, timeout=40)
        os.kill(program.pid, signal.SIGSTOP)
        before = set(made.read_text().splitlines()[:-1])  # the last line may be half written
        loki.refuse()  # every connection is cut meanwhile
        loki.listen()
        os.kill(program.pid, signal.SIGCONT)
        loki.wait_until(lambda: len(loki.entries) > len(before) + 20, timeout=40)

    told = [json.loads(entry.line)["request"]["messages"][0]["content"] for entry in loki.entries]
    assert (before - set(told), len(told) - len(set(told)), loki.rejected) == (set(), 0, [])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list descriptors")
def test_a_thousand_clients_cost_one_thread_and_no_descriptor(loki: FakeLoki) -> None:
    def client() -> MonitoredOpenAI:
        transport = http.Client(transport=in_process_transport())
        made = MonitoredOpenAI(
            base_url="http://api.test/v1", api_key="sk-test", http_client=transport, monitoring=shared
        )
        ask(made)
        return made

    shared = MonitoringSettings(logs_url=loki.push_url, **QUICK)
    first = client()
    try:
        first.monitoring.flush(20)
        wait_until(lambda: "monitored-openai-resolver" not in {thread.name for thread in threading.enumerate()})
        before = descriptors(), threading.active_count()
        kept = [client() for _ in range(100)]
        for _ in range(899):
            client()
        gc.collect()
        assert first.monitoring.flush(60).complete
        wait_until(lambda: (descriptors(), threading.active_count()) == before)
        assert len(loki.entries) == 1000
        assert all(one.monitoring is first.monitoring for one in kept)
    finally:
        monitoring_for(shared).close(0)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count of names, of which one is gone by then


def test_with_every_logger_open_a_dead_back_end_is_told_of_once_and_in_no_entry(
    loki: FakeLoki, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    loki.refuse()
    with handle(logs_url=loki.push_url) as monitoring:
        for _ in range(10):
            call(monitoring, 20)
            monitoring.flush(0.05)
        ours = [record.getMessage() for record in caplog.records if record.name.startswith("monitored_openai")]
        assert sum("could not be delivered yet" in message for message in ours) <= 1
        assert len(ours) <= 5
        stats = monitoring.stats()
        assert (stats.produced, imbalance(stats)) == (200, (0, 0))  # no line of a log has become an entry
        loki.listen()
        settled(monitoring)
    assert len(loki.entries) == 200

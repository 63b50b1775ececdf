from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from monitored_openai._exporter.runtime.process import PROCESS
from monitored_openai._metrics.names import REQUESTS
from tests.support.handles import MANUAL, call, handle, settled
from tests.support.programs import run, settings
from tests.support.programs.fork_moments import FORKS
from tests.support.programs.forking import CALLS, CHILDREN, SITUATIONS
from tests.support.servers.loki import FakeLoki
from tests.support.servers.remote_write import RemoteWriteProxy

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

COUNT = "gen_ai_client_operation_duration_seconds_count"
OPTIONS = ("-X", "dev") if sys.version_info < (3, 12) else ("-W", "ignore::DeprecationWarning")
"""From 3.12 on Python warns of each fork of a process with threads, of which the exporter's is one from the first call
on: a program that turns this warning into an error cannot fork any more then. It may fork before its first call."""

BEFOREHAND = "with a client made beforehand"
CASES: list[tuple[str, tuple[float, ...]]] = [
    (situation, ()) for situation in SITUATIONS if situation not in ("soon after the first call", BEFOREHAND)
]
CASES += [("soon after the first call", (seconds,)) for seconds in (0, 0.03, 0.1, 0.3)]


def env(proxy: RemoteWriteProxy, loki: FakeLoki, metrics: bool = True) -> dict[str, str]:
    urls = {"metrics_url": proxy.write_url} if metrics else {}
    return settings(logs_url=loki.push_url, push_interval=1, log_linger=0.2, exit_timeout=30, **urls) | {
        "OPENAI_BASE_URL": "http://api.test/v1"
    }


@pytest.mark.parametrize(("situation", "arguments"), CASES, ids=[" ".join(map(str, (s, *a))) for s, a in CASES])
def test_parent_and_children_deliver_their_own_calls_exactly(
    situation: str, arguments: tuple[float, ...], proxy: RemoteWriteProxy, loki: FakeLoki
) -> None:
    ended = run("forking", situation, *arguments, env=env(proxy, loki), options=OPTIONS)

    assert (ended.code, quiet(ended.err)) == (0, "")
    made = ended.said["calls"]
    assert (len(loki.entries), proxy.total(COUNT)) == (made, made)
    assert (loki.duplicates, loki.rejected, proxy.violations) == (0, [], [])


def quiet(err: str) -> str:
    """What Python's development mode says of us; of slow callbacks and of the SDK's clients that the programs leave
    open it speaks too."""
    about = ("took", "unclosed", "ResourceWarning", "Object allocated", "tracemalloc")
    return "\n".join(line for line in err.splitlines() if not any(word in line for word in about)).strip()


def test_children_of_a_parent_without_calls_have_an_instance_each(proxy: RemoteWriteProxy, loki: FakeLoki) -> None:
    names = settings(metric_names="gen_ai,otel_genai")
    ended = run("forking", BEFOREHAND, env=env(proxy, loki) | names, options=OPTIONS)

    assert (ended.code, quiet(ended.err)) == (0, "")
    assert (len(loki.entries), loki.duplicates, loki.rejected, proxy.violations) == (CHILDREN * CALLS, 0, [], [])
    instances = [dict(labels)["instance"] for labels in proxy.latest(COUNT)]
    assert len(set(instances)) == len(instances) == CHILDREN
    assert set(proxy.latest(COUNT).values()) == set(proxy.latest(REQUESTS.name).values()) == {CALLS}


def test_a_parent_that_has_made_no_call_forks_without_a_warning_even_where_warnings_are_errors(
    proxy: RemoteWriteProxy, loki: FakeLoki
) -> None:
    options = ("-W", "error::DeprecationWarning:__main__")

    ended = run("forking", BEFOREHAND, env=env(proxy, loki), options=options)

    assert (ended.code, ended.err) == (0, "")
    assert len(loki.entries) == CHILDREN * CALLS


def test_children_are_silent_when_only_the_log_is_exported(proxy: RemoteWriteProxy, loki: FakeLoki) -> None:
    ended = run("forking", "and collects garbage", env=env(proxy, loki, metrics=False), options=OPTIONS)

    assert (ended.code, quiet(ended.err)) == (0, "")
    assert len(loki.entries) == ended.said["calls"]


def test_at_each_fork_the_exporters_thread_waits_and_holds_no_lock_that_a_child_would_inherit(
    proxy: RemoteWriteProxy, loki: FakeLoki, tmp_path: Path
) -> None:
    files = settings(spool_dir=tmp_path / "spool", host_dir=tmp_path / "host")

    ended = run("fork_moments", env=env(proxy, loki) | files, options=OPTIONS)

    assert (ended.code, quiet(ended.err)) == (0, "")
    assert ended.said["complete"]
    assert len(ended.said["moments"]) >= FORKS
    assert set(ended.said["moments"]) == {"inner"}  # the decorator around the selector's `select`


def test_a_signal_handler_that_runs_during_a_fork_can_deliver(proxy: RemoteWriteProxy) -> None:
    with handle(metrics_url=proxy.write_url, **MANUAL) as monitoring:
        call(monitoring, 3)
        PROCESS.before_fork()
        try:
            assert monitoring.flush(30).complete
        finally:
            PROCESS.after_fork_in_parent()
        call(monitoring)
        settled(monitoring)
    assert proxy.total(COUNT) == 4


def raw_fork() -> int:
    """As `os.fork`, but Python does not hear of it. A thread that waits for Python's lock would have asked for it to be
    handed over, and in the child, where that thread is not, this would wait for ever: so none gets to ask."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        time.sleep(0.1)  # whoever waits gets it, and asks no more before the new interval is over
        child = int(ctypes.PyDLL(None).fork())
        if not child:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(60)
        return child
    finally:
        sys.setswitchinterval(interval)


def test_a_child_of_whose_fork_python_does_not_hear_ends_without_waiting_for_the_parents_thread(loki: FakeLoki) -> None:
    """As a worker of uWSGI's to which no request came."""
    with handle(logs_url=loki.push_url, **MANUAL) as monitoring:
        call(monitoring, 3)
        child = raw_fork()
        if not child:
            PROCESS.at_exit()
            os._exit(monitoring.stats().calls + (monitoring._runner._thread is not None))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        settled(monitoring)
    assert len(loki.entries) == 3


def test_a_child_of_whose_fork_python_does_not_hear_may_fork_without_waiting_for_the_parents_thread() -> None:
    PROCESS.forks.close()  # as if the parent's thread were in a step
    try:
        parents = PROCESS.forks
        child = raw_fork()
        if not child:
            PROCESS.before_fork()
            os._exit(PROCESS.forks is parents)
    finally:
        PROCESS.forks.open()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

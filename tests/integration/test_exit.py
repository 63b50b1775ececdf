from __future__ import annotations

import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.handles import call, handle, settled
from tests.support.programs import Ended, run, settings
from tests.support.programs.ending import CALLS, EXIT_CODE
from tests.support.servers._http import wait_until
from tests.support.servers.loki import FakeLoki, NeverAnswer, Status
from tests.support.servers.openai_api import OpenAIServer
from tests.support.servers.remote_write import RemoteWriteProxy

COUNT = "gen_ai_client_operation_duration_seconds_count"
ALONE = {"return": CALLS, "exit": CALLS, "exception": CALLS, "interrupt": CALLS + 1, "late thread": CALLS + 1}
METHODS = multiprocessing.get_all_start_methods()
WITH_CHILDREN = {
    **({"fork": 3 * CALLS} if "fork" in METHODS else {}),
    **{f"process by {method}": 2 * CALLS for method in METHODS},
    **{f"pool by {method}": 2 * CALLS for method in METHODS if method != "forkserver"},
}
WITHOUT_NOTICE = {"termination later": CALLS, "os._exit": CALLS, "kill": CALLS}
"""Ways of ending in which nothing of Python runs any more."""
CODES = {
    "exit": EXIT_CODE,
    "exception": 1,
    "interrupt": -2,
    "termination later": -15,
    "os._exit": EXIT_CODE,
    "kill": -9,
}
EXIT_BAR = 2.5
"""Seconds that a dead back end may add to the exit; the tests allow four times as much, for a machine under load."""


def env(
    host: str, proxy: RemoteWriteProxy, loki: FakeLoki, api: OpenAIServer | None = None, **values: object
) -> dict[str, str]:
    """Back ends under a name or under an address; nothing is due before the exit."""
    urls = settings(
        metrics_url=proxy.write_url.replace("127.0.0.1", host),
        logs_url=loki.push_url.replace("127.0.0.1", host),
        push_interval=60,
        log_linger=60,
        **values,
    )
    return {**urls, "OPENAI_BASE_URL": api.base_url if api else "http://api.test/v1"}


def code_and_noise(way: str, ended: Ended, *, outage: bool = False) -> tuple[int, str]:
    """The exit code, and what stands on stderr that does not belong to the way of ending, or to an outage."""
    expected = {"exception": "ZeroDivisionError: as an uncaught exception", "interrupt": "KeyboardInterrupt"}
    noise = ended.noise if outage else ended.err
    if way in expected:
        assert noise.startswith("Traceback (most recent call last):")
        assert noise.rstrip().endswith(expected[way])
        noise = ""
    if way == "fork" and sys.version_info >= (3, 12):
        # Python warns of every fork of a process with threads, and the exporter's is one.
        noise = "\n".join(
            line for line in noise.splitlines() if "DeprecationWarning" not in line and "fork()" not in line
        )
    return ended.code, noise.strip()


CASES = [(way, calls, host, False) for way, calls in ALONE.items() for host in ("localhost", "127.0.0.1")]
CASES += [(way, calls, "localhost", False) for way, calls in WITH_CHILDREN.items()]
CASES += [(way, calls, "localhost", True) for way, calls in (ALONE | WITH_CHILDREN).items()]


def name_of(way: str, host: str, spooled: bool) -> str:
    return f"{way}, {host}{', spool' if spooled else ''}"


@pytest.mark.parametrize(
    ("way", "calls", "host", "spooled"), CASES, ids=[name_of(way, host, spooled) for way, _, host, spooled in CASES]
)
def test_however_a_process_ends_everything_is_delivered(
    way: str,
    calls: int,
    host: str,
    spooled: bool,
    api: OpenAIServer,
    proxy: RemoteWriteProxy,
    loki: FakeLoki,
    tmp_path: Path,
) -> None:
    spool = {"spool_dir": tmp_path / "spool"} if spooled else {}

    ended = run("ending", way, env=env(host, proxy, loki, api, exit_timeout=30, **spool))

    assert code_and_noise(way, ended) == (CODES.get(way, 0), "")
    assert api.truth.calls_by_outcome() == {"ok": calls}
    assert (len(loki.entries), proxy.total(COUNT)) == (calls, calls)
    assert (loki.duplicates, loki.rejected, proxy.violations) == (0, [], [])
    assert list(tmp_path.glob("spool/*")) == []


@pytest.mark.skipif(os.name != "posix", reason="the spool needs locks that end with their process")
@pytest.mark.parametrize(("way", "calls"), (ALONE | WITHOUT_NOTICE).items())
def test_however_a_process_ends_in_an_outage_another_one_delivers_what_it_has_left_in_the_spool(
    way: str, calls: int, api: OpenAIServer, proxy: RemoteWriteProxy, loki: FakeLoki, tmp_path: Path
) -> None:
    own = {"metrics_url": proxy.write_url, "logs_url": loki.push_url, "spool_dir": str(tmp_path / "spool")}
    for back_end in (proxy, loki):
        back_end.refuse()
    ended = run("ending", way, env=env("127.0.0.1", proxy, loki, api, exit_timeout=0.5, spool_dir=tmp_path / "spool"))
    assert code_and_noise(way, ended, outage=True) == (CODES.get(way, 0), "")
    for back_end in (proxy, loki):
        back_end.listen()
    with handle(**own, push_interval=60) as heir:
        call(heir)
        wait_until(lambda: (len(loki.entries), proxy.total(COUNT)) == (calls + 1, calls), 60)
        settled(heir, 60)

    assert proxy.total(COUNT) == calls + 1
    assert (loki.duplicates, loki.rejected, proxy.violations) == (0, [], [])
    assert list(tmp_path.glob("spool/*")) == []


@pytest.mark.parametrize(("way", "code"), [("termination", -15), ("handled termination", EXIT_CODE)])
def test_sigterm_delivers_everything_where_it_is_asked_to_and_ends_the_process_as_ever(
    way: str, code: int, api: OpenAIServer, proxy: RemoteWriteProxy, loki: FakeLoki
) -> None:
    ended = run("ending", way, env=env("localhost", proxy, loki, api, exit_timeout=30, handle_sigterm=True))

    assert (ended.code, ended.err) == (code, "")
    assert (len(loki.entries), proxy.total(COUNT)) == (CALLS, CALLS)


def queue(number: int, env: dict[str, str], timeout: float = 60) -> tuple[Any, float]:
    """What the books say after the exit of a program with many calls, and how long its exit took."""
    ended = run("queueing", number, env=settings(exit_timeout=60) | env, timeout=timeout)
    took = time.monotonic() - ended.said["done"]
    assert (ended.code, ended.noise) == (0, "")
    return ended.said, took


@pytest.mark.parametrize("fault", [None, Status(503), Status(401), NeverAnswer()], ids=["gone", "503", "401", "silent"])
def test_a_dead_back_end_holds_up_the_exit_for_a_moment_only_and_the_books_say_what_was_lost(
    fault: Status | NeverAnswer | None, proxy: RemoteWriteProxy, loki: FakeLoki
) -> None:
    for back_end in (proxy, loki):
        back_end.always = fault
        if fault is None:
            back_end.refuse()

    said, took = queue(1000, env("localhost", proxy, loki))

    assert took < 4 * EXIT_BAR
    assert (said["calls"], said["folded"], said["delivered"], said["left"]) == (1000, 1000, 0, 0)
    assert said["dropped"] == {"shutdown": 1000}


def test_one_dead_back_end_does_not_keep_the_other_from_being_served_at_exit(
    proxy: RemoteWriteProxy, loki: FakeLoki
) -> None:
    loki.always = NeverAnswer()

    said, took = queue(1000, env("localhost", proxy, loki))

    assert took < 4 * EXIT_BAR
    assert said["dropped"] == {"shutdown": 1000}
    assert proxy.total(COUNT) == 1000


def test_imports_that_take_long_at_exit_lose_nothing(
    api: OpenAIServer, proxy: RemoteWriteProxy, loki: FakeLoki
) -> None:
    ended = run("slow_start", env=env("localhost", proxy, loki, api, exit_timeout=30))

    assert (ended.code, ended.err) == (0, "")
    assert (len(loki.entries), proxy.total(COUNT)) == (1, 1)


def test_a_healthy_back_end_holds_up_the_exit_no_longer_than_it_takes(proxy: RemoteWriteProxy, loki: FakeLoki) -> None:
    said, took = queue(100, env("localhost", proxy, loki))

    assert took < 4 * EXIT_BAR
    assert (said["delivered"], said["dropped"]) == (100, {})


@pytest.mark.timeout(300)
def test_eight_thousand_calls_in_a_tight_loop_and_a_plain_exit_all_arrive(
    proxy: RemoteWriteProxy, loki: FakeLoki
) -> None:
    loki.keep_requests = proxy.keep_requests = False

    said, _ = queue(8_000, env("localhost", proxy, loki), timeout=240)

    assert (said["calls"], said["folded"], said["delivered"], said["dropped"]) == (8_000, 8_000, 8_000, {})
    assert proxy.total(COUNT) == 8_000
    assert len(loki.entries) == 8_000
    assert (loki.duplicates, loki.rejected, proxy.violations, len(loki.streams)) == (0, [], [], 1)


def test_a_process_that_made_no_call_leaves_no_trace(proxy: RemoteWriteProxy, loki: FakeLoki) -> None:
    ended = run("ending_unused", env=env("localhost", proxy, loki))

    assert (ended.code, ended.err, ended.said) == (0, "", {"threads": 1})
    assert (proxy.connections, loki.connections) == (0, 0)


@pytest.mark.parametrize("way", ["pattern", "function"])
def test_a_redaction_that_does_not_end_holds_up_no_exit(way: str, loki: FakeLoki, proxy: RemoteWriteProxy) -> None:
    ended = run("hanging", way, env=env("127.0.0.1", proxy, loki, exit_timeout=1))
    took = time.monotonic() - ended.said["ends_at"]
    assert ended.code == 0, ended.err
    assert took < 4 * EXIT_BAR
    assert not any("aaaa!" in str(entry) for entry in loki.entries)

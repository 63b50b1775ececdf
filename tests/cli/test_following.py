"""Following a log: each entry is shown once, even if entries arrive late, together or too fast to be read."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitored_openai._cli.main import main
from monitored_openai._cli.query.following import LATE_NS, MAX_PAGE, TRAIL_NS, Follower, Skipped
from monitored_openai._cli.query.http_api import HttpApi
from monitored_openai._cli.query.loki_log import Entry, LokiLog
from monitored_openai._exporter.encoders import loki as loki_push
from tests.support.servers.loki import Entry as Stored
from tests.support.servers.loki import FakeLoki

SECOND = 10**9
COMMAND = Path(sys.executable).with_name("monitored-openai")


@dataclass
class Log:
    """A log that keeps what it is given, and a clock that goes on when it is read."""

    now: int = 1000 * SECOND
    page_ns: int = 0
    """How long a page takes."""
    entries: list[Entry] = field(default_factory=list)
    pages: int = 0

    def add(self, at_ns: int, line: str) -> None:
        self.entries.append(Entry(at_ns=at_ns, line=line))

    def page(self, start: int, end: int, *, limit: int) -> list[Entry]:
        assert limit <= 5000
        self.pages += 1
        found = sorted((one for one in self.entries if start <= one.at_ns < end), key=lambda one: one.at_ns)[:limit]
        self.now += self.page_ns
        return found

    def count(self, start: int, end: int) -> int:
        return sum(start <= one.at_ns < end for one in self.entries)

    def clock(self) -> int:
        return self.now


def shown(follower: Follower) -> tuple[list[str], int]:
    """The lines of a look, and how many entries it skipped."""
    found = list(follower.poll())
    lines = [one.line for one in found if isinstance(one, Entry)]
    return lines, sum(one.number for one in found if isinstance(one, Skipped))


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=60),
    st.integers(1, 4),
)
def test_each_entry_that_arrives_within_two_minutes_is_shown_once(
    arrivals: list[tuple[int, int]], pause_seconds: int
) -> None:
    log = Log()
    log.add(log.now - SECOND, "was there before")
    follower = Follower(log, clock=log.clock)
    lines: list[str] = []
    for number, (late_seconds, after) in enumerate(arrivals):
        log.now += after * SECOND // 3 + 1
        log.add(max(log.now - late_seconds * SECOND, 1000 * SECOND - TRAIL_NS), str(number))
        if number % pause_seconds == 0:
            lines += shown(follower)[0]
    for _ in range(3):
        log.now += 16 * SECOND
        lines += shown(follower)[0]

    assert sorted(lines, key=int) == [str(number) for number in range(len(arrivals))]


def test_more_entries_of_one_timestamp_than_a_page_are_all_shown() -> None:
    log = Log()
    follower = Follower(log, clock=log.clock)
    log.now += SECOND
    for number in range(MAX_PAGE - 1):
        log.add(log.now - 1, str(number))

    assert len(shown(follower)[0]) == MAX_PAGE - 1


def test_more_entries_of_one_timestamp_than_loki_gives_are_counted_and_the_next_ones_shown() -> None:
    log = Log()
    follower = Follower(log, clock=log.clock)
    log.now += SECOND
    for number in range(MAX_PAGE + 300):
        log.add(log.now - 2, str(number))
    log.add(log.now - 1, "next")

    lines, skipped = shown(follower)

    assert (len(lines), lines[-1], skipped) == (MAX_PAGE + 1, "next", 300)


def test_what_cannot_be_read_in_time_is_skipped_and_counted() -> None:
    log = Log(page_ns=8 * SECOND)
    follower = Follower(log, clock=log.clock)
    log.now += LATE_NS
    began = log.now - LATE_NS
    for number in range(60_000):
        log.add(began + number * LATE_NS // 60_000, str(number))

    found = [shown(follower) for _ in range(8)]

    lines, skipped = [line for one in found for line in one[0]], sum(one[1] for one in found)
    assert skipped > 0
    assert len(lines) == len(set(lines))
    assert len(lines) + skipped == len(log.entries)
    log.add(log.now, "newest")
    log.now += SECOND
    assert shown(follower) == (["newest"], 0)


def test_a_quiet_log_costs_one_request_a_look() -> None:
    log = Log()
    follower = Follower(log, clock=log.clock)
    before = log.pages
    for _ in range(10):
        log.now += 2 * SECOND
        assert shown(follower) == ([], 0)

    assert log.pages - before == 10


def put(loki: FakeLoki, at_ns: int, line: str) -> None:
    labels = {"job": "integrations/openai"}
    stored = Stored(tenant="fake", labels=labels, ts=at_ns, line=line, metadata={})
    loki.entries.append(stored)
    loki.samples.append(stored)


def test_pages_and_counts_of_loki_agree_to_the_nanosecond(loki: FakeLoki) -> None:
    for number in range(10):
        put(loki, 1000 + number, json.dumps({"id": str(number)}))
    with HttpApi(loki.url, {}) as backend:
        log = LokiLog(backend, '{job="integrations/openai"}')

        assert [entry.at_ns for entry in log.page(1002, 1007, limit=3)] == [1002, 1003, 1004]
        assert [entry.at_ns for entry in log.page(1002, 1007, limit=3, newest=True)] == [1004, 1005, 1006]
        assert (log.count(1002, 1007), log.count(1002, 1003), log.count(1002, 1002), log.count(0, 900)) == (5, 1, 0, 0)


@pytest.mark.alone
@pytest.mark.timeout(180)
def test_tail_without_an_address_shows_all_of_700_calls_a_second(
    loki: FakeLoki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_LOGS_URL", loki.push_url)
    command = [str(COMMAND), "tail", "-n", "0"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines: list[str] = []
    try:
        assert running.stdout is not None
        reading = threading.Thread(target=lambda: lines.extend(running.stdout or ()))
        reading.start()
        loki.wait_until(lambda: any("query_range" in one.target for one in loki.requests), timeout=60)
        for tenth in range(20):
            for number in range(70):
                put(
                    loki, time.time_ns(), json.dumps({"id": f"{tenth}-{number}", "request_model": f"m{tenth}-{number}"})
                )
            time.sleep(0.1)  # the rate is what is tested
        loki.wait_until(lambda: len(lines) >= 1400, timeout=60)
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 0
        reading.join(60)
        assert running.stderr is not None
        assert running.stderr.read() == ""
    finally:
        running.kill()
        running.wait(timeout=60)
        for pipe in (running.stdout, running.stderr):
            if pipe is not None:
                pipe.close()

    names = [line.split()[1] for line in lines]
    assert len(names) == len(set(names)) == 1400


def test_tail_finds_loki_beside_its_push_address(
    loki: FakeLoki, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(loki, time.time_ns() - SECOND, json.dumps({"id": "1", "request_model": "gpt-4o"}))
    for url in (loki.push_url, f"{loki.url}/api/prom/push", loki.url):
        monkeypatch.setenv("MONITORED_OPENAI_LOGS_URL", url)

        assert main(["tail", "--no-follow"]) == 0
        assert "gpt-4o" in capsys.readouterr().out


def test_a_push_of_the_library_is_found_by_its_labels(
    loki: FakeLoki, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_LOGS_URL", loki.push_url)
    now = time.time_ns()
    entry = loki_push.encode_entry(
        now - SECOND, '{"id":"1","request_model":"a","error_type":"timeout"}', {"error_type": "timeout"}
    )
    other = loki_push.encode_entry(now, '{"id":"2","request_model":"b"}', {})
    body = loki_push.encode_push([({"job": "j", "environment": "e"}, [entry, other])])
    assert httpx.post(loki.push_url, content=body, headers=loki_push.HEADERS).is_success

    assert (
        main(["tail", "--no-follow", "--job", "j", "--errors", "--where", "environment=e", "--grep", '"id":"1"']) == 0
    )
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["a"]

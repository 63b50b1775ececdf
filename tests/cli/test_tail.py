"""`tail` against a fake Loki that answers range queries."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from typing import Any

import pytest

from monitored_openai._cli.query.tail import query
from tests.support.command import COMMAND, Asked, LokiQueries, Other
from tests.support.logql import faults_of

pytestmark = pytest.mark.usefixtures("wide")


def line_of(number: int, **more: Any) -> str:
    call = {"id": f"id-{number}", "request_model": "gpt-4o", "duration_seconds": 0.5, **more}
    return json.dumps(call)


CHAT = {
    "usage": {"input_tokens": 7, "output_tokens": 5},
    "cost": {"total_usd": 0.00026},
    "request": {"messages": [{"role": "user", "content": "Where is\x1b[31m it?"}]},
    "response": {"choices": [{"message": {"content": "Here."}}]},
}


def test_tail_shows_the_newest_calls_in_their_order(queries: LokiQueries, ask: Asked) -> None:
    now = time.time_ns()
    queries.entries = [
        (now - 10**9 * (9 - number), line_of(number, attributes={"n": str(number)})) for number in range(9)
    ]

    shown = ask("tail", "--url", queries.url, "--no-follow", "-n", 3)

    assert [line.rpartition("=")[2] for line in shown.splitlines()] == ["6", "7", "8"]


def test_tail_marks_a_cost_that_is_a_lower_bound(queries: LokiQueries, ask: Asked) -> None:
    now = time.time_ns()
    queries.entries = [(now - 1, line_of(1, **CHAT)), (now, line_of(2, **CHAT, cost_incomplete=["file_search"]))]

    whole, part = ask("tail", "--url", queries.url, "--no-follow").splitlines()

    assert "  $0.000260" in whole
    assert "  ≥$0.000260" in part


def test_tail_shows_no_small_cost_as_zero(queries: LokiQueries, ask: Asked) -> None:
    queries.entries = [(time.time_ns(), line_of(1, **{**CHAT, "cost": {"total_usd": 1.3e-7}}))]

    assert "  $0.00000013" in ask("tail", "--url", queries.url, "--no-follow")


def test_tail_shows_content_only_when_asked_and_makes_it_harmless(queries: LokiQueries, ask: Asked) -> None:
    now = time.time_ns()
    queries.entries = [
        (now - 3, line_of(1, **CHAT)),
        (now - 2, line_of(2, error_type="rate_limit", error_message="Slow down.\nPlease.")),
        (now - 1, "no JSON at all"),
    ]
    short = ask("tail", "--url", queries.url, "--no-follow")
    long = ask("tail", "--url", queries.url, "--no-follow", "--content")

    assert "gpt-4o  0.50 s  7+5 tokens  $0.000260" in short
    assert "rate_limit: Slow down.\n" in short
    assert "Where is" not in short
    assert "asked     Where is\\x1b[31m it?\n" in long
    assert "answered  Here.\n" in long
    assert "\x1b" not in long


ODD_ENTRIES = [
    {"id": "1", "operation": "transcription", "response": "What was heard.", "request": {"file": "a.mp3"}},
    {"id": "2", "response": {"choices": ["x", 5, {"message": "m"}]}, "request": {"messages": [[], 5, None]}},
    {"id": "3", "response": [2], "request": 1, "attributes": [1], "usage": 5, "duration_seconds": True},
    {"id": "4", "cost": {"total_usd": "much"}, "error_type": 5, "error_message": ["a"], "request_model": {"a": "\x1b"}},
    {"id": {"a": 1}, "response": {"output": [{"type": "function_call", "name": "look", "arguments": "{}"}]}},
    {"doctor": "a test entry"},
    {"doctor": "another one"},
    [],
]


def test_tail_shows_entries_however_odd_they_are(queries: LokiQueries, ask: Asked) -> None:
    now = time.time_ns()
    lines = [*map(json.dumps, ODD_ENTRIES), "[" * 100_000]
    queries.entries = [(now - 1000 + number, line) for number, line in enumerate(lines)]

    shown = ask("tail", "--url", queries.url, "--no-follow", "--content", "-n", 20)

    assert "answered  What was heard.\n" in shown
    assert "answered  look({})\n" in shown
    assert '{"doctor": "another one"}\n' in shown
    assert len(re.findall(r"^\d\d:\d\d:\d\d  ", shown, re.MULTILINE)) == len(lines)
    assert "\x1b" not in shown


@pytest.mark.parametrize("at_ns", [0, -(10**30), 10**30, -1])
def test_tail_shows_entries_of_any_time(at_ns: int, ask: Asked) -> None:
    values = [[str(at_ns), line_of(1)]]
    with Other(json.dumps({"data": {"result": [{"stream": {}, "values": values}]}})) as server:
        assert "gpt-4o" in ask("tail", "--no-follow", "--url", server.url)


@pytest.mark.timeout(180)
def test_tail_follows_until_it_is_interrupted(queries: LokiQueries) -> None:
    command = [str(COMMAND), "tail", "--url", queries.url, "-n", "0"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        queries.wait_until(lambda: len(queries.requests) > 0, timeout=60)
        queries.entries.append((time.time_ns(), line_of(1)))
        assert "gpt-4o" in running.stdout.readline()
        running.send_signal(signal.SIGINT)
        assert (*running.communicate(timeout=60), running.returncode) == ("", "", 0)
    finally:
        running.kill()
        running.communicate(timeout=60)


def test_what_tail_asks_is_logql_whatever_is_in_it() -> None:
    asked = [
        query(job="integrations/openai", errors=False, grep=None, where=()),
        query(job='a"}', errors=True, grep='say "hi" \\', where=("environment=prod", "model=gpt-4o", 'customer=a"b')),
        query(job="j", errors=False, grep=None, where=("response_model=gpt-4o-2024-08-06", "service=shop")),
    ]

    assert asked[1].startswith('{job="a\\"}", environment="prod"} |= "say \\"hi\\" \\\\" | request_model="gpt-4o"')
    assert asked[2] == '{job="j", service_name="shop"} | model="gpt-4o-2024-08-06"'
    assert faults_of(asked) == {}

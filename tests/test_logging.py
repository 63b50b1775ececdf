"""The package's own log lines."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from types import SimpleNamespace

import pytest

from monitored_openai import _logging
from monitored_openai._logging import warn_sparsely


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that pass only when the test says so, and nothing said yet."""
    now = [1000.0]
    monkeypatch.setattr(_logging, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(_logging, "_said", {})
    return now


def test_the_same_thing_is_said_once_a_minute_and_then_with_the_number_left_out(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in repeat(None, 5):
        warn_sparsely("push", "no %s", "luck")
    clock[0] += 59
    warn_sparsely("push", "no %s", "luck")
    clock[0] += 1
    warn_sparsely("push", "no %s", "luck")
    clock[0] += 60
    warn_sparsely("push", "no %s", "luck")
    assert caplog.messages == ["no luck", "no luck (5 more like this in the last 60 s)", "no luck"]
    assert {(line.name, line.levelno) for line in caplog.records} == {("monitored_openai", logging.WARNING)}


def test_threads_that_warn_at_once_log_one_line_and_lose_no_count(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    each, threads = 200, 8
    start = threading.Barrier(threads)

    def warn() -> None:
        start.wait(30)
        for _ in range(each):
            warn_sparsely("push", "no luck")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(warn) for _ in range(threads)]:
                done.result(30)
    finally:
        sys.setswitchinterval(interval)
    clock[0] += 60
    warn_sparsely("push", "no luck")

    assert caplog.messages == ["no luck", f"no luck ({each * threads - 1} more like this in the last 60 s)"]


def test_different_things_are_said_side_by_side(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    warn_sparsely("push", "one")
    warn_sparsely("logs", "two")
    assert caplog.messages == ["one", "two"]


def test_a_traceback_goes_along_only_where_it_is_asked_for(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    try:
        int("no")
    except ValueError:
        warn_sparsely("with", "with", exc_info=True)
        warn_sparsely("without", "without")
    assert [bool(line.exc_info) for line in caplog.records] == [True, False]


def test_a_program_that_configures_no_logging_sees_it_on_stderr() -> None:
    program = "from monitored_openai._logging import warn_sparsely; warn_sparsely('a', '%s', 'b'); import logging; print(logging.root.handlers)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "monitored_openai: b\n")


def test_a_handler_of_the_programs_own_that_raises_does_not_raise_into_what_is_going_on(clock: list[float]) -> None:
    class Broken(logging.Handler):
        handled = 0

        def emit(self, record: logging.LogRecord) -> None:
            self.handled += 1
            raise RuntimeError("broken")

    handler = Broken()
    _logging.logger.addHandler(handler)
    try:
        warn_sparsely("push", "no luck")
    finally:
        _logging.logger.removeHandler(handler)
    assert handler.handled == 1

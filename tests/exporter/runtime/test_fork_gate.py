"""A fork waits for the steps of the exporter's thread; here `close` and `open` are those of a fork."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from monitored_openai._exporter.runtime import fork_gate
from monitored_openai._exporter.runtime.fork_gate import ForkGate
from monitored_openai._exporter.runtime.thread import ExporterThread
from tests.support.servers._http import wait_until


@pytest.fixture
def gate() -> ForkGate:
    return ForkGate()


@pytest.fixture
def exporter(gate: ForkGate) -> Iterator[ExporterThread]:
    thread = ExporterThread(lambda: None, gate)
    yield thread
    thread.stop(30)
    assert not thread.is_alive


class Fork:
    """Closes the gate on a thread of its own, and opens it when told."""

    def __init__(self, gate: ForkGate, log: list[str]) -> None:
        self._gate, self._log = gate, log
        self.closed, self._may_open = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._gate.close()
        self._log.append("fork")
        self.closed.set()
        self._may_open.wait(30)
        self._log.append("fork over")
        self._gate.open()

    def end(self) -> None:
        assert self.closed.wait(30)
        self._may_open.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


def finished(exporter: ExporterThread, work: Callable[[], object]) -> threading.Event:
    """Do it in a step of the exporter's thread; set when it is done."""
    done = threading.Event()

    def step() -> None:
        work()
        done.set()

    exporter.call(step)
    return done


def test_a_fork_waits_for_the_end_of_a_step_and_the_next_step_for_the_end_of_the_fork(
    gate: ForkGate, exporter: ExporterThread
) -> None:
    log: list[str] = []
    begun = threading.Event()

    def step() -> None:
        begun.set()
        wait_until(lambda: gate.is_awaited)
        log.append("step")

    first = finished(exporter, step)
    assert begun.wait(30)
    fork = Fork(gate, log)
    assert first.wait(30)
    assert fork.closed.wait(30)
    second = finished(exporter, lambda: log.append("next step"))
    fork.end()
    assert second.wait(30)

    assert log == ["step", "fork", "fork over", "next step"]


def test_a_fork_comes_before_the_steps_that_are_due_already(gate: ForkGate, exporter: ExporterThread) -> None:
    steps = 0
    forked = threading.Event()

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == 1:
            begun.set()
            wait_until(lambda: gate.is_awaited)
        if not forked.is_set():
            exporter.call(step)  # each step makes the next one due at once

    begun = threading.Event()
    exporter.call(step)
    assert begun.wait(30)
    fork = Fork(gate, [])
    assert fork.closed.wait(30)
    at_fork = steps
    forked.set()
    fork.end()

    assert at_fork == 1


def test_a_fork_by_the_exporters_own_thread_waits_for_nothing(gate: ForkGate, exporter: ExporterThread) -> None:
    log: list[str] = []

    def step() -> None:
        gate.close()
        log.append("fork")
        gate.open()

    assert finished(exporter, step).wait(30)
    assert finished(exporter, lambda: log.append("next step")).wait(30)
    Fork(gate, log).end()

    assert log == ["fork", "next step", "fork", "fork over"]


def test_a_fork_does_not_wait_for_a_function_of_the_user(gate: ForkGate, exporter: ExporterThread) -> None:
    log: list[str] = []
    begun, forked = threading.Event(), threading.Event()

    def step() -> None:
        with gate.between_steps():
            begun.set()
            log.append(f"forked {forked.wait(30)}")
        log.append("rest of the step")

    done = finished(exporter, step)
    assert begun.wait(30)
    Fork(gate, log).end()
    forked.set()
    assert done.wait(30)

    assert log == ["fork", "fork over", "forked True", "rest of the step"]


def test_a_fork_does_not_wait_forever(
    gate: ForkGate, exporter: ExporterThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_gate, "_MOST_SECONDS", 0.01)
    log: list[str] = []
    begun, over = threading.Event(), threading.Event()

    def step() -> None:
        begun.set()
        over.wait(30)
        log.append("step")

    done = finished(exporter, step)
    assert begun.wait(30)
    for _ in range(2):
        Fork(gate, log).end()
    over.set()
    assert done.wait(30)
    assert finished(exporter, lambda: log.append("next step")).wait(30)

    assert log == ["fork", "fork over", "fork", "fork over", "step", "next step"]


def test_forks_do_not_wait_one_after_the_other_for_the_same_long_step(
    gate: ForkGate, exporter: ExporterThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_gate, "_MOST_SECONDS", 1.0)
    begun, over = threading.Event(), threading.Event()

    def step() -> None:
        begun.set()
        over.wait(60)

    done = finished(exporter, step)
    assert begun.wait(30)
    started = time.monotonic()
    forks = [Fork(gate, []) for _ in range(20)]
    for fork in forks:
        fork.end()
    assert time.monotonic() - started < 8
    over.set()
    assert done.wait(30)


def test_steps_go_on_after_a_fork_that_a_signal_handler_has_ended(
    gate: ForkGate, exporter: ExporterThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_gate, "_MOST_SECONDS", 0.01)

    gate.close()

    assert finished(exporter, lambda: None).wait(30)
    gate.open()
    assert finished(exporter, lambda: None).wait(30)


def test_a_signal_handler_during_a_fork_may_wait_for_a_step(gate: ForkGate, exporter: ExporterThread) -> None:
    other = Fork(gate, [])
    assert other.closed.wait(30)
    gate.give_way()  # another thread forks
    waits = finished(exporter, lambda: None)
    other.end()
    assert waits.wait(30)
    gate.close()
    gate.give_way()
    assert finished(exporter, lambda: None).wait(30)
    gate.open()
    assert finished(exporter, lambda: None).wait(30)


def test_a_step_does_not_wait_forever_for_a_fork_that_a_signal_handler_interrupts(
    gate: ForkGate, exporter: ExporterThread
) -> None:
    with gate._queue:
        gate.is_awaited = True
        for _ in range(3):
            assert finished(exporter, lambda: None).wait(30)
    assert not gate.is_awaited


def test_a_fork_waits_for_a_name_lookup(
    gate: ForkGate, exporter: ExporterThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_gate, "_MOST_SECONDS_ASIDE", 60.0)
    log: list[str] = []
    begun, closing = threading.Event(), threading.Event()

    def look_up(*_: object, **__: object) -> list[object]:
        begun.set()
        assert closing.wait(30)
        log.append("lookup")
        return []

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    found = exporter.submit(exporter._loop.getaddrinfo("host.test", 80))
    assert begun.wait(30)
    fork = Fork(gate, log)
    wait_until(lambda: not _is_open(gate))
    closing.set()
    fork.end()

    assert found.result(30) == []
    assert log == ["lookup", "fork", "fork over"]


def test_a_fork_does_not_wait_for_a_name_lookup_that_hangs(
    gate: ForkGate, exporter: ExporterThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, over = threading.Event(), threading.Event()

    def look_up(*_: object, **__: object) -> list[object]:
        begun.set()
        over.wait(60)
        return []

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    found = exporter.submit(exporter._loop.getaddrinfo("host.test", 80))
    assert begun.wait(30)
    Fork(gate, []).end()
    assert not found.done()
    over.set()
    assert found.result(30) == []


def _is_open(gate: ForkGate) -> bool:
    """True if a step may begin now."""
    if gate._step.acquire(blocking=False):
        gate._step.release()
        return True
    return False

"""Measure a process with a tight loop of calls: its CPU, memory and exit, and the telemetry that arrives."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from benchmarks import child
from benchmarks.figures import Figure, at_most, exactly
from benchmarks.process import WARM_UP, Life, Seen
from benchmarks.sink import back_end

_MIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Measurements of an ended process."""

    seen: Seen
    cpu: float
    """CPU seconds of all threads, from start to end."""
    exit: float
    """Seconds from the last call to the end of the process."""

    @property
    def grown(self) -> float:
        """Largest growth of the memory since the warm-up, in MiB."""
        return (self.seen.most_kib - self.seen.ready_kib) / _MIB


def run(life: Life) -> Outcome:
    """Run a process and return its measurements.

    Raises:
        RuntimeError: The process ended with an error.
    """
    with child.start("-m", "benchmarks.process", json.dumps(asdict(life))) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        ended = time.monotonic()
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the process ended with {process.returncode}")
    seen = Seen(**json.loads(printed))
    return Outcome(seen=seen, cpu=used.ru_utime + used.ru_stime, exit=ended - seen.done)


@contextmanager
def refusing() -> Iterator[str]:
    """Yield the URL of a back end that is down: its port is bound, so that it stays reserved, but does not listen."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def tight_loop(calls: int) -> Iterator[Figure]:
    """Yield the results of small calls without a pause, and of a normal exit."""
    name = f"{calls:,} small calls in a tight loop"
    bare = run(Life(url=None, calls=calls))
    with back_end() as sink:
        healthy = run(Life(url=sink.url, calls=calls))
        received = sink.received()
    with refusing() as url:
        down = run(Life(url=url, calls=calls))
    with back_end(mute=True) as sink:
        mute = run(Life(url=sink.url, calls=calls))
    made = calls + WARM_UP
    yield Figure(name, "calls in the metrics", received.calls, "", exactly(made))
    yield Figure(name, "log entries", received.entries, "", exactly(made))
    yield Figure(name, "sent per call", received.body_bytes / made, "bytes")
    yield Figure(name, "CPU of the bare SDK per call", bare.cpu / made * 1e6, "us")
    for what, outcome in (("healthy", healthy), ("refusing", down), ("mute", mute)):
        added = (outcome.cpu - bare.cpu) / made * 1e6
        yield Figure(name, f"CPU added per call, start and exit included, back end {what}", added, "us")
    for what, outcome in (("healthy", healthy), ("refusing", down), ("mute", mute)):
        bar = None if what == "healthy" else at_most(2.5)
        yield Figure(name, f"exit, back end {what}", outcome.exit - bare.exit, "s", bar)
    for what, outcome in (("healthy", healthy), ("refusing", down), ("mute", mute)):
        yield Figure(name, f"memory added, back end {what}", outcome.grown - bare.grown, "MiB")
    yield Figure(name, "memory added by the package at rest", _at_rest(healthy, bare), "MiB")


def large_into_nowhere(calls: int) -> Iterator[Figure]:
    """Yield the results of large calls with a back end that accepts requests and never answers."""
    name = f"{calls:,} large calls, back end mute"
    bare = run(Life(url=None, calls=calls, large=True))
    with back_end(mute=True) as sink:
        ours = run(Life(url=sink.url, calls=calls, large=True))
    yield Figure(name, "memory added", ours.grown - bare.grown, "MiB", at_most(48))
    yield Figure(name, "exit", ours.exit - bare.exit, "s", at_most(2.5))


def _at_rest(ours: Outcome, bare: Outcome) -> float:
    return (ours.seen.ready_kib - bare.seen.ready_kib) / _MIB

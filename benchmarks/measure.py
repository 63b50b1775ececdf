"""Measure a case: the time that the caller waits, or the CPU of all threads until the delivery of everything."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.api import Clients
from benchmarks.calls import Case, Work
from benchmarks.interleave import Comparison, compare


def waiting(
    case: Case,
    clients: Clients,
    *,
    rounds: int,
    share: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """Return the time that monitoring adds for the caller; `share` is the fraction of a round's slices to run.

    The exporter delivers the telemetry of a round before the next begins, outside the measured time. With the clock
    `time.thread_time`, only the work of the caller's thread counts, and not its wait for the exporter's thread.
    """

    def round_of(work: Work, settle: Callable[[], None]) -> list[float]:
        costs = []
        for _ in range(max(1, round(case.slices * share))):
            started = clock()
            work(case.at_once)
            costs.append((clock() - started) * 1e6 / case.at_once)
        settle()
        return costs

    return _compare(case, clients, round_of, rounds)


def computing(case: Case, clients: Clients, *, rounds: int, operations: int) -> Comparison:
    """Return the CPU time that monitoring adds in all threads until the back ends have received everything."""

    def round_of(work: Work, settle: Callable[[], None]) -> list[float]:
        started = time.process_time()
        work(operations)
        settle()
        return [(time.process_time() - started) * 1e6 / operations]

    return _compare(case, clients, round_of, rounds)


def _compare(
    case: Case, monitored: Clients, round_of: Callable[[Work, Callable[[], None]], list[float]], rounds: int
) -> Comparison:
    bare = Clients()
    with case.opens(bare) as bare_work, case.opens(monitored) as work:
        return compare(
            lambda: round_of(bare_work, bare.settle), lambda: round_of(work, monitored.settle), rounds=rounds
        )

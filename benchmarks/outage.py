"""Measure the cost for the caller while both back ends are down and the exporter writes to a spool on disk."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.api import Clients, completion, monitored, question
from benchmarks.calls import LARGE, SMALL, SMALL_ANSWER, SMALL_QUESTION
from benchmarks.figures import Compared, Figure, Result, at_most
from benchmarks.measure import computing, waiting
from benchmarks.process import settings_for
from benchmarks.short_processes import refusing

_CALLS, _PACED_CALLS = 1000, 100
_PAUSE_SECONDS = 0.005
_TICK_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Spooling(Clients):
    """Clients whose telemetry waits on disk."""

    def settle(self, seconds: float = 60) -> None:
        """Wait at most `seconds` until everything recorded is on disk.

        Raises:
            RuntimeError: A part is not on disk, which makes the results meaningless.
        """
        assert self.monitoring is not None
        deadline = time.monotonic() + seconds
        while (stats := self.monitoring.stats()).queued or stats.metrics_queued:
            if time.monotonic() > deadline:
                raise RuntimeError(f"not everything reached the disk: {stats}")
            time.sleep(0.002)
        if stats.dropped or stats.spooled + stats.in_flight != stats.produced:
            raise RuntimeError(f"telemetry was lost: {stats}")


def figures(rounds: int, share: float) -> Iterator[Result]:
    """Yield the results of sequential calls, and of a timer on an event loop beside calls."""
    with refusing() as url, tempfile.TemporaryDirectory() as directory:
        clients = Spooling(monitored(settings_for(url, spool_dir=f"{directory}/spool")).monitoring)
        name = "down, with a spool"
        for case, bar in ((SMALL, at_most(20)), (LARGE, None)):
            found = waiting(case, clients, rounds=rounds, share=share)
            yield Compared(f"{case.name}, {name}", case.unit, found, bar)
        found = computing(SMALL, clients, rounds=rounds, operations=max(1, round(_CALLS * share)))
        yield Compared(f"CPU: {SMALL.name}, {name}", SMALL.unit, found, at_most(100))
        bare, ours = _in_turns(_calls, clients, rounds, share)
        for number, bar in ((50, at_most(100)), (99, at_most(1000))):
            added = _percentile(ours, number) - _percentile(bare, number)
            yield Figure(f"calls 5 ms apart, {name}", f"added to the {number}th percentile", added, "us", bar)
        bare, ours = _in_turns(_lateness, clients, rounds, share)
        late = "lateness of a timer beside calls, 99th percentile"
        yield Figure(f"event loop, {name}", late, _percentile(ours, 99), "us", at_most(5000))
        yield Figure(f"event loop, {name}", "the same with the bare SDK", _percentile(bare, 99), "us")
        assert clients.monitoring is not None
        clients.monitoring.close(0)


def _in_turns(
    measured: Callable[[Clients, int], list[float]], clients: Clients, rounds: int, share: float
) -> tuple[list[float], list[float]]:
    """Return all measurements with the bare and with the monitored SDK, in rounds of alternating order."""
    every: dict[Clients, list[float]] = {Clients(): [], clients: []}
    for number in range(rounds):
        for of in sorted(every, key=lambda one: (one is clients) != bool(number % 2)):
            every[of] += measured(of, max(10, round(_PACED_CALLS * share)))
    bare, ours = every.values()
    return bare, ours


def _calls(clients: Clients, calls: int) -> list[float]:
    """Return the microseconds of each call; the exporter works in the pauses between the calls."""
    create, asked = clients.sync(completion(SMALL_ANSWER)).chat.completions.create, question(SMALL_QUESTION)
    costs = []
    for _ in range(calls):
        time.sleep(_PAUSE_SECONDS)
        started = time.perf_counter()
        create(**asked)
        costs.append((time.perf_counter() - started) * 1e6)
    return costs


def _lateness(clients: Clients, calls: int) -> list[float]:
    """Return the delays in microseconds of a timer task beside a task that makes calls."""
    late: list[float] = []

    async def ticks() -> None:
        while True:
            due = time.perf_counter() + _TICK_SECONDS
            await asyncio.sleep(_TICK_SECONDS)
            late.append((time.perf_counter() - due) * 1e6)

    async def main() -> None:
        client = clients.concurrent(completion(SMALL_ANSWER))
        ticking = asyncio.ensure_future(ticks())
        for _ in range(calls):
            await asyncio.sleep(_PAUSE_SECONDS)
            await client.chat.completions.create(**question(SMALL_QUESTION))
        ticking.cancel()
        await client.close()

    asyncio.run(main())
    return late


def _percentile(values: list[float], number: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[number - 1]

"""Ends the processes of a host in all ways, and keeps the truth: what each had on disk when it was killed."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from monitored_openai import MonitoringSettings
from monitored_openai._exporter.host.directory import HostDirectory, destination
from monitored_openai._exporter.host.merge import unpack_counters
from tests.support.programs import Program, settings
from tests.support.servers._http import wait_until
from tests.support.servers.prometheus import Prometheus

CALLS = "gen_ai_client_operation_duration_seconds_count"
TOKENS = "gen_ai_client_tokens_total"
COST = "gen_ai_client_cost_usd_total"
NAMES: tuple[str, ...] = (CALLS, TOKENS, COST)
TOKENS_OF_A_CALL = 7
COST_OF_A_CALL = 5 * 2.5e-6 + 2 * 10e-6
PER_SECOND = 20.0


@dataclass
class Worker:
    """A program with its child, in a process group of its own."""

    program: Program
    file: Path
    pids: list[int] = field(default_factory=list)

    def is_ready(self) -> bool:
        """True if all its processes have begun."""
        if self.file.exists():
            self.pids = [int(line) for line in self.file.read_text().split()]
        return len(self.pids) == 2


class Storm:
    """The workers of a host with two destinations, and what they had on disk."""

    def __init__(
        self, directory: Path, prometheus: tuple[Prometheus, Prometheus], *, interval: float, seed: int
    ) -> None:
        self.truth = [dict.fromkeys(NAMES, 0.0) for _ in prometheus]
        self.kills = self.pushers_killed = self.restarts = self.disks_filled = 0
        self.chance = random.Random(seed)
        self._directory = directory
        self._prometheus = prometheus
        shared: dict[str, Any] = {
            "host_dir": str(directory / "host"),
            "push_interval": interval,
            "instance": "host",
            "provider": "openai",
        }
        first, second = (one.write_url for one in prometheus)
        self._env = settings(metrics_url=first, **shared) | {
            "OPENAI_BASE_URL": "http://api.test/v1",
            "SECOND_URL": second,
        }
        self._databases = [
            HostDirectory(Path(shared["host_dir"]), destination(MonitoringSettings(metrics_url=url, **shared))).database
            for url in (first, second)
        ]
        self._workers: list[Worker] = []
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.program.kill()
            worker.program.wait(10)

    def start(self, workers: int) -> None:
        """Start workers."""
        for _ in range(workers):
            self._number += 1
            file = self._directory / f"pids-{self._number}"
            self._workers.append(Worker(Program("hosting", PER_SECOND, 1, file, env=self._env), file))

    def wait_until_ready(self) -> None:
        """Wait until all workers make calls."""
        for worker in self._workers:
            wait_until(worker.is_ready, 60)

    def kill(self) -> None:
        """Kill a worker that makes calls, one time in three the one that pushed last, and start another."""
        wait_until(lambda: any(map(self._has_calls, self._workers)), 60)
        workers = [worker for worker in self._workers if self._has_calls(worker)]
        pushers = {self._one(database, "SELECT pusher FROM state") for database in self._databases}
        pushing = [worker for worker in workers if pushers & set(worker.pids)]
        victim = self.chance.choice(pushing if pushing and self.chance.random() < 1 / 3 else workers)
        self.pushers_killed += bool(pushers & set(victim.pids))
        for truth, found in zip(self.truth, self._stopped(victim), strict=True):
            for name, value in found.items():
                truth[name] += value
        victim.program.kill()
        victim.program.wait(10)
        self._workers.remove(victim)
        self.kills += 1
        self.start(1)

    def restart(self) -> None:
        """End all workers by SIGTERM, and start as many."""
        workers = len(self._workers)
        self.stop()
        self.restarts += 1
        self.start(workers)

    def stop(self) -> None:
        """End all workers by SIGTERM; each tells how many calls it has made."""
        self.wait_until_ready()
        for worker in self._workers:
            os.killpg(worker.program.pid, signal.SIGTERM)
        for worker in self._workers:
            ended = worker.program.wait(60)
            said = [json.loads(line) for line in ended.out.splitlines()]
            assert {one["pid"] for one in said} == set(worker.pids), (ended.out, ended.err[-2000:])
            for truth in self.truth:
                calls = sum(one["calls"] for one in said)
                truth[CALLS] += calls
                truth[TOKENS] += calls * TOKENS_OF_A_CALL
                truth[COST] += calls * COST_OF_A_CALL
        self._workers.clear()

    def run(self, *, workers: int, kills: int, restarts: int, full_disks: int) -> None:
        """Start workers, do all this in a random order, and end the workers."""
        self.start(workers)
        steps = [*[self.kill] * kills, *[self.restart] * restarts, *[self.fill_disk] * full_disks]
        self.chance.shuffle(steps)
        for step in steps:
            step()
            time.sleep(self.chance.random() / 2)  # the moments of the kills are random
        self.stop()

    def fill_disk(self) -> None:
        """Let no process write for two seconds that has opened its files; the others would push series of their own."""
        for worker in filter(self._has_opened, self._workers):
            os.killpg(worker.program.pid, signal.SIGUSR1)
        self.disks_filled += 1

    def pushed(self, number: int) -> dict[str, float]:
        """The totals that a destination has."""
        return {
            name: self._prometheus[number].value(f"sum(last_over_time({name}[1h]))") or 0.0 for name in self.truth[0]
        }

    def instances(self, number: int) -> int:
        """How many sets of series a destination has."""
        return int(self._prometheus[number].value(f"count(count by (instance) (last_over_time({CALLS}[1h])))") or 0)

    def resets(self, number: int) -> float:
        """How often a counter of a destination has decreased."""
        prometheus = self._prometheus[number]
        names = prometheus.query('count by (__name__) (last_over_time({__name__=~".+_(total|count|sum|bucket)"}[1h]))')
        return sum(prometheus.value(f"sum(resets({labels['__name__']}[1h]))") or 0.0 for labels, _ in names)

    def _has_calls(self, worker: Worker) -> bool:
        return worker.is_ready() and all(self._on_disk(self._databases[0], pid)[CALLS] for pid in worker.pids)

    def _has_opened(self, worker: Worker) -> bool:
        return worker.is_ready() and all(
            database.exists() and self._one(database, "SELECT count(*) FROM process WHERE pid = ?", pid)
            for database in self._databases
            for pid in worker.pids
        )

    def _stopped(self, victim: Worker) -> list[dict[str, float]]:
        """Stop a worker, and return what it has on disk for each destination.

        A process that is stopped while it commits locks all readers out; then it goes on for a moment.
        """
        while True:
            os.killpg(victim.program.pid, signal.SIGSTOP)
            wait_until(lambda: all(_state(pid) == "T" for pid in victim.pids), 10)
            try:
                return [_sum(self._on_disk(one, pid) for pid in victim.pids) for one in self._databases]
            except sqlite3.OperationalError:
                os.killpg(victim.program.pid, signal.SIGCONT)
                time.sleep(self.chance.random() / 10)  # until it has committed

    def _on_disk(self, database: Path, pid: int) -> dict[str, float]:
        found = dict.fromkeys(NAMES, 0.0)
        if not database.exists():
            return found
        with closing(_opened(database)) as open_database:
            names = dict(open_database.execute("SELECT id, name FROM series").fetchall())
            for (packed,) in open_database.execute("SELECT counters FROM process WHERE pid = ?", (pid,)).fetchall():
                for series, value in unpack_counters(packed).items():
                    if names[series] in found:
                        found[names[series]] += value
        return found

    def _one(self, database: Path, query: str, *parameters: object) -> object:
        with closing(_opened(database)) as open_database:
            return open_database.execute(query, parameters).fetchone()[0]


def _sum(parts: Iterable[dict[str, float]]) -> dict[str, float]:
    found = list(parts)
    return {name: sum(one[name] for one in found) for name in NAMES}


def _opened(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=2)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "T"

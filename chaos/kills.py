"""Kills processes with 2,000 calls a second at random times, while Loki refuses requests and loses answers."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.handles import call, handle
from tests.support.programs import running, settings
from tests.support.servers.loki import FakeLoki, LoseAnswer, Status
from tests.support.spools import kill_after, made_in

KILLS = int(os.environ.get("CHAOS_KILLS", "100"))
PER_SECOND = 2000
BUSY_KILLS = int(os.environ.get("CHAOS_BUSY_KILLS", "30"))
BUSY_PER_SECOND = 600
FIRST_CALLS = 100
REFUSED, LOST = 0.2, 0.1


BUSY_PROGRAMS = {
    "computes": "while True: sum(range(10000))",
    "writes to the disk": """
import os, sys
while True:
    with open(sys.argv[1], "wb") as file:
        for _ in range(300):
            file.write(bytes(2**20))
        os.fsync(file.fileno())
""",
}


@contextmanager
def busy_machine(directory: Path) -> Iterator[None]:
    """Keep all cores and the disk busy, as a compiler does."""
    arguments = [["computes"]] * (os.cpu_count() or 1) + [
        ["writes to the disk", str(directory / f"f{n}")] for n in range(3)
    ]
    commands = [[sys.executable, "-c", BUSY_PROGRAMS[name], *rest] for name, *rest in arguments]
    programs = [subprocess.Popen(command) for command in commands]  # noqa: S603 - own programs
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait(10)


def run_busy(directory: Path) -> str:
    """Run the test with all cores and the disk busy, and fewer kills."""
    with busy_machine(directory):
        return "cores and disk busy: " + run(directory, BUSY_KILLS, BUSY_PER_SECOND)


def run(directory: Path, kills_in_all: int = KILLS, per_second: int = PER_SECOND) -> str:
    """Run the test and return its results as text."""
    chance = random.Random(1)
    spool = directory / "spool"
    with FakeLoki(keep_requests=False) as loki:
        env = settings(logs_url=loki.push_url, spool_dir=spool, log_linger=0.2)
        kills = []
        for number in range(kills_in_all):
            _set_faults(loki, chance)
            file = directory / f"made-{number}"
            with running("spooling", per_second, file, env=env | {"OPENAI_BASE_URL": "http://api.test/v1"}) as program:
                kills.append((kill_after(program, file, FIRST_CALLS + chance.randrange(2000)), file))
            print(f"{number + 1} of {kills_in_all} killed", end="\r", flush=True)
        loki._next.clear()
        drained_in = _drain(loki, spool)
        arrived = {json.loads(one.line)["request"]["messages"][0]["content"] for one in loki.entries}
        made = {name for _, file in kills for name in made_in(file)}
        ages = [(at - int(name)) / 1e6 for at, file in kills for name in made_in(file) - arrived]
        doubled = len(loki.entries) - len({(one.ts, one.line) for one in loki.entries})
        return (
            f"{kills_in_all} kills at {per_second:,} calls a second, while Loki refused {REFUSED:.0%} of the requests and "
            f"lost {LOST:.0%} of the replies: {len(made):,} calls, {len(ages):,} of them lost; the oldest lost call ended "
            f"{max(ages, default=0):.0f} ms before its kill; {doubled} entries stored twice, {len(loki.rejected)} "
            f"rejected; {loki.duplicates:,} sent again although Loki had them; the entries left after the last kill were delivered in {drained_in:.1f} s"
        )


def _set_faults(loki: FakeLoki, chance: random.Random) -> None:
    loki._next.clear()
    for _ in range(200):
        drawn = chance.random()
        loki.fail_next(Status(503) if drawn < REFUSED else LoseAnswer() if drawn < REFUSED + LOST else None)


def _drain(loki: FakeLoki, spool: Path) -> float:
    started = time.monotonic()
    for _ in itertools.count():  # an exporter adopts four files at a time
        with handle(logs_url=loki.push_url, spool_dir=str(spool)) as monitoring:
            call(monitoring)
            loki.wait_until(lambda: monitoring.stats().folded == 1 and monitoring.stats().spooled == 0, 120)
            monitoring.flush(30)
        if not list(spool.glob("*.db")):
            return time.monotonic() - started
    raise AssertionError

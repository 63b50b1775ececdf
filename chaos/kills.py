"""Kills processes with 2,000 calls a second at random times, while Loki refuses requests and loses answers."""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from pathlib import Path

from tests.support.handles import call, handle
from tests.support.programs import running, settings
from tests.support.servers.loki import FakeLoki, LoseAnswer, Status
from tests.support.spools import kill_after, made_in

KILLS = int(os.environ.get("CHAOS_KILLS", "100"))
PER_SECOND = 2000
FIRST_CALLS = 100
REFUSED, LOST = 0.2, 0.1


def run(directory: Path) -> str:
    """Run the test and return its results as text."""
    chance = random.Random(1)
    spool = directory / "spool"
    with FakeLoki(keep_requests=False) as loki:
        env = settings(logs_url=loki.push_url, spool_dir=spool, log_linger=0.2)
        kills = []
        for number in range(KILLS):
            _set_faults(loki, chance)
            file = directory / f"made-{number}"
            with running("spooling", PER_SECOND, file, env=env | {"OPENAI_BASE_URL": "http://api.test/v1"}) as program:
                kills.append((kill_after(program, file, FIRST_CALLS + chance.randrange(2000)), file))
            print(f"{number + 1} of {KILLS} killed", end="\r", flush=True)
        loki._next.clear()
        drained_in = _drain(loki, spool)
        arrived = {json.loads(one.line)["request"]["messages"][0]["content"] for one in loki.entries}
        made = {name for _, file in kills for name in made_in(file)}
        ages = [(at - int(name)) / 1e6 for at, file in kills for name in made_in(file) - arrived]
        doubled = len(loki.entries) - len({(one.ts, one.line) for one in loki.entries})
        return (
            f"{KILLS} kills at {PER_SECOND:,} calls a second, {REFUSED:.0%} refused, {LOST:.0%} of answers lost: "
            f"{len(made):,} calls, {len(ages):,} lost, the oldest {max(ages, default=0):.0f} ms before its kill; "
            f"{doubled} stored twice, {len(loki.rejected)} rejected; Loki received {loki.duplicates:,} entries again that it had "
            f"stored before; after the last kill, the remaining entries were delivered in {drained_in:.1f} s"
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

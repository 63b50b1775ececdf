"""Kills eight processes that share a spool directory, one after the other: each spooled entry arrives once."""

from __future__ import annotations

import json
import os
import random
import time
from contextlib import ExitStack
from pathlib import Path

from chaos.kills import _drain
from tests.support.programs import running, settings
from tests.support.servers.loki import FakeLoki
from tests.support.spools import kill_after, made_in

PROCESSES = 8
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "50"))


def run(directory: Path) -> str:
    """Run the test and return its results as text."""
    chance = random.Random(2)
    spool = directory / "spool"
    kills: list[tuple[int, Path]] = []
    with FakeLoki(keep_requests=False) as loki:
        env = settings(logs_url=loki.push_url, spool_dir=spool, log_linger=0.2) | {
            "OPENAI_BASE_URL": "http://api.test/v1"
        }
        for number in range(0, ROUNDS, PROCESSES):
            with ExitStack() as stack:
                files = [directory / f"made-{number}-{index}" for index in range(PROCESSES)]
                programs = [stack.enter_context(running("spooling", 50, file, env=env)) for file in files]
                if chance.random() < 0.5:
                    loki.refuse()
                for program, file in chance.sample(list(zip(programs, files, strict=True)), PROCESSES):
                    kills.append((kill_after(program, file, 20), file))
                    time.sleep(chance.random() * 0.2)
                loki.listen() if loki._listener is None else None
            print(f"{len(kills)} of {ROUNDS} killed", end="\r", flush=True)
        drained_in = _drain(loki, spool)
        arrived = {json.loads(one.line)["request"]["messages"][0]["content"] for one in loki.entries}
        made = {name for _, file in kills for name in made_in(file)}
        ages = [(at - int(name)) / 1e6 for at, file in kills for name in made_in(file) - arrived]
        doubled = len(loki.entries) - len({(one.ts, one.line) for one in loki.entries})
        return (
            f"{PROCESSES} processes on one directory, {len(kills)} kills: {len(made):,} calls, {len(ages):,} lost, "
            f"the oldest {max(ages, default=0):.0f} ms before its kill; {doubled} stored twice; all files gone after "
            f"{drained_in:.1f} s"
        )

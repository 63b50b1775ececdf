"""Leaves asynchronous streams early in fresh interpreters, and compares the event loop's complaints with the bare SDK's."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from tests.support.programs import run as run_program
from tests.support.servers.openai_api import Behaviour, OpenAIServer

INTERPRETERS = int(os.environ.get("CHAOS_INTERPRETERS", "40"))
STREAMS = 5


def run(_: Path) -> str:
    """Run the test and return its results as text."""
    complaints: Counter[str] = Counter()
    generators: Counter[str] = Counter()
    different: set[str] = set()
    with OpenAIServer(default=Behaviour(hold="rest", after=2)) as server:
        for seed in range(INTERPRETERS):
            bare, ours = (
                run_program("left_early", which, STREAMS, seed, env={"OPENAI_BASE_URL": server.base_url}).said
                for which in ("bare", "ours")
            )
            for way in bare:
                for which, said in (("bare", bare), ("ours", ours)):
                    complaints[which] += len(said[way][0])
                    generators[which] += len(said[way][1])
                if bare[way] != ours[way]:
                    different.add(f"{way} ({seed}): {bare[way][0]} {ours[way][0]}")
            print(f"{seed + 1} of {INTERPRETERS}", end="\r", flush=True)
    return (
        f"{INTERPRETERS * STREAMS} streams left in each of {len(bare)} ways, {STREAMS} to an interpreter, generators closed "
        f"in equal orders: {complaints['bare']:,} complaints of asyncio with the bare SDK, {complaints['ours']:,} with "
        f"this package; {generators['bare']:,} and {generators['ours']:,} generators left to close"
        + ("" if not different else f"; different: {'; '.join(sorted(different))}")
    )

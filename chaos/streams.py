"""Random streams: the caller gets the chunks of the bare SDK, and the record holds all text."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from tests.support.random_streams import STREAMS, check

EXAMPLES = int(os.environ.get("CHAOS_EXAMPLES", "10000"))


def run(_: Path) -> str:
    """Run the test and return its results as text; a stream that breaks a rule raises."""

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(STREAMS)
    def one(events: list[dict[str, object]]) -> None:
        check(events)

    one()
    return (
        f"{EXAMPLES:,} random streams with unknown fields at each level, odd indexes and ids, and empty pieces: each chunk "
        "was that of the bare SDK, and each record held all texts"
    )

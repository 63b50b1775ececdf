"""Stops both back ends, one of them a real Prometheus, for five minutes while five processes make calls."""

from __future__ import annotations

import os
from pathlib import Path

from tests.integration.test_outage import TOKENS, outage
from tests.support.servers.prometheus import Prometheus, require_prometheus

SECONDS = float(os.environ.get("CHAOS_OUTAGE_SECONDS", "300"))
PER_SECOND = 20
INTERVAL = 15
"""Seconds between two pushes, the default."""


def run(directory: Path) -> str:
    """Run the test and return its results as text."""
    data = directory / "prometheus"
    data.mkdir()
    with Prometheus(require_prometheus(), data) as prometheus:
        seen = outage(prometheus, directory, seconds=SECONDS, per_second=PER_SECOND, interval=INTERVAL)
    tokens = all(seen.tokens.get(kind) == number * seen.made for kind, number in TOKENS.items())
    return (
        f"both back ends down for {SECONDS:.0f} s, {len(seen.by_process)} processes of {PER_SECOND} calls a second; "
        f"two of them ended during the outage: {seen.made:,} calls, {seen.in_prometheus:,.0f} in a real Prometheus "
        f"({'' if tokens else 'NOT '}with exact tokens), {seen.in_loki:,} in the log, {seen.missing} missing there, "
        f"{seen.stored_twice} stored twice, {len(seen.refused)} refused; {len(seen.refused_pushes)} pushes refused; "
        f"{seen.most_spooled / 2**20:.1f} MiB in the spool at the end of the outage, {len(seen.left)} files left; the first "
        f"delivery came {seen.first_after:.1f} s after it"
    )

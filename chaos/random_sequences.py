"""Long random sequences of calls, answers, waits, crashes, forks and exits, for the ledger and for the spool."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.exporter.delivery.test_log_queue import STEPS, Deliveries
from tests.exporter.test_call_queue import Books

EXAMPLES = int(os.environ.get("CHAOS_EXAMPLES", "10000"))


def run(_: Path) -> str:
    """Run the test and return its results as text; a sequence that breaks a rule raises."""
    for machine in (Books, Deliveries):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    return (
        f"{EXAMPLES:,} random sequences for the ledger, which keeps the counts, and {EXAMPLES:,} for the spool, of at most "
        f"{STEPS} steps each: the ledger balanced after every step, no entry was stored under two "
        "label sets, every lost entry that had been on disk was counted, no file was left"
    )

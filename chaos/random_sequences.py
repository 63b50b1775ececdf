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
        f"{EXAMPLES:,} random sequences of up to {STEPS} steps for the ledger, and as many for the spool: the counts balanced "
        "after every step, no entry was stored under two label sets, no entry on disk was lost uncounted, no file was left"
    )

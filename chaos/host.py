"""Kills and restarts the processes of a host with common totals for two real Prometheus; compares them with the truth.

The truth is what each process had on disk when it was killed, and all calls of a process that ended by SIGTERM.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from tests.support.host_storm import CALLS, COST, TOKENS, Storm
from tests.support.servers.prometheus import Prometheus, require_prometheus

PROCESSES = 8
KILLS = int(os.environ.get("CHAOS_KILLS", "100"))
RESTARTS = int(os.environ.get("CHAOS_RESTARTS", "20"))
FULL_DISKS = 10
_ROUNDING = 1e-9


def run(directory: Path) -> str:
    """Run the test and return its results as text."""
    program = require_prometheus()
    for name in ("first", "second"):
        (directory / name).mkdir()
    with (
        Prometheus(program, directory / "first") as first,
        Prometheus(program, directory / "second") as second,
        Storm(directory, (first, second), interval=1.0, seed=5) as storm,
    ):
        storm.run(workers=PROCESSES // 2, kills=KILLS, restarts=RESTARTS, full_disks=FULL_DISKS)
        ends = [(truth, storm.pushed(number)) for number, truth in enumerate(storm.truth)]
        off = [
            f"{name} {pushed[name]!r} instead of {truth[name]!r}"
            for truth, pushed in ends
            for name in truth
            if not math.isclose(pushed[name], truth[name], rel_tol=_ROUNDING)
        ]
        sets = [storm.instances(number) for number in range(len(ends))]
        resets = sum(storm.resets(number) for number in range(len(ends)))
        if off or resets or sets != [1, 1]:
            raise AssertionError(f"{off}, {resets} resets, {sets} sets of series")
        (truth, _), (other, _) = ends
        return (
            f"{PROCESSES} processes (half of them forked) with one host_dir push to two real Prometheus servers; "
            f"{storm.kills} kills ({storm.pushers_killed} of them hit the process that had pushed last), {storm.restarts} "
            f"restarts of all processes, a full disk {storm.disks_filled} times for 2 s. The files contained {truth[CALLS]:,.0f} calls, "
            f"{truth[TOKENS]:,.0f} tokens and {truth[COST]:.4f} USD for the first server, {other[CALLS]:,.0f} calls, "
            f"{other[TOKENS]:,.0f} tokens and {other[COST]:.4f} USD for the second. Each server has the same totals in one "
            f"set of series; {resets:.0f} resets"
        )

"""Freezes a process in the middle of a request, as AWS Lambda does between requests, and resumes it a minute later."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from tests.support.programs import running, settings
from tests.support.servers._steps import Gate
from tests.support.servers.loki import FakeLoki, Hold
from tests.support.spools import made_in

SECONDS = float(os.environ.get("CHAOS_FREEZE_SECONDS", "60"))
PER_SECOND = 50
LEAST_ENTRIES = 100


def run(directory: Path) -> str:
    """Run the test and return its results as text."""
    file = directory / "made"
    gate = Gate()
    with FakeLoki(keep_requests=False) as loki:
        env = settings(logs_url=loki.push_url, log_linger=0.1, exit_timeout=30)
        with running("spooling", PER_SECOND, file, env=env | {"OPENAI_BASE_URL": "http://api.test/v1"}) as program:
            loki.wait_until(lambda: len(loki.entries) > LEAST_ENTRIES, 60)
            loki.fail_next(Hold(gate))
            gate.wait_reached()
            os.kill(program.pid, signal.SIGSTOP)
            time.sleep(SECONDS)
            gate.set()
            before = len(loki.entries)
            os.kill(program.pid, signal.SIGCONT)
            thawed = time.monotonic()
            loki.wait_until(lambda: len(loki.entries) > before, 60)
            first_after = time.monotonic() - thawed
            loki.wait_until(lambda: len(loki.entries) > before + LEAST_ENTRIES, 60)
            file.with_name(f"{file.name}.end").touch()
            assert program.wait(60).code == 0
        asked = [json.loads(one.line)["request"]["messages"][0]["content"] for one in loki.entries]
        missing = made_in(file) - set(asked)
        return (
            f"{SECONDS:.0f} s frozen in the middle of a request, {PER_SECOND} calls a second before and after: "
            f"{len(asked):,} calls, {len(missing)} missing, {len(asked) - len(set(asked))} stored twice, "
            f"{len(loki.rejected)} refused; the next entries arrived {first_after:.1f} s after the process resumed"
        )

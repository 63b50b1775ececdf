"""Makes 200 calls a second while back ends stop and return: memory, threads and descriptors must stay constant."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.integration.test_end_to_end import CALLS_METRIC
from tests.support.programs import running, settings
from tests.support.servers.loki import FakeLoki
from tests.support.servers.remote_write import RemoteWriteProxy
from tests.support.spools import made_in

SECONDS = float(os.environ.get("CHAOS_SECONDS", "1800"))
PER_SECOND = 200
LOOK_SECONDS = 10
"""Seconds between two measurements, and between stop and return of the back ends."""
WARM_UP = 0.3


@dataclass(frozen=True, slots=True)
class Look:
    """Resources of a process, as the operating system reports them."""

    at: float
    memory: int
    threads: int
    descriptors: int

    @classmethod
    def at_process(cls, pid: int, at: float) -> Self:
        """Measure the process now, `at` seconds after the start."""
        process = Path("/proc") / str(pid)
        memory = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return cls(at, memory, len(list((process / "task").iterdir())), len(list((process / "fd").iterdir())))


def run(directory: Path) -> str:
    """Run the test and return its results as text."""
    file = directory / "made"
    looks: list[Look] = []
    with FakeLoki(keep_requests=False) as loki, RemoteWriteProxy(keep_requests=False) as proxy:
        urls = {"logs_url": loki.push_url, "metrics_url": proxy.write_url}
        env = settings(spool_dir=directory / "spool", log_linger=0.5, exit_timeout=30, **urls)
        with running("spooling", PER_SECOND, file, env=env | {"OPENAI_BASE_URL": "http://api.test/v1"}) as program:
            start = time.monotonic()
            is_up = True
            while (at := time.monotonic() - start) < SECONDS:
                time.sleep(LOOK_SECONDS)
                looks.append(Look.at_process(program.pid, at))
                is_up = not is_up
                for back_end in (loki, proxy):
                    back_end.listen() if is_up else back_end.refuse()
            if not is_up:
                for back_end in (loki, proxy):
                    back_end.listen()
            file.with_name(f"{file.name}.end").touch()
            ended = program.wait(120)
        assert (ended.code, ended.noise) == (0, ""), ended
        made = made_in(file)
        arrived = [json.loads(entry.line)["request"]["messages"][0]["content"] for entry in loki.entries]
        counted = proxy.total(CALLS_METRIC) - 1  # the file does not list the program's first call, the warm-up
        late = [look for look in looks if look.at > SECONDS * WARM_UP]
        growth = (late[-1].memory - late[0].memory) / 2**20 / ((late[-1].at - late[0].at) / 3600)
        return (
            f"{len(made):,} calls at {PER_SECOND} a second, back ends down and up for {LOOK_SECONDS} s each: "
            f"{len(set(made) - set(arrived)):,} missing, {len(arrived) - len(set(arrived)):,} stored twice, "
            f"{counted:,.0f} counted; after the first {WARM_UP:.0%} memory grew by {growth:.1f} MiB/h, at most "
            f"{max(look.memory for look in late) / 2**20:.0f} MiB, "
            f"threads {min(look.threads for look in late)} to {max(look.threads for look in late)}, "
            f"descriptors {min(look.descriptors for look in late)} to {max(look.descriptors for look in late)}"
        )

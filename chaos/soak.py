"""200 calls a second into a Loki that comes and goes: memory, threads and descriptors stay as they are."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from tests.handles import ask, handle, imbalance, in_process
from tests.servers.loki import FakeLoki

SECONDS = float(os.environ.get("CHAOS_SECONDS", "1800"))
PER_SECOND = 200
WARM_UP = 0.3


def run(directory: Path) -> str:
    """The figures."""
    with (
        FakeLoki(keep_requests=False) as loki,
        handle(logs_url=loki.push_url, spool_dir=str(directory / "spool"), log_linger=0.5) as monitoring,
        in_process(monitoring) as client,
    ):
        looks: list[tuple[float, int, int, int]] = []
        start = time.monotonic()
        number, is_up = 0, True
        while (at := time.monotonic() - start) < SECONDS:
            ask(client, f"{number}")
            number += 1
            time.sleep(max(0.0, start + number / PER_SECOND - time.monotonic()))
            if number % (10 * PER_SECOND) == 0:
                looks.append((at, _memory(), threading.active_count(), sum(1 for _ in Path("/proc/self/fd").iterdir())))
                loki.entries.clear()  # the server lives in this process too
                loki._streams.clear()
                is_up = not is_up
                loki.listen() if is_up else loki.refuse()
                assert imbalance(monitoring.stats()) == (0, 0)
        if not is_up:
            loki.listen()
        complete = monitoring.flush(60).complete
        stats = monitoring.stats()
        late = [look for look in looks if look[0] > SECONDS * WARM_UP]
        growth = (late[-1][1] - late[0][1]) / 2**20 / ((late[-1][0] - late[0][0]) / 3600)
        return (
            f"{number:,} calls, {stats.delivered:,} entries delivered, {sum(stats.dropped.values())} lost, "
            f"complete: {complete}; after the first {WARM_UP:.0%} memory grew by {growth:.1f} MiB/h (server included), "
            f"threads {min(look[2] for look in late)} to {max(look[2] for look in late)}, "
            f"descriptors {min(look[3] for look in late)} to {max(look[3] for look in late)}"
        )


def _memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

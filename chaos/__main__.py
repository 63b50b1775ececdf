"""Run the named fault tests, or all, and write their results into docs/reliability.md."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from chaos import damage, early_streams, freeze, host, hostile, kills, outage, random_sequences, sharing, soak, streams

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: written by python -m chaos -->", "<!-- end of the figures -->"
TESTS: dict[str, Callable[[Path], str]] = {
    "kills": kills.run,
    "busy_kills": kills.run_busy,
    "sharing": sharing.run,
    "host": host.run,
    "outage": outage.run,
    "freeze": freeze.run,
    "damage": damage.run,
    "histories": random_sequences.run,
    "hostile": hostile.run,
    "early_streams": early_streams.run,
    "soak": soak.run,
    "streams": streams.run,
}


def lines_of(page: str) -> dict[str, str]:
    """Return the lines with results on the page, by the name of their test."""
    _, _, rest = page.partition(BEGIN)
    lines = [line for line in rest.partition(END)[0].splitlines() if line.startswith("| `")]
    return {line.split("`")[1]: line for line in lines}


def main(names: list[str]) -> int:
    """Run the tests, print their results and write them; return the exit status."""
    unknown = set(names) - TESTS.keys()
    if unknown:
        print(f"unknown test: {', '.join(sorted(unknown))}; use one of {', '.join(TESTS)}", file=sys.stderr)
        return 2
    lines = lines_of(PAGE.read_text())
    for name in names or TESTS:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            figures = TESTS[name](Path(directory))
        took = time.monotonic() - started
        lines[name] = f"| `{name}` | {datetime.now(UTC):%Y-%m-%d} | {took:,.0f} s | {figures} |"
        print(lines[name])
    table = "\n".join(
        ["| test | run on | took | figures |", "|---|---|---|---|", *(lines[n] for n in TESTS if n in lines)]
    )
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.partition(END)[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Truncates spool files and flips random bits: the exporter runs on and delivers every readable entry."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.spools import damages, survives

CUTS = int(os.environ.get("CHAOS_CUTS", "50"))
FLIPS = int(os.environ.get("CHAOS_FLIPS", "100"))


def run(directory: Path) -> str:
    """Run the test and return its results as text."""
    read = [survives(directory / "spool", damage) for damage in damages(CUTS, FLIPS).values()]
    return (
        f"{len(read)} damaged files of 200 entries, each beside a healthy one: {sum(number for number, _ in read):,} of "
        f"{200 * len(read):,} entries read, the others counted if the file still showed its number of entries; all "
        f"healthy files delivered; {max(took for _, took in read):.2f} s at most to read a damaged file"
    )

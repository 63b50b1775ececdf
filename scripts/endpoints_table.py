"""Write the tables of all endpoints into docs/endpoints.md, or with ``--check`` exit 1 if they are stale."""

# ruff: noqa: INP001 - a script, no module of a package

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from monitored_openai._resources._table import LEFT_OUT, NOT_POSTED, OBSERVED  # noqa: E402 - found by the path above

PAGE = ROOT / "docs" / "endpoints.md"
BEGIN = "<!-- endpoints: written by scripts/endpoints_table.py -->"
END = "<!-- end of the endpoints -->"


def names(methods: str) -> str:
    """The methods as code."""
    return " ".join(f"`{method}`" for method in methods.split())


def lines() -> Iterator[str]:
    """The tables, line by line."""
    yield "| method | operation | usage | cost | streams | SDK |"
    yield "|---|---|---|---|---|---|"
    for row in OBSERVED:
        streams = "yes" if row.streams else ""
        yield f"| {names(row.methods)} | `{row.operation}` | {row.usage} | {row.cost} | {streams} | {row.since} |"
    yield ""
    yield "Left out on purpose:"
    yield ""
    yield "| method | why |"
    yield "|---|---|"
    for one in (*NOT_POSTED, *LEFT_OUT):
        yield f"| {names(one.methods)} | {one.reason} |"


def main() -> int:
    """Write the page, or check it."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    made = "\n".join([f"{before}{BEGIN}\n", *lines(), f"\n{END}{rest.partition(END)[2]}"])
    if "--check" in sys.argv[1:]:
        return int(made != page)
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())

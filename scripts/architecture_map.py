"""Write the map of all modules into docs/architecture.md, or with ``--check`` exit 1 if it is stale.

Each row is the first line of a module's docstring.
"""

# ruff: noqa: INP001 - a script, no module of a package

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "monitored_openai"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN = "<!-- map: written by scripts/architecture_map.py -->"
END = "<!-- end of the map -->"
PARTS = {
    "Public classes and functions": (
        "__init__",
        "_clients",
        "_observing_client",
        "_resources",
        "_monitor",
        "_batches",
        "compat",
    ),
    "The caller's thread: settings, endpoints, calls": ("_settings", "_providers", "_endpoints", "_calls"),
    "Values": ("_record", "_frozen", "_stats", "_version"),
    "A record becomes a price, series and a log entry": (
        *("_pricing", "_metrics", "_legacy_series", "_log_entry", "_redaction", "_hashing"),
    ),
    "The exporter's thread": ("_exporter",),
    "Rules and files that several parts share": ("_labels", "_json", "_logging", "_files"),
    "The embedded back end": ("_local",),
    "The command": ("_cli", "dashboards"),
}
"""The order of the modules and packages of the root; a name without a file has no row."""
WITHOUT_CODE = {
    "_local/page/": "The page in the browser: HTML, CSS and JavaScript, without a build step.",
    "dashboards/": "Grafana dashboards as JSON, written by `python -m tools.dashboards` from `tools/dashboards/`.",
}
"""Folders without Python files."""


def summary(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def modules() -> dict[str, str]:
    """Return the summary of each module and package by its path; a package's summary is that of its `__init__`."""
    found = dict(WITHOUT_CODE)
    for path in SOURCE.rglob("*.py"):
        name = path.relative_to(SOURCE).as_posix()
        found[name.removesuffix("__init__.py") or name] = summary(path)
    return found


def sections() -> Iterator[str]:
    """Yield one table for each part.

    Raises:
        LookupError: No part contains a module or package.
    """
    rows = modules()
    for title, names in PARTS.items():
        chosen = [row for name in names for row in sorted(rows) if row.startswith((f"{name}/", f"{name}.py"))]
        lines = [f"| `{row}` | {rows.pop(row)} |" for row in chosen]
        yield "\n".join([f"### {title}", "", "| module | content |", "|---|---|", *lines])
    if rows:
        raise LookupError(f"in no part of the map: {', '.join(sorted(rows))}")


def main(arguments: list[str]) -> int:
    """Write or check the map; return the exit status."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n\n".join(sections())
    fresh = f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"
    if "--check" not in arguments:
        PAGE.write_text(fresh, encoding="utf-8")
    return int("--check" in arguments and fresh != page)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

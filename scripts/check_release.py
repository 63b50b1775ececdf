"""Check that a tag may be released: check_release.py TAG REPOSITORY. Print each obstacle; exit 1 if there is one."""

# ruff: noqa: INP001, T201 - a script, no module of a package, whose output is for the terminal

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def obstacles(root: Path, tag: str, repository: str) -> Iterator[str]:
    """Yield each reason why the files below ``root`` are not ready for a release of this tag from this repository."""
    source = (root / "src" / "monitored_openai" / "_version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"', source, re.MULTILINE)
    version = found[1] if found else "unknown"
    if tag != f"v{version}":
        yield f"the tag is {tag}, the version of the package is {version}; set the tag v{version}"
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE):
        yield f"CHANGELOG.md has no dated section; add `## [{version}] - YYYY-MM-DD`"
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    address = project["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]
    if address != repository:
        yield f"pyproject.toml has the address {address}, this repository is {repository}; correct pyproject.toml"


def main(arguments: list[str]) -> int:
    """Print the obstacles; return the exit status."""
    found = list(obstacles(ROOT, *arguments))
    print(*found, sep="\n", end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

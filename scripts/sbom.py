"""Write the software bill of materials (CycloneDX 1.6) of the package in one environment: sbom.py PYTHON FILE."""

# ruff: noqa: INP001 - a script, no module of a package

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
PACKAGE = "monitored-openai"
PURELIB = "import sysconfig; print(sysconfig.get_path('purelib'))"


def bill_of(python: str) -> dict[str, Any]:
    """Return the bill of the package and its direct and indirect dependencies, without extras and other packages."""
    bill: dict[str, Any] = json.loads(
        _output(
            *(sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--no-validate"),
            *("--mc-type", "library", "--pyproject", str(PYPROJECT), python),
        )
    )
    installed = {
        canonicalize_name(one.name): one for one in distributions(path=[_output(python, "-c", PURELIB).strip()])
    }
    names = {name for name, _ in needed(installed, PACKAGE)} - {PACKAGE}
    bill["components"] = [one for one in bill["components"] if canonicalize_name(one["name"]) in names]
    refs = {one["bom-ref"] for one in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    bill["dependencies"] = [
        {**one, "dependsOn": [ref for ref in one.get("dependsOn", ()) if ref in refs]}
        for one in bill["dependencies"]
        if one["ref"] in refs
    ]
    version = installed[PACKAGE].version
    bill["metadata"]["component"] |= {"version": version, "purl": f"pkg:pypi/{PACKAGE}@{version}"}
    return bill


def needed(installed: Mapping[str, Distribution], package: str) -> set[tuple[str, str]]:
    """Return the names of a package and of all its dependencies, each with the required extra or an empty text.

    CycloneDX's own graph also contains the installed packages of every extra.
    """
    reached: set[tuple[str, str]] = set()
    ahead = [(package, "")]
    while ahead:
        name, extra = one = ahead.pop()
        if one in reached:
            continue
        reached.add(one)
        for requirement in map(Requirement, installed[name].requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                ahead.extend((canonicalize_name(requirement.name), more) for more in ("", *requirement.extras))
    return reached


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - no argument comes from a user


if __name__ == "__main__":
    interpreter, file = sys.argv[1:]
    Path(file).write_text(json.dumps(bill_of(interpreter), indent=1, sort_keys=True) + "\n")

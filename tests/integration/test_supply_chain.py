"""Downloads of the build, the tests and the release, and the page about security."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
SECURITY = ROOT / "docs" / "security.md"


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_is_named_by_its_commit_and_beside_it_its_version(workflow: Path) -> None:
    used = re.findall(r"uses:(.*)", workflow.read_text())
    assert len(used) == sum("uses" in step for step in steps(workflow)) > 0
    for action in used:
        assert re.fullmatch(r" [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_has_no_right_but_those_it_names_and_keeps_no_credentials(workflow: Path) -> None:
    described = yaml.safe_load(workflow.read_text())
    assert described["permissions"] == {}
    assert all(isinstance(job["permissions"], dict) for job in described["jobs"].values())
    for step in steps(workflow):
        if "actions/checkout@" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_the_page_on_dependencies_names_each_package_that_the_metadata_requires() -> None:
    table = re.findall(r"^\| (`[^|]+) \|", (ROOT / "docs" / "dependencies.md").read_text(), re.MULTILINE)
    named = {name for row in table for name in re.findall(r"`([\w-]+)`", row)}
    needed = [Requirement(text) for text in requires("monitored-openai") or ()]

    assert named == {canonicalize_name(one.name) for one in needed if "scrape" not in str(one.marker)}


def test_tests_have_no_right_to_write() -> None:
    (tests,) = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"].values()
    assert tests["permissions"] == {"contents": "read"}


def test_the_bill_of_materials_lists_what_the_package_needs_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "bill.json"
    subprocess.run([sys.executable, ROOT / "scripts" / "sbom.py", sys.executable, file], check=True, timeout=100)

    bill = json.loads(file.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    root = bill["metadata"]["component"]
    assert (root["name"], root["version"]) == ("monitored-openai", version("monitored-openai"))
    assert root["licenses"][0]["expression"] == "GPL-3.0-only AND MIT"
    components = {canonicalize_name(one["name"]): one for one in bill["components"]}
    needed = [Requirement(text) for text in requires("monitored-openai") or ()]
    assert {canonicalize_name(one.name) for one in needed if one.marker is None} <= components.keys()
    assert components.keys().isdisjoint({"typer", "prometheus-client", "django", "pytest", "sphinx", "cyclonedx-bom"})
    for name, component in components.items():
        assert component["version"] == version(name)
        assert component["purl"] == f"pkg:pypi/{name}@{version(name)}"


def test_the_page_on_security_names_a_test_for_each_promise() -> None:
    rows = [line for line in SECURITY.read_text().splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 11
    for row in rows:
        promise, attacker, tests = (cell.strip() for cell in row.strip("|").split("|"))
        files = re.findall(r"`(tests/[\w/]+\.py)`", tests)
        assert promise, row
        assert attacker, row
        assert files, row
        text = ""
        for file in files:
            assert (ROOT / file).is_file(), f"{file} of {row}"
            text += (ROOT / file).read_text()
        for name in re.findall(r"`(test_\w+)`", tests):
            assert f"def {name}(" in text, f"{name} is in none of {files}"

"""A small run with two workers shows how they share the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
TESTS = """
import os, time
import pytest

def note(text):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(text + "\\n")

@pytest.fixture(scope="module")
def shared():
    note("built")

@pytest.mark.alone
@pytest.mark.parametrize("number", range(2))
def test_alone(number):
    note(f"begin alone {number}")
    time.sleep(0.3)  # long enough for the other worker to begin its next test
    note(f"end alone {number}")

@pytest.mark.parametrize("number", range(20))
def test_beside(number):
    note(f"begin beside {number}")
    time.sleep(0.02)
    note(f"end beside {number}")

@pytest.mark.parametrize("number", range(6))
def test_with_a_shared_fixture(shared, number):
    pass
"""


def test_nothing_runs_beside_an_alone_test_and_a_shared_fixture_is_built_once(tmp_path: Path) -> None:
    (tmp_path / "test_small.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = alone: as in the project\n")
    notes = tmp_path / "notes"
    command = ("-m", "pytest", "-q", "-n", "2", "-p", "tests.support.machine", str(tmp_path))
    small = str(tmp_path / "test_small.py")
    env = {**os.environ, "NOTES": str(notes), "PYTHONPATH": str(ROOT), "TESTS_MACHINE": small}

    ended = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100, check=False
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = notes.read_text().splitlines()
    assert lines.count("built") == 1
    assert len([line for line in lines if line.startswith("end")]) == 22
    for number in range(2):
        assert lines[lines.index(f"begin alone {number}") + 1] == f"end alone {number}"

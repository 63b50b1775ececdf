"""The page on the architecture: its map has a row for each module, and each file that it names exists."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "monitored_openai"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
ROWS = re.findall(r"^\| `([\w/]+(?:\.py|/))` \| (.*) \|$", PAGE, re.MULTILINE)
FOLDERS = {"_local/page/", "dashboards/"}
"""Folders without Python files."""


def test_each_module_has_one_row_and_each_row_a_module() -> None:
    modules = [path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")]
    expected = {name.removesuffix("__init__.py") or name for name in modules} | FOLDERS
    assert sorted(name for name, _ in ROWS) == sorted(expected)
    assert all((SOURCE / folder).is_dir() for folder in FOLDERS)


def test_each_row_describes_its_module() -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "architecture_map.py", "--check"], check=True, timeout=60)
    assert [name for name, text in ROWS if len(text) < 10] == []


def test_each_file_that_the_text_names_exists() -> None:
    named = set(re.findall(r"`((?:_\w+|tools|tests|scripts|docs)(?:/\w+)*(?:\.py|/))`", PAGE))
    assert len(named) > 30
    assert [name for name in sorted(named) if not (SOURCE / name).exists() and not (ROOT / name).exists()] == []


def test_no_function_of_the_package_is_an_asynchronous_generator() -> None:
    """The collector finalizes those in any order; pytest's filter of warnings relies on their absence."""
    functions = [
        node
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef)
    ]
    assert len(functions) > 50
    assert [function.name for function in functions if any(_yields(part) for part in function.body)] == []


def _yields(node: ast.AST) -> bool:
    """Return True if a function with this node in its body is a generator."""
    if isinstance(node, ast.Yield):
        return True
    inner = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    return not inner and any(map(_yields, ast.iter_child_nodes(node)))

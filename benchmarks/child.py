"""Interpreters of their own, with the bytecode at hand as in an installed program, whatever the environment says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_BYTECODE = Path(__file__).parent.parent / ".cache" / "bytecode"


def command(*arguments: str) -> list[str]:
    """The command that runs this Python with these arguments."""
    return [sys.executable, *arguments]


def environment() -> dict[str, str]:
    """The environment for it."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**own, "PYTHONPYCACHEPREFIX": str(_BYTECODE)}

"""Start separate interpreters with cached bytecode, as in an installed program, even if the environment disables it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
_BYTECODE = ROOT / ".cache" / "bytecode"


def start(*arguments: str, python: str = sys.executable) -> subprocess.Popen[str]:
    """Start a Python interpreter with these arguments and a pipe for its output; by default the current one."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(_BYTECODE)
    return subprocess.Popen([python, *arguments], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)

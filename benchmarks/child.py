"""Start separate interpreters with cached bytecode, as in an installed program, even if the environment disables it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
_BYTECODE = ROOT / ".cache" / "bytecode"


def start(*arguments: str, python: str = sys.executable, source: Path | None = None) -> subprocess.Popen[str]:
    """Start a Python interpreter with these arguments and pipes for its input and output; by default the current one.

    It imports this library from the folder `source`, or the installed one.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(_BYTECODE)
    if source is not None:
        environment["PYTHONPATH"] = os.pathsep.join((str(source), str(ROOT)))
    return subprocess.Popen(
        [python, *arguments], cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

"""Becomes a program that is installed beside this Python: ``python installed.py NAME ARGUMENT...``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    program = Path(sys.executable).with_name(sys.argv[1])
    os.execv(program, [str(program), *sys.argv[2:]])  # noqa: S606 - there is nothing for a shell to do

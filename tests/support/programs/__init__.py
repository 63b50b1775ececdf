"""Programs that tests run as separate processes, and the functions that run them.

Each reads its settings from the environment, as a user's program does, and prints its results as JSON on its last line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> Any:
        """The JSON on the last line."""
        return json.loads(self.out.splitlines()[-1])

    @property
    def noise(self) -> str:
        """What is on stderr besides the package's warnings."""
        lines = self.err.splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("monitored_openai: "))


class Program:
    """A running program, in a process group of its own."""

    def __init__(self, name: str, *arguments: object, env: Mapping[str, str], options: tuple[str, ...] = ()) -> None:
        # By its path, as with -m a KeyboardInterrupt would have another exit code.
        command = [sys.executable, *options, str(Path(__file__).with_name(f"{name}.py")), *map(str, arguments)]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "OPENAI_API_KEY": "sk-test", "PYTHONPATH": path, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Of the program, and of its process group."""
        return self._process.pid

    def wait(self, timeout: float = 100) -> Ended:
        """Wait for the end; what has not ended by then is killed, and the test fails."""
        try:
            out, err = self._process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            out, err = self._process.communicate(timeout=10)
            raise AssertionError(f"did not end within {timeout} s; out: {out!r:.2000} err: {err!r:.4000}") from None
        return Ended(code=self._process.returncode, out=out, err=err)

    def kill(self) -> None:
        """End it and its children."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:  # all gone
            return


@contextmanager
def running(name: str, *arguments: object, env: Mapping[str, str], options: tuple[str, ...] = ()) -> Iterator[Program]:
    """A program that does not outlive the block."""
    program = Program(name, *arguments, env=env, options=options)
    try:
        yield program
    finally:
        program.kill()
        program._process.communicate(timeout=10)


def run(
    name: str, *arguments: object, env: Mapping[str, str], timeout: float = 100, options: tuple[str, ...] = ()
) -> Ended:
    """Run a program to its end."""
    with running(name, *arguments, env=env, options=options) as program:
        return program.wait(timeout)


def settings(**values: object) -> dict[str, str]:
    """Settings as environment variables."""
    return {f"MONITORED_OPENAI_{name.upper()}": str(value) for name, value in values.items()}

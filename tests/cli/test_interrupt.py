"""Ctrl-C at any time: the command ends with 130 and without a traceback, even while Python imports the SDK."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

import _monitored_openai_command as entry
from tests.support.command import COMMAND

AT_EXIT = """
import atexit, os, signal, sys
from _monitored_openai_command import main
atexit.register(os.kill, os.getpid(), signal.SIGINT)
sys.argv = ["monitored-openai", "--version"]
sys.exit(main())
"""


def interrupted_after(module: str, *arguments: str) -> tuple[int, list[str]]:
    """The exit code, and what else the command writes, if the interrupt comes when it has imported a module."""
    command = [sys.executable, "-X", "importtime", str(COMMAND), *arguments]
    said = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if not line.startswith("import time:"):
                said.append(line)
            elif line.split("|")[-1].strip() == module:
                running.send_signal(signal.SIGINT)
        code = running.wait(timeout=60)
    return code, said


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        ("local --port 0", "openai._types"),
        ("demo", "pydantic.fields"),
        ("top", "openai._models"),
        ("tail", "openai.types.chat"),
        ("report", "openai._constants"),
    ],
)
def test_an_interrupt_of_the_imports_ends_the_command_at_once(arguments: str, module: str) -> None:
    assert interrupted_after(module, *arguments.split()) == (130, [])


def test_an_interrupt_of_the_end_shows_no_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", AT_EXIT], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
    assert done.stdout.startswith("monitored-openai ")


@pytest.mark.parametrize("before", [signal.SIG_IGN, signal.SIG_DFL])
def test_another_action_of_the_interrupt_stays(before: signal.Handlers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["monitored-openai", "--version"])
    original = signal.signal(signal.SIGINT, before)
    try:
        assert entry.main() == 0
        assert signal.getsignal(signal.SIGINT) == before
    finally:
        signal.signal(signal.SIGINT, original)

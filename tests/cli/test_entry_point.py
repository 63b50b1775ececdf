"""The console script: it starts without the SDK, and Ctrl-C ends it with 130 and without a traceback at any time."""

from __future__ import annotations

import fcntl
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
DEFERRED = """
import sys
import _monitored_openai_command
sys.argv = ["monitored-openai", "--help"]
assert _monitored_openai_command.main() == 0
assert "openai" not in sys.modules

import monitored_openai
from monitored_openai import MonitoredOpenAI, attributes
assert "openai" in sys.modules
assert {*monitored_openai.__all__} <= {*dir(monitored_openai)}
assert "__getattr__" not in vars(monitored_openai)
assert MonitoredOpenAI is sys.modules["monitored_openai._clients"].MonitoredOpenAI
try:
    monitored_openai.nonsense
except AttributeError as error:
    assert str(error) == "module 'monitored_openai' has no attribute 'nonsense'"
"""
SMALLEST_PIPE = 4096


def interrupted_after(module: str, *arguments: str) -> tuple[int, list[str]]:
    """The exit code, and what else the command writes, if the interrupt comes when it has imported a module."""
    command = [sys.executable, "-X", "importtime", str(COMMAND), *arguments]
    said = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0) as running:
        assert running.stderr is not None
        fcntl.fcntl(running.stderr, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE)  # so that it is few imports ahead of its reader
        for line in running.stderr:
            if not line.startswith(b"import time:"):
                said.append(line.decode())
            elif line.split(b"|")[-1].strip().decode() == module:
                running.send_signal(signal.SIGINT)
        code = running.wait(timeout=60)
    return code, said


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        ("local --port 0", "typing_extensions"),
        ("demo", "pydantic.fields"),
        ("top", "openai._models"),
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


def test_the_help_needs_no_sdk_and_the_package_is_complete_when_it_is_used() -> None:
    done = subprocess.run([sys.executable, "-c", DEFERRED], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_needs_no_sdk() -> None:
    command = [sys.executable, "-X", "importtime", str(COMMAND), "local", "--history", "/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 2
    assert {"monitored_openai._local.server", "openai", "pydantic"} & imported == {"monitored_openai._local.server"}

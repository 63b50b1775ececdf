"""The command in an environment without the extra."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from monitored_openai._cli.command import PLAIN
from tests.support.command import Asked

pytestmark = pytest.mark.usefixtures("wide")


WITHOUT_EXTRA = """
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in {hidden!r} else find_spec(name, *more)
sys.modules.update(dict.fromkeys({hidden!r}))
from monitored_openai._cli.command import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("arguments", [["report"], ["dashboards", "push"], ["nonsense"]], ids=" ".join)
def test_without_the_extra_a_command_says_what_to_install(arguments: list[str]) -> None:
    ended = without_extra(*arguments)

    assert ended.returncode == 2
    missing = arguments == ["nonsense"] or "pip install 'monitored-openai[cli]'" in ended.stderr
    assert missing, ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_the_extra_there_is_the_demo() -> None:
    ended = without_extra("demo", "--help")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "--live" in ended.stdout


def without_extra(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = WITHOUT_EXTRA.format(hidden=("typer", "rich", "yaml"))
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_what_needs_no_extra_is_in_the_help_with_the_extra_too(ask: Asked) -> None:
    with_extra = ask("--help")

    listed = re.findall(r"^    (\w+) ", without_extra("--help").stdout, re.MULTILINE)
    assert listed == list(PLAIN)
    assert [name for name in listed if not re.search(rf"^│ {name} ", with_extra, re.MULTILINE)] == []

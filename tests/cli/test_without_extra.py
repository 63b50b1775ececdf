"""The command in an environment without the extra."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from monitored_openai._cli.main import main

WITHOUT_EXTRA = """
import sys
sys.modules.update(dict.fromkeys({hidden!r}))
from monitored_openai._cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["report"],
        ["top"],
        ["tail"],
        ["prices", "gpt-4o"],
        ["dashboards", "push", "--grafana-url", "http://127.0.0.1:9"],
        ["rules", "export", "x"],
        ["completion", "bash"],
        ["nonsense"],
    ],
    ids=" ".join,
)
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
    program = WITHOUT_EXTRA.format(hidden=("shtab", "rich", "yaml"))
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_without_the_extra_the_help_lists_the_same_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    assert main(["--help"]) == 0
    assert without_extra("--help").stdout == capsys.readouterr().out


def test_without_the_extra_dashboards_are_exported(tmp_path: Path) -> None:
    ended = without_extra("dashboards", "export", str(tmp_path))

    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(list(tmp_path.glob("*.json"))) == 5

"""Help, shell completion and invalid arguments."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from monitored_openai._cli.main import main

Output = Callable[..., str]
COMMANDS = "demo doctor local report top tail prices dashboards rules completion".split()


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Output:
    """Run the command in this process and return its output."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> str:
        assert main([*arguments]) == 0
        return capsys.readouterr().out

    return run


def test_the_help_lists_every_command(output: Output) -> None:
    assert re.findall(r"^    (\w+)(?: |$)", output("--help"), re.MULTILINE) == COMMANDS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("top --every 0.1", "at least 0.5 seconds"),
        ("top --every nan", "write a number"),
        ("tail --lines 5001", "from 0 to 5000"),
        ("tail --grep -x", "write OPTION=VALUE"),
    ],
)
def test_a_refused_value_is_reported_on_one_line(
    arguments: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == 2

    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert words in shown.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["monitored-openai", "re"], ["report"]),
        (["monitored-openai", "dashboards", "pu"], ["push"]),
        (["monitored-openai", "report", "--tok"], ["--token-file"]),
        (["monitored-openai", "report", "--format", "c"], ["csv"]),
    ],
    ids=" ".join,
)
def test_the_shell_completes_commands_options_and_values(words: list[str], expected: list[str], output: Output) -> None:
    script = output("completion", "bash")
    complete = f"""{script}
        COMP_WORDS=({" ".join(words[:-1])} '{words[-1]}') COMP_CWORD={len(words) - 1}
        _shtab_monitored_openai; printf '%s\\n' "${{COMPREPLY[@]}}"
    """

    done = subprocess.run(["bash", "-c", complete], capture_output=True, text=True, timeout=60, check=False)

    assert (done.stdout.split(), done.stderr) == (expected, "")


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_completion_offers_commands_and_options_but_no_hidden_option(shell: str, output: Output) -> None:
    script = output("completion", shell)

    assert [word for word in (*COMMANDS, "--token-file") if word not in script] == []
    assert not re.search(r"--token\b(?!-)", script)


def test_the_help_imports_no_part_of_a_command() -> None:
    program = """
import sys
from monitored_openai._cli.main import main
main(["--help"])
loaded = [name for name in sys.modules if name.startswith("monitored_openai._cli.")]
print(*sorted(loaded), *sorted({"shtab", "yaml", "genai_prices"} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)

    parts = ("arguments", "commands", "errors", "main", "terminal")
    assert done.stderr.split() == [f"monitored_openai._cli.{part}" for part in parts]


@pytest.mark.parametrize("group", ["", "dashboards", "rules"])
def test_a_group_without_a_command_shows_its_help(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(group.split()) == 2

    shown = capsys.readouterr()
    assert shown.out.startswith(f"usage: monitored-openai {group}")
    assert shown.err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "demo",
        "doctor",
        "local",
        "completion",
        "report",
        "top",
        "tail",
        "prices",
        "dashboards",
        "dashboards export",
        "dashboards push",
        "rules export",
    ],
)
def test_every_command_has_help(arguments: str, output: Output) -> None:
    shown = output(*arguments.split(), "--help")

    assert "usage: monitored-openai" in shown
    assert len(shown.splitlines()) > 5

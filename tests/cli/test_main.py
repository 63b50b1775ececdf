"""The command `monitored-openai`, and its demo with real back ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from monitored_openai import MonitoredOpenAI, MonitoringSettings, __version__
from monitored_openai._cli.main import main
from tests.support.back_ends import Reality
from tests.support.servers.openai_api import Behaviour
from tests.support.servers.remote_write import Status

COMMAND = [sys.executable, "-c", "import sys; from _monitored_openai_command import main; sys.exit(main())"]
SECRET = "sk-test-0123456789abcdefghij"
AS_EXPECTED = [Behaviour()] * 4 + [Behaviour(status=404)]


@pytest.fixture
def reality(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reality]:
    """With the environment that points there."""
    real = Reality()
    for name, value in {
        "OPENAI_API_KEY": SECRET,
        "OPENAI_BASE_URL": real.api.base_url,
        "MONITORED_OPENAI_METRICS_URL": real.prometheus.write_url,
        "MONITORED_OPENAI_LOGS_URL": real.loki.push_url,
        "MONITORED_OPENAI_PROVIDER": "openai",
        "MONITORED_OPENAI_ENVIRONMENT": "of my own",
    }.items():
        monkeypatch.setenv(name, value)
    yield real
    real.close()


@pytest.mark.once
def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0

    assert capsys.readouterr().out == f"monitored-openai {__version__}\n"


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--help"], ["demo", "--version"]), (["demo", "--help"], ["--live", "OPENAI_API_KEY", "Exit code"])],
)
def test_help_names_what_there_is(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(arguments) == 0

    shown = capsys.readouterr().out
    assert [word for word in words if word not in shown] == []


@pytest.mark.once
def test_without_arguments_there_is_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: monitored-openai" in capsys.readouterr().out


def test_an_interrupt_ends_the_demo_with_130_and_without_traceback() -> None:
    with subprocess.Popen([*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        for line in running.stdout:
            if line.startswith("  sync"):  # the first phase is over, the second one under way
                running.send_signal(signal.SIGINT)
        errors = running.stderr.read()
        code = running.wait(timeout=60)

    assert (code, errors) == (130, "\ninterrupted\n")


def test_a_reader_that_goes_away_ends_the_demo_without_traceback() -> None:
    with subprocess.Popen([*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        errors = running.stderr.read()
        code = running.wait(timeout=60)

    assert (code, errors) == (1, "")


def test_live_names_in_one_line_what_is_not_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("MONITORED_OPENAI_LOGS_URL", " ")

    assert main(["demo", "--live"]) == 2

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "monitored-openai demo --live: not set: MONITORED_OPENAI_METRICS_URL, MONITORED_OPENAI_LOGS_URL\n"
    )


def test_live_names_the_setting_that_is_wrong(
    reality: Reality, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_METRICS_URL", "ftp://127.0.0.1")

    assert main(["demo", "--live"]) == 2

    assert "MONITORED_OPENAI_METRICS_URL" in capsys.readouterr().err
    assert reality.api.requests == []


def test_live_makes_five_calls_with_the_settings_of_the_environment_and_delivers_them(
    reality: Reality, capsys: pytest.CaptureFixture[str]
) -> None:
    reality.api.script(AS_EXPECTED)

    assert main(["demo", "--live"]) == 0

    shown = capsys.readouterr().out
    assert len(reality.api.requests) == 5
    assert shown.count(", as expected\n") == 5
    assert reality.prometheus.total("gen_ai_client_operation_duration_seconds_count") == 5
    assert [entry.labels["environment"] for entry in reality.loki.entries] == ["of my own"] * 5
    (run,) = {entry.metadata["demo_run"] for entry in reality.loki.entries}
    assert f'environment="of my own"}} | demo_run="{run}"\n' in shown
    assert SECRET not in shown
    assert "All delivered." in shown


def test_live_says_beforehand_what_it_may_cost_and_stays_below(
    reality: Reality, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = {"prompt_tokens": 14, "completion_tokens": 16, "total_tokens": 30}  # what the real one says to the prompt
    reality.api.script([Behaviour(patch={"usage": usage})] * 4 + [Behaviour(status=404)])

    main(["demo", "--live"])

    most = float(capsys.readouterr().out.partition("at most $")[2].partition(",")[0])
    spent = reality.prometheus.total("gen_ai_client_cost_usd_total")
    assert 0 < spent <= most < 0.001


def test_live_shows_a_refused_key_without_repeating_it(reality: Reality, capsys: pytest.CaptureFixture[str]) -> None:
    refusal = f'{{"error": {{"message": "Incorrect API key provided: {SECRET}", "code": "invalid_api_key"}}}}'
    reality.api.default = Behaviour(status=401, body=refusal)

    assert main(["demo", "--live"]) == 1

    shown = capsys.readouterr()
    assert shown.out.count("AuthenticationError, HTTP 401, NOT as expected") == 4
    assert SECRET not in shown.out + shown.err
    assert "All delivered." in shown.out


def test_live_fails_when_a_back_end_does_not_take_it(reality: Reality, capsys: pytest.CaptureFixture[str]) -> None:
    reality.api.script(AS_EXPECTED)
    reality.loki.always = Status(400)

    assert main(["demo", "--live"]) == 1

    shown = capsys.readouterr().out
    assert "0 of 5 delivered" in shown
    assert "5 rejected" in shown
    assert "NOT all delivered" in shown


# The local page


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def page_of(running: subprocess.Popen[str], name: str) -> str:
    """The address in the line that begins with this name."""
    assert running.stdout is not None
    line = next(line for line in running.stdout if name in line)
    return line.split()[-1]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_local_serves_its_page_until_it_is_ended(tmp_path: Path, end: signal.Signals) -> None:
    with started("local", "--port", "0", "--history", str(tmp_path / "history.sqlite3")) as running:
        url = page_of(running, " page ")
        assert "Ctrl-C" in next(line for line in running.stdout or () if "Ctrl-C" in line)
        with MonitoredOpenAI(api_key="none", monitoring=MonitoringSettings.local(url)) as client:
            assert client.monitoring.close(20).complete
        assert httpx.get(url, timeout=60).status_code == 200
        running.send_signal(end)
        _, errors = running.communicate(timeout=60)

    assert (running.returncode, errors) == (0, "")


def test_local_with_a_token_may_be_seen_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-long-random-text\n")
    arguments = ("--port", "0", "--history", str(tmp_path / "history.sqlite3"), "--token-file", str(tmp_path / "token"))
    with started("local", "--host", "0.0.0.0", *arguments) as running:  # noqa: S104  # as on the page
        url = page_of(running, " page ").replace("0.0.0.0", "127.0.0.1")  # noqa: S104  # as above
        assert httpx.get(url, timeout=60).status_code == 401
        assert httpx.get(url, auth=("me", "a-long-random-text"), timeout=60).status_code == 200
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)


@pytest.mark.parametrize(
    ("token", "advice"), [("short", "choose another with --token-file"), ("a b c d e f", "copy it again")]
)
def test_local_refuses_a_token_that_can_be_guessed_or_not_be_sent(
    token: str, advice: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_ACCESS_TOKEN", token)

    assert main(["local", "--host", "0.0.0.0"]) == 2  # noqa: S104  # refused
    assert advice in capsys.readouterr().err


def test_the_demo_on_a_page_stays_up_with_what_it_has_shown() -> None:
    with started("demo", "--page") as running:
        url = page_of(running, "On a page").partition("/#")[0]
        total = httpx.get(f"{url}/api/overview?seconds=900", timeout=60).json()["total"]
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)

    assert (running.returncode, errors) == (0, "")
    assert (total["calls"], total["errors"]) == (320, 24)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "choose a token with --token-file"),  # noqa: S104  # refused
        (["--token", "a\x1bb"], "copy it again"),
        (["--token", ""], "the token is empty"),
        (["--token-file", "/dev/null"], "the token is empty"),
        (["--token-file", "/dev/zero"], "name another file"),
        (["--token-file", "/nowhere"], "cannot be read (No such file or directory)"),
        (["--history", "/dev/null/history"], "name another file with --history"),
        (["--host", "203.0.113.1", "--token-file", "TOKEN"], "Choose another with --port or --host"),
    ],
)
def test_local_says_in_one_line_what_is_wrong_and_how_to_mend_it(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    (tmp_path / "token").write_text("a-long-random-text\n")
    arguments = [str(tmp_path / "token") if one == "TOKEN" else one for one in arguments]

    assert main(["local", *arguments]) == 2

    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert errors.startswith("monitored-openai local: ")
    assert words in errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["local", "--port", "99999"],
        ["local", "--port", "-5"],
        ["local", "--days", "0"],
        ["local", "--megabytes", "much"],
        ["local", "--megabytes", "inf"],
        ["local", "more\n\x1b[31m"],
        ["doctor", "--nonsense"],
        ["demo", "--page", "--live"],
        ["nonsense"],
    ],
    ids=" ".join,
)
def test_arguments_that_cannot_be_are_told_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(arguments)

    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert told.err.count("\n") == 1
    assert told.err.startswith("monitored-openai")
    assert told.err.rstrip("\n").isprintable()
    assert all(given.partition("\n")[0] in told.err for given in arguments[1:])


def test_a_port_that_is_taken_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        assert main(["local", "--port", str(port), "--history", str(tmp_path / "history.sqlite3")]) == 2

    assert "does another `monitored-openai local` use it?" in capsys.readouterr().err

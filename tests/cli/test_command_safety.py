"""The commands reveal no token, and bound the size of each reply that they read."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import resource
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from monitored_openai import MonitoringSettings
from monitored_openai._cli.errors import UserError
from monitored_openai._cli.main import main
from monitored_openai._cli.query import replies
from monitored_openai._cli.query.following import Follower, Skipped
from monitored_openai._cli.query.http_api import HttpApi
from monitored_openai._cli.query.loki_log import Entry
from monitored_openai._cli.query.report_rows import parse_time
from tests.support.servers._http import HttpServer
from tests.support.servers._steps import Reply, Request, whole

TOKEN = "glsa_a-token-of-its-own"
EMPTY = json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}}).encode()


class Server(HttpServer):
    """Answers everything with one reply, and keeps what it was asked."""

    def __init__(self, body: bytes = EMPTY, status: int = 200, **headers: str) -> None:
        super().__init__(keep_requests=True)
        self.body, self.status = body, status
        self.more = {name.replace("_", "-"): value for name, value in headers.items()}

    async def respond(self, request: Request) -> Reply:
        """Answer."""
        return Reply([whole(self.status, self.body, self.more)])

    def sent(self, name: str) -> set[str]:
        """The values of a header in what it was asked."""
        return {request.headers.get(name, "") for request in self.requests}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROMETHEUS_TOKEN", "LOKI_TOKEN", "GRAFANA_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    return told.err


# Tokens


@pytest.mark.parametrize(
    ("command", "variable"),
    [("report --url", "PROMETHEUS_TOKEN"), ("top --url", "PROMETHEUS_TOKEN"), ("tail --url", "LOKI_TOKEN"),
     ("dashboards push --grafana-url", "GRAFANA_TOKEN")],
)  # fmt: skip
def test_a_token_travels_in_clear_only_on_this_machine_or_if_allowed(
    command: str, variable: str, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, TOKEN)
    monkeypatch.setenv("http_proxy", server.url)
    elsewhere = "http://metrics.example.invalid:9090"

    said = refused(capsys, *command.split(), elsewhere)
    assert "unencrypted" in said
    assert TOKEN not in said
    monkeypatch.setenv("MONITORED_OPENAI_ALLOW_INSECURE", "true")
    assert "cannot be reached" in refused(capsys, *command.split(), elsewhere)
    assert list(server.requests) == []


@pytest.mark.parametrize("source", ["file", "variable", "argument"])
def test_a_token_comes_from_a_file_or_the_environment_and_an_argument_is_warned_of(
    source: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    given = {"file": ["--token-file", str(tmp_path / "token")], "argument": ["--token", TOKEN], "variable": []}[source]
    if source == "variable":
        monkeypatch.setenv("PROMETHEUS_TOKEN", f"{TOKEN}\n")

    assert main(["report", "--url", server.url, *given]) == 0

    assert server.sent("authorization") == {f"Bearer {TOKEN}"}
    warning = capsys.readouterr().err
    assert ("can be seen by all users" in warning) == (source == "argument")
    assert TOKEN not in warning


@pytest.mark.parametrize("content", [b"", b" \n", b"two\nlines", b"\xff\xfe", b"\x1b[31m", b"x" * 100_000])
def test_a_file_without_a_token_is_refused_and_not_repeated(
    content: bytes, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_bytes(content)

    said = refused(capsys, "tail", "--url", server.url, "--token-file", str(tmp_path / "token"))

    assert said.count("\n") == 1
    assert "two" not in said
    assert list(server.requests) == []


def test_a_password_in_an_address_is_refused_and_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    for url in ("http://me:hunter2@127.0.0.1:9", "me:hunter2@127.0.0.1", "http://me:hun/ter2@127.0.0.1"):
        said = refused(capsys, "report", "--url", url)

        assert "--token-file" in said
        assert "ter2" not in said


def test_a_server_that_repeats_a_token_is_quoted_without_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOKI_TOKEN", TOKEN)
    with Server(f"bad: Bearer {TOKEN}".encode(), 403) as server:
        said = refused(capsys, "tail", "--url", server.url)

    assert "refuses with 403: bad:" in said
    assert TOKEN not in said


MARKS = "\u202e\u2066\u200f\u061c\u200b\ufeff\U000e0041\u2028\x85\x1b"


def test_a_refusal_is_quoted_without_marks_that_change_its_direction(capsys: pytest.CaptureFixture[str]) -> None:
    with Server(f"no{MARKS}t allowed".encode(), 403) as server:
        text = refused(capsys, "tail", "--url", server.url)

    assert text.rstrip("\n").isprintable()
    assert text.startswith("monitored-openai: ")
    assert "t allowed" in text


def test_a_key_with_marks_in_it_is_not_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    for mark in MARKS:
        with Server(f"bad key sk-proj-{mark}Ab3x9xYz0123456789Qw7".encode(), 403) as server:
            text = refused(capsys, "tail", "--url", server.url)

        assert "0123456789Qw7" not in text, repr(mark)


@pytest.mark.parametrize("token", ["x", "1234567"])
def test_a_token_of_less_than_8_characters_is_not_sent(
    token: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text(token)
    for arguments in (["--token", token], ["--token-file", str(tmp_path / "token")], []):
        if not arguments:
            monkeypatch.setenv("PROMETHEUS_TOKEN", token)
        text = refused(capsys, "report", "--url", server.url, *arguments)
        assert "the token is shorter than 8 characters" in text
        assert "1234567" not in text
    assert list(server.requests) == []


def test_a_password_may_be_shorter_than_a_token(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROMETHEUS_TOKEN", "admin")
    assert main(["report", "--url", server.url, "--username", "admin"]) == 0
    assert server.sent("authorization") == {"Basic YWRtaW46YWRtaW4="}


# The way that the settings prescribe


def test_a_command_follows_the_proxy_of_the_settings_and_no_other(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("default login me password hunter2\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    with Server() as other, Server() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, other.url)
        assert main(["report", "--url", server.url]) == 0
        monkeypatch.setenv("MONITORED_OPENAI_PROXY", proxy.url)
        assert main(["report", "--url", "http://metrics.example.invalid:9090"]) == 0

        assert list(other.requests) == []
        assert {request.target for request in proxy.requests} == {"http://metrics.example.invalid:9090/api/v1/query"}
        assert server.sent("authorization") == {""}


def test_credentials_of_the_settings_go_to_their_own_server_only(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "METRICS_URL": server.url,
        "ACCESS_TOKEN": TOKEN,
        "METRICS_USERNAME": "42",
        "TENANT_ID": "team-a",
        "HEADERS": '{"X-Api-Key": "k-secret", "X-Team": "a"}',
    }.items():
        monkeypatch.setenv(f"MONITORED_OPENAI_{name}", value)
    settings = MonitoringSettings()
    assert main(["report"]) == 0
    assert server.sent("authorization") == {settings.request_headers("metrics")["Authorization"]}
    assert (server.sent("x-api-key"), server.sent("x-scope-orgid")) == ({"k-secret"}, {"team-a"})

    with Server() as other:
        assert main(["report", "--url", other.url]) == 0
        assert (other.sent("authorization"), other.sent("x-api-key")) == ({""}, {""})
        assert (other.sent("x-scope-orgid"), other.sent("x-team")) == ({"team-a"}, {"a"})

    server.requests.clear()
    monkeypatch.setenv("PROMETHEUS_TOKEN", "another-one")
    assert main(["report"]) == 0
    assert server.sent("authorization") == {httpx.BasicAuth("42", "another-one")._auth_header}


# Replies


@pytest.mark.alone
@pytest.mark.parametrize("command", ["report --url", "tail --no-follow --url"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_small_reply_that_unpacks_to_a_large_one_is_refused(
    command: str, layers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = gzip.compress(b" " * (300 * 2**20), 9)
    packed = gzip.compress(packed, 9) if layers == 2 else packed
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Server(packed, Content_Encoding=", ".join(["gzip"] * layers)) as server:
        said = refused(capsys, *command.split(), server.url)

    assert "ask for less" in said or "not requested" in said
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"no gzip", "gzip"), (gzip.compress(EMPTY)[:-5], "gzip"), (EMPTY, "br"), (b"[" * 200_000, "identity")],
    ids=["no gzip", "cut off", "another encoding", "deeply nested"],
)
def test_a_broken_reply_is_said_in_one_line(body: bytes, encoding: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Server(body, Content_Encoding=encoding) as server:
        assert refused(capsys, "report", "--url", server.url).count("\n") == 1


def test_a_packed_reply_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    with Server(gzip.compress(EMPTY), Content_Encoding="gzip") as server:
        assert main(["report", "--url", server.url]) == 0


def test_a_refusal_of_any_size_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Server(b"x" * 2**21, 500) as server:
        assert len(refused(capsys, "report", "--url", server.url)) < 500


def test_pages_that_are_too_large_are_halved() -> None:
    entries = [Entry(at_ns=10**12 + number, line=str(number)) for number in range(3000)]

    class Fat:
        def page(self, start: int, end: int, *, limit: int) -> list[Entry]:
            if limit > 100:
                raise replies.Oversized("too large")
            return [one for one in entries if start <= one.at_ns < end][:limit]

        def count(self, start: int, end: int) -> int:
            return sum(start <= one.at_ns < end for one in entries)

    times = iter(range(10**12, 10**15, 10**6))
    follower = Follower(Fat(), clock=lambda: next(times))

    found = list(follower.poll())
    assert not any(isinstance(one, Skipped) for one in found)
    assert len(found) == 3000


# What is shown

FORMULAS = [
    "a;=cmd|'/c calc'!A1",
    'a";=1',
    '=HYPERLINK("http://127.0.0.1/","x")',
    "@SUM(1)",
    "+1",
    "-1",
    "\t=1",
    " =1",
    "\uff1d1",
    "m\x1b]0;t\x07",
    "\r=2",
]


def test_csv_has_no_cell_that_a_spreadsheet_runs(capsys: pytest.CaptureFixture[str]) -> None:
    found = [{"metric": {"gen_ai_request_model": name}, "value": [1, "3"]} for name in [*FORMULAS, "gpt-4o"]]
    body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": found}}).encode()
    with Server(body) as server:
        assert main(["report", "--url", server.url, "--format", "csv"]) == 0
    text = capsys.readouterr().out
    names = [row[0] for row in csv.reader(io.StringIO(text))]

    assert "gpt-4o" in names
    assert [name for name in names if name.lstrip()[:1] in tuple("=+-@\uff1d")] == []
    assert text.replace("\n", "").isprintable()
    assert re.fullmatch(r'(?:(?:"(?:[^"]|"")*"|[0-9.]+)[,\n])+', text)
    assert [
        row[0] for row in csv.reader(io.StringIO(text), delimiter=";", quotechar='"') if row[1:] and row[1][:1] == "="
    ] == []


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31T23:59:59-14:00", "10000-01-01", "\uff12026-01-01", ""])
def test_a_moment_that_no_calendar_shows_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is not a date"):
        parse_time(text)


def test_a_backend_needs_usable_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_PROXY", "socks5://127.0.0.1:9")
    with pytest.raises(UserError, match="proxy"):
        HttpApi("http://127.0.0.1:9", {})

"""The command with its extra, against a real Prometheus and faithful fakes of Loki and Grafana."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import yaml
from rich.console import Console

from monitored_openai._cli import dashboards
from monitored_openai._cli.main import main
from monitored_openai._cli.query.http_api import HttpApi
from monitored_openai._cli.query.promql import CALLS as CALLS_METRIC
from monitored_openai._cli.query.report import Report, Row, as_table
from monitored_openai._cli.query.tail import query
from monitored_openai._exporter.encoders.remote_write import HEADERS, encode_labels, encode_push, encode_series
from tests.integration.test_end_to_end import cost_of, served_usage
from tests.support.logql import faults_of
from tests.support.servers._http import HttpServer
from tests.support.servers._steps import Reply, Request, whole
from tests.support.servers.grafana import FakeGrafana
from tests.support.servers.prometheus import Prometheus, require_prometheus
from tests.support.stocked import CALLS, PROCESSES, Workload

TOKEN = "glsa_secret"
COMMAND = Path(sys.executable).with_name("monitored-openai")


class LokiQueries(HttpServer):
    """Answers range queries with entries of its own, as Loki does whatever is asked for."""

    def __init__(self) -> None:
        super().__init__(keep_requests=True)
        self.entries: list[tuple[int, str]] = []
        self.refusal = ""

    async def respond(self, request: Request) -> Reply:
        """Answer."""
        if self.refusal or request.path != "/loki/api/v1/query_range":
            return Reply([whole(400 if self.refusal else 404, self.refusal.encode())])
        asked = {name: values[0] for name, values in parse_qs(urlsplit(request.target).query).items()}
        inside = [entry for entry in self.entries if int(asked["start"]) <= entry[0] < int(asked["end"])]
        inside.sort(reverse=asked["direction"] == "backward")
        values = [[str(at), line] for at, line in inside[: int(asked["limit"])]]
        data = {"resultType": "streams", "result": [{"stream": {}, "values": values}] if values else []}
        return Reply([whole(200, json.dumps({"status": "success", "data": data}).encode())])


@pytest.fixture
def loki() -> Iterator[LokiQueries]:
    with LokiQueries() as running:
        yield running


@pytest.fixture
def grafana() -> Iterator[FakeGrafana]:
    with FakeGrafana(token=TOKEN) as running:
        yield running


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("GRAFANA_URL", raising=False)
    monkeypatch.delenv("GRAFANA_TOKEN", raising=False)


class Asked:
    """The command run in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object, code: int = 0) -> str:
        """Its output; with a code of 2 the one line of its complaint."""
        self._capsys.readouterr()
        ended = main([str(argument) for argument in arguments])
        told = self._capsys.readouterr()
        assert ended == code, told.err
        if code:
            assert told.out == ""
            assert told.err.count("\n") == 1, told.err
            return told.err.removeprefix("monitored-openai: ").strip()
        return told.out


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Asked:
    return Asked(capsys)


def window(done: Workload, begins: float) -> list[str]:
    """The options for a range up to the workload's end."""
    until = datetime.fromtimestamp(done.ended, UTC).isoformat()
    milliseconds = int((done.ended - begins) * 1000)
    return ["--url", done.prometheus.url, "--until", until, "--range", f"{milliseconds}ms"]


def report(ask: Asked, *arguments: object) -> dict[str, dict[str, Any]]:
    rows = json.loads(ask("report", "--format", "json", *arguments))["rows"]
    return {row["name"]: row for row in rows}


def truth(lines: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """What the API served, by the model asked for."""
    found: dict[str, dict[str, float]] = {}
    for line in lines:
        row = found.setdefault(line["request_model"], defaultdict(float))
        row["calls"] += 1
        if "error_type" in line:
            row["errors"] += 1
            continue
        usage, cost = served_usage(line["request"]), cost_of(line)
        row["input_tokens"] += usage["prompt_tokens"]
        row["output_tokens"] += usage["completion_tokens"]
        row["unpriced_calls"] += cost is None
        row["cost_usd"] += cost or 0
    return found


def test_a_report_is_the_truth_for_four_processes_and_one_that_ended_before(done: Workload, ask: Asked) -> None:
    lines = [line for line in done.lines() if "program" in line.get("attributes", {})]
    within = [line for line in lines if line["attributes"]["program"] != "before"]
    for begins, served in ((done.began - 60, lines), (done.window_begins, within)):
        told = report(ask, *window(done, begins), "--where", "job=mixed")
        expected = truth(served)
        assert told.keys() == expected.keys() | {"all"}
        for model, row in expected.items():
            for what, number in row.items():
                assert told[model][what] == pytest.approx(number, rel=1e-9), (model, what)
        assert told["all"]["calls"] == len(served)
        assert told["all"]["cost_usd"] == pytest.approx(sum(row["cost_usd"] for row in expected.values()), rel=1e-9)


def test_a_report_by_an_attribute_knows_each_process(done: Workload, ask: Asked) -> None:
    within = report(ask, *window(done, done.window_begins), "--by", "program", "--where", "job=mixed")
    ever = report(ask, *window(done, done.began - 60), "--by", "program", "--where", "job=mixed")

    processes = {f"p{number}": CALLS for number in range(PROCESSES)}
    assert {name: row["calls"] for name, row in within.items()} == {**processes, "all": PROCESSES * CALLS}
    assert {name: row["calls"] for name, row in ever.items()} == {
        **processes, "before": 30, "all": PROCESSES * CALLS + 30,
    }  # fmt: skip


def test_what_has_no_price_has_no_cost_and_what_has_no_label_is_told_apart(done: Workload, ask: Asked) -> None:
    models = report(ask, *window(done, done.began - 60), "--where", "environment=demo")
    features = report(ask, *window(done, done.began - 60), "--by", "feature")

    assert models["house-llm"]["cost_usd"] is None
    assert 0 < models["house-llm"]["unpriced_calls"] <= models["house-llm"]["calls"]
    assert features["(none)"]["calls"] == PROCESSES * CALLS + 30


def test_the_three_formats_tell_the_same(done: Workload, ask: Asked) -> None:
    options = [*window(done, done.began - 60), "--where", "environment=demo"]
    rows = report(ask, *options)
    as_csv = list(csv.DictReader(io.StringIO(ask("report", "--format", "csv", *options))))
    as_table = ask("report", *options)

    assert [row["name"] for row in as_csv] == list(rows)
    assert {row["name"]: int(row["calls"]) for row in as_csv} == {name: row["calls"] for name, row in rows.items()}
    assert next(row["cost_usd"] for row in as_csv if row["name"] == "house-llm") == ""
    for name, row in rows.items():
        (line,) = [line for line in as_table.splitlines() if line.startswith(name + " ")]
        assert line.split()[1] == f"{row['calls']:,}"
    assert "unknown" in as_table


def test_a_report_whose_range_begins_in_a_long_outage_counts_nothing_twice(ask: Asked, tmp_path: Path) -> None:
    now = int(time.time())
    told = [(400.0, now - 5 * 3600), (400.0, now - 4 * 3600), (407.0, now - 60)]
    labels = encode_labels(CALLS_METRIC, [("instance", "i:1"), ("gen_ai_request_model", "m")])
    with Prometheus(require_prometheus(), tmp_path) as prometheus:
        for value, at in told:
            body = encode_push([encode_series(labels, [(value, at * 1000)])])
            assert httpx.post(prometheus.write_url, content=body, headers=HEADERS).is_success

        rows = report(ask, "--url", prometheus.url, "--range", "2h")

    assert {name: row["calls"] for name, row in rows.items()} == {"m": 7, "all": 7}


def test_a_report_on_scraped_series_estimates(done: Workload, ask: Asked) -> None:
    told = report(ask, *window(done, done.began - 60), "--where", "environment=demo", "--scraped")

    assert told["all"]["calls"] == pytest.approx(320, rel=0.3)


def test_the_settings_say_whom_to_ask(done: Workload, ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_METRICS_URL", done.prometheus.write_url)

    assert "all" in report(ask, *window(done, done.began)[2:])


@pytest.mark.parametrize(
    ("protocol", "pushed_to", "asked"),
    [
        ("influx", "https://prometheus-prod-01-eu-west-0.grafana.net/api/prom", "https://prometheus-prod-01-eu-west-0.grafana.net/api/prom"),
        ("influx", "https://prometheus-prod-01-eu-west-0.grafana.net", "https://prometheus-prod-01-eu-west-0.grafana.net/api/prom"),
        ("influx", "http://victoria:8428", "http://victoria:8428"),
        ("influx", "http://victoria:8428/influx/api/v2/write", "http://victoria:8428"),
        ("influx", "http://influxdb:8086/below/write?db=openai", "http://influxdb:8086/below"),
        ("influx", "http://mimir:8080/api/v1/push", "http://mimir:8080/prometheus"),
        ("remote_write", "http://mimir:8080/api/v1/push", "http://mimir:8080/prometheus"),
        ("remote_write", "https://prometheus-prod-01.grafana.net", "https://prometheus-prod-01.grafana.net/api/prom"),
        ("remote_write", "http://prometheus:9090", "http://prometheus:9090"),
    ],
)  # fmt: skip
def test_the_address_for_queries_follows_from_the_one_for_pushes(
    protocol: str, pushed_to: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_METRICS_PROTOCOL", protocol)
    monkeypatch.setenv("MONITORED_OPENAI_METRICS_URL", pushed_to)

    with HttpApi.for_signal("metrics", None, None, None) as prometheus:
        assert prometheus.url == asked


def test_a_label_that_no_call_has_is_refused(done: Workload, ask: Asked) -> None:
    refused = ask("report", *window(done, done.began - 60), "--by", "nosuch", code=2)

    assert "no call of this range has the label 'nosuch'" in refused
    assert "no call of this range has the label 'nosuch'" in ask(
        "top", "--url", done.prometheus.url, "--by", "nosuch", code=2
    )


def test_top_shows_the_last_minutes_once_where_no_terminal_is(done: Workload, ask: Asked) -> None:
    shown = ask("top", "--url", done.prometheus.url)

    assert shown.startswith("5m until")
    assert shown.splitlines()[-1].startswith("all ")


ROW = Row(
    name="gpt-4o-mini-2024-07-18",
    calls=1_234_567,
    errors=98_765,
    input_tokens=123_456_789,
    output_tokens=98_765_432,
    cost_usd=12_345.6789,
    unpriced_calls=1_000,
    duration_p50=0.5,
    duration_p95=655.36,
    first_chunk_p95=None,
)


@pytest.mark.parametrize("room", [20, 60, 80, 100, 120, 300])
def test_no_figure_of_a_report_is_cut_however_narrow_the_terminal(room: int) -> None:
    asked = Report.parse(by="model", over="24h", until=None, where=(), scraped=False)
    paper = Console(width=1000, file=io.StringIO())

    paper.print(as_table([ROW, replace(ROW, name="all")], asked, room=room))

    assert isinstance(paper.file, io.StringIO)
    _, *lines = paper.file.getvalue().splitlines()
    figures = "1,234,567 98,765 123,456,789 98,765,432 12,345.6789 1,000 0.50 s 655.36 s -".split()
    first = next(line for line in lines if line.startswith("gpt"))
    assert first.split()[1:] == figures
    assert lines[-1].split() == ["all", *figures]
    assert "".join(line.split()[0] for line in lines[lines.index(first) : -1]) == ROW.name
    assert max(map(len, lines)) <= max(room, 100)


def line_of(number: int, **more: Any) -> str:
    call = {"id": f"id-{number}", "request_model": "gpt-4o", "duration_seconds": 0.5, **more}
    return json.dumps(call)


CHAT = {
    "usage": {"input_tokens": 7, "output_tokens": 5},
    "cost": {"total_usd": 0.00026},
    "request": {"messages": [{"role": "user", "content": "Where is\x1b[31m it?"}]},
    "response": {"choices": [{"message": {"content": "Here."}}]},
}


def test_tail_shows_the_newest_calls_in_their_order(loki: LokiQueries, ask: Asked) -> None:
    now = time.time_ns()
    loki.entries = [(now - 10**9 * (9 - number), line_of(number, attributes={"n": str(number)})) for number in range(9)]

    shown = ask("tail", "--url", loki.url, "--no-follow", "-n", 3)

    assert [line.rpartition("=")[2] for line in shown.splitlines()] == ["6", "7", "8"]


def test_tail_shows_content_only_when_asked_and_makes_it_harmless(loki: LokiQueries, ask: Asked) -> None:
    now = time.time_ns()
    loki.entries = [
        (now - 3, line_of(1, **CHAT)),
        (now - 2, line_of(2, error_type="rate_limit", error_message="Slow down.\nPlease.")),
        (now - 1, "no JSON at all"),
    ]
    short = ask("tail", "--url", loki.url, "--no-follow")
    long = ask("tail", "--url", loki.url, "--no-follow", "--content")

    assert "gpt-4o  0.50 s  7+5 tokens  $0.000260" in short
    assert "rate_limit: Slow down.\n" in short
    assert "Where is" not in short
    assert "asked     Where is\\x1b[31m it?\n" in long
    assert "answered  Here.\n" in long
    assert "\x1b" not in long


ODD_ENTRIES = [
    {"id": "1", "operation": "transcription", "response": "What was heard.", "request": {"file": "a.mp3"}},
    {"id": "2", "response": {"choices": ["x", 5, {"message": "m"}]}, "request": {"messages": [[], 5, None]}},
    {"id": "3", "response": [2], "request": 1, "attributes": [1], "usage": 5, "duration_seconds": True},
    {"id": "4", "cost": {"total_usd": "much"}, "error_type": 5, "error_message": ["a"], "request_model": {"a": "\x1b"}},
    {"id": {"a": 1}, "response": {"output": [{"type": "function_call", "name": "look", "arguments": "{}"}]}},
    {"doctor": "a test entry"},
    {"doctor": "another one"},
    [],
]


def test_tail_shows_entries_however_odd_they_are(loki: LokiQueries, ask: Asked) -> None:
    now = time.time_ns()
    lines = [*map(json.dumps, ODD_ENTRIES), "[" * 100_000]
    loki.entries = [(now - 1000 + number, line) for number, line in enumerate(lines)]

    shown = ask("tail", "--url", loki.url, "--no-follow", "--content", "-n", 20)

    assert "answered  What was heard.\n" in shown
    assert "answered  look({})\n" in shown
    assert '{"doctor": "another one"}\n' in shown
    assert len(re.findall(r"^\d\d:\d\d:\d\d  ", shown, re.MULTILINE)) == len(lines)
    assert "\x1b" not in shown


@pytest.mark.parametrize("at_ns", [0, -(10**30), 10**30, -1])
def test_tail_shows_entries_of_any_time(at_ns: int, ask: Asked) -> None:
    values = [[str(at_ns), line_of(1)]]
    with Other(json.dumps({"data": {"result": [{"stream": {}, "values": values}]}})) as server:
        assert "gpt-4o" in ask("tail", "--no-follow", "--url", server.url)


@pytest.mark.timeout(180)
def test_tail_follows_until_it_is_interrupted(loki: LokiQueries) -> None:
    command = [str(COMMAND), "tail", "--url", loki.url, "-n", "0"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        loki.wait_until(lambda: len(loki.requests) > 0, timeout=60)
        loki.entries.append((time.time_ns(), line_of(1)))
        assert "gpt-4o" in running.stdout.readline()
        running.send_signal(signal.SIGINT)
        assert (*running.communicate(timeout=60), running.returncode) == ("", "", 0)
    finally:
        running.kill()
        running.communicate(timeout=60)


def test_what_tail_asks_is_logql_whatever_is_in_it() -> None:
    asked = [
        query(job="integrations/openai", errors=False, grep=None, where=()),
        query(job='a"}', errors=True, grep='say "hi" \\', where=("environment=prod", "model=gpt-4o", 'customer=a"b')),
        query(job="j", errors=False, grep=None, where=("response_model=gpt-4o-2024-08-06", "service=shop")),
    ]

    assert asked[1].startswith('{job="a\\"}", environment="prod"} |= "say \\"hi\\" \\\\" | request_model="gpt-4o"')
    assert asked[2] == '{job="j", service_name="shop"} | model="gpt-4o-2024-08-06"'
    assert faults_of(asked) == {}


def test_push_makes_brings_up_to_date_and_leaves_alone(
    grafana: FakeGrafana, ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    push = ("dashboards", "push", "--grafana-url", grafana.url)

    first = ask(*push)
    assert [line.split()[0] for line in first.splitlines()] == ["created"] * 5
    assert list(grafana.folders.values()) == ["monitored-openai"]
    assert [line.split()[0] for line in ask(*push).splitlines()] == ["unchanged"] * 5
    assert grafana.saved == 5

    grafana.dashboards["monitored-openai-cost"]["dashboard"]["title"] = "changed by hand"
    assert sorted(line.split()[0] for line in ask(*push).splitlines()) == [*["unchanged"] * 4, "updated"]
    assert grafana.dashboards["monitored-openai-cost"]["dashboard"]["title"] == "OpenAI: cost"

    assert [line.split()[0] for line in ask(*push, "--folder", "Other").splitlines()] == ["updated"] * 5
    assert len(grafana.dashboards) == 5


class Holding(HttpServer):
    """Answers every query with nothing, and not before it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()

    async def respond(self, request: Request) -> Reply:
        """Wait, and answer."""
        await asyncio.to_thread(self.may_answer.wait, 60)
        empty = {"status": "success", "data": {"resultType": "vector", "result": []}}
        return Reply([whole(200, json.dumps(empty).encode())])


class Screen:
    """A terminal, and what has been written to it."""

    def __init__(self) -> None:
        self._master, self.end = pty.openpty()
        self.shown = ""

    def wait_for(self, text: str, seconds: float = 60) -> None:
        """Read until it is there."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert self._read(deadline), f"{text!r} is not in {self.shown!r}"

    def close(self) -> None:
        """Read the rest."""
        os.close(self.end)
        while self._read(time.monotonic() + 60):
            pass
        os.close(self._master)

    def left_behind(self) -> list[str]:
        """The lines that stay, as a terminal shows them that is wide enough."""
        lines, row = [""], 0
        for part in re.findall(r"\x1b\[[?\d;]*[a-zA-Z]|\r|\n|[^\x1b\r\n]+", self.shown):
            if part == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif part.endswith("A") and part.startswith("\x1b"):
                row -= int(part[2:-1] or 1)
            elif part == "\x1b[2K":
                lines[row] = ""
            elif not part.startswith("\x1b") and part != "\r":
                lines[row] += part
        return [line for line in lines if line.strip()]

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
        try:
            found = os.read(self._master, 65536) if ready else b""
        except OSError:  # nobody has the terminal open any more
            found = b""
        self.shown += found.decode()
        return bool(found)


@contextmanager
def on_a_terminal(*arguments: str, screen: Screen, out: int, term: str = "xterm") -> Iterator[subprocess.Popen[str]]:
    """The command with its standard error on a terminal."""
    running = subprocess.Popen(
        [COMMAND, *arguments],
        stdin=subprocess.DEVNULL, stdout=out, stderr=screen.end, env={**os.environ, "TERM": term}, text=True,
    )  # fmt: skip
    try:
        yield running
    finally:
        running.kill()
        running.communicate(timeout=60)


@pytest.mark.timeout(180)
def test_a_report_says_on_a_terminal_that_it_waits_and_nothing_of_that_stays() -> None:
    screen = Screen()
    with Holding() as prometheus:
        asking = ("report", "--url", prometheus.url)
        with on_a_terminal(*asking, screen=screen, out=subprocess.PIPE) as running:
            screen.wait_for("asking Prometheus")
            prometheus.may_answer.set()
            told, _ = running.communicate(timeout=60)
        screen.close()

    assert running.returncode == 0
    assert told.startswith("24h until")
    assert screen.left_behind() == []


@pytest.mark.timeout(180)
def test_top_on_a_terminal_goes_on_until_it_is_interrupted_and_leaves_nothing() -> None:
    screen = Screen()
    with Holding() as prometheus:
        prometheus.may_answer.set()
        asking = ("top", "--every", "0.5", "--url", prometheus.url)
        with on_a_terminal(*asking, screen=screen, out=screen.end) as running:
            screen.wait_for("5m until")
            screen.shown = ""
            screen.wait_for("5m until")
            running.send_signal(signal.SIGINT)
            screen.wait_for("\x1b[?1049l")  # back on the screen that was there before
            assert running.wait(timeout=60) == 0
        screen.close()


@pytest.mark.timeout(180)
def test_a_push_shows_how_far_it_is_and_its_results_go_where_they_belong(
    grafana: FakeGrafana, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    push = ("dashboards", "push", "--grafana-url", grafana.url)
    outside, both = Screen(), Screen()
    with on_a_terminal(*push, screen=outside, out=subprocess.PIPE) as running:
        told, _ = running.communicate(timeout=60)
    outside.close()
    with on_a_terminal(*push, screen=both, out=both.end) as again:
        assert again.wait(timeout=60) == 0
    both.close()

    assert running.returncode == 0
    assert [line.split()[0] for line in told.splitlines()] == ["created"] * 5
    assert ("pushing" in outside.shown, "100%" in outside.shown, outside.left_behind()) == (True, True, [])
    assert ("pushing" in both.shown, "100%" in both.shown) == (True, True)
    assert [line.split()[0] for line in both.left_behind()] == ["unchanged"] * 5


@pytest.mark.timeout(180)
def test_a_terminal_that_can_draw_nothing_anew_gets_no_progress(
    grafana: FakeGrafana, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    screen = Screen()
    push = ("dashboards", "push", "--grafana-url", grafana.url)
    with on_a_terminal(*push, screen=screen, out=subprocess.PIPE, term="dumb") as running:
        running.communicate(timeout=60)
    screen.close()

    assert (running.returncode, screen.shown) == (0, "")


def test_export_writes_what_the_package_has(tmp_path: Path, ask: Asked) -> None:
    told = ask("dashboards", "export", tmp_path / "new" / "folder")

    written = {Path(line).name: Path(line).read_text() for line in told.splitlines()}
    assert written == dashboards.texts()
    assert len(written) == 5


def test_rules_are_written_with_the_budgets_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--monthly-budget", "500", "--monthly-budget", "feature=search:50", "--data-source", "mimir"]
    assert main(["rules", "export", str(tmp_path), *arguments]) == 0

    assert capsys.readouterr().err == ""
    prometheus, grafana = (
        yaml.safe_load((tmp_path / f"monitored-openai.{kind}.yml").read_text()) for kind in ("rules", "grafana")
    )
    budgets = next(group for group in prometheus["groups"] if group["name"] == "monitored-openai-budgets")
    assert len(budgets["rules"]) == 6
    assert {rule["data"][0]["datasourceUid"] for group in grafana["groups"] for rule in group["rules"]} == {"mimir"}


def test_rules_without_a_budget_say_that_cost_is_not_watched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rules", "export", str(tmp_path)]) == 0

    assert capsys.readouterr().err == "no --monthly-budget: no alerts on cost\n"
    assert "OpenAIBudget" not in (tmp_path / "monitored-openai.rules.yml").read_text()


def test_prices_name_kinds_tiers_and_the_table(ask: Asked) -> None:
    shown = ask("prices", "gpt-4o-mini-2024-07-18", "--on", "2025-10-01")

    (standard,) = [line.split() for line in shown.splitlines() if line.startswith("standard")]
    assert standard[:3] == ["standard", "0.15", "0.075"]
    assert standard[-1] == "0.6"
    assert "2025-10-01, USD per million tokens" in shown
    assert "genai-prices" in shown.splitlines()[-1]


def test_prices_are_the_users_own_where_the_settings_have_some(ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"gpt-4o-mini": {"input": 1, "output": 2.5}, "ours": {"input": 0.2, "output": 0.6}, "heard": {"minute": 0.3}}
    monkeypatch.setenv("MONITORED_OPENAI_PRICES", json.dumps(own))

    standard, priority, _, whose, table = ask("prices", "gpt-4o-mini").splitlines()[2:]
    assert standard.split() == ["standard", "1", "1", "1", "2.5"]
    assert priority.split() == ["priority", "0.25", "0.125", "0.25", "1"]
    assert (whose.split(":")[0], table.split()[1]) == ("standard", "genai-prices")
    ours = ask("prices", "ours", "--provider", "house")
    assert ours.splitlines()[2].split() == ["standard", "0.2", "0.2", "0.2", "0.6"]
    assert "genai-prices" not in ours
    assert ask("prices", "heard").splitlines()[2].split() == ["standard", "0.3"]


@pytest.mark.parametrize(
    ("model", "unit", "price"), [("whisper-1", "a minute of audio", "0.006"), ("tts-1", "a million characters", "15")]
)
def test_prices_of_what_is_billed_by_its_length_are_shown(model: str, unit: str, price: str, ask: Asked) -> None:
    heading, standard, *_ = ask("prices", model).splitlines()[1:]

    assert heading.split(maxsplit=1)[1].strip() == unit
    assert standard.split() == ["standard", price]


WRONG = [
    (("report", "--range", "yesterday"), "write a number and a unit"),
    (("report", "--range", "0s"), "write a number and a unit"),
    (("report", "--range", "1h1h"), "write a number and a unit"),
    (("report", "--range", "1m1h"), "write a number and a unit"),
    (("report", "--range", "\uff15m"), "write a number and a unit"),
    (("report", "--range", "101y"), "up to 100y"),
    (("report", "--range", f"{'9' * 5000}d"), "up to 100y"),
    (("report", "--until", "soon"), "is no date"),
    (("report", "--until", "0001-01-01"), "is no date"),
    (("report", "--by", "a) or vector(1"), "is no name of a label"),
    (("report", "--by", "response_model"), "not all figures of a report have it"),
    (("report", "--by", "error_type"), "not all figures of a report have it"),
    (("report", "--where", "kind=input"), "not all figures of a report have it"),
    (("top", "--where", "gen_ai_token_type=input"), "not all figures of a report have it"),
    (("report", "--where", "production"), "write label=value"),
    (("report", "--url", "http://127.0.0.1:9", "--where", "model=\udcc3"), "the terminal's encoding"),
    (("report",), "set MONITORED_OPENAI_METRICS_URL"),
    (("report", "--url", "localhost:9090"), "write one such as http://localhost:9090"),
    (("report", "--url", "http://127.0.0.1:99999"), "write one such as http://localhost:9090"),
    (("report", "--url", "http://127.0.0.1:9"), "cannot be reached"),
    (("report", "--url", "http://127.0.0.1:9", "--token", ""), "the token is empty"),
    (("report", "--format", "xml"), "format"),
    (("tail", "--where", "a b=c"), "write name=value"),
    (("tail",), "set MONITORED_OPENAI_LOGS_URL"),
    (("prices", "gpt-9"), "no price of 'gpt-9' at openai is known"),
    (("prices", "gpt-4o", "--provider", "acme"), "no prices of provider 'acme'"),
    (("prices", "gpt-4o", "--on", "someday"), "is no date"),
    (("rules", "export", "x", "--monthly-budget", "a lot"), "is no budget"),
    (("rules", "export", "x", "--first-chunk-seconds", "2"), "take 0.01"),
    (("rules", "export", "x", "--data-source", ""), "no uid of a data source"),
    (("rules", "export", "x", "--data-source", "\udcff"), "no uid of a data source"),
    (("rules", "export", "/dev/null/x"), "name another folder"),
    (("dashboards", "export", "/dev/null/x"), "name another folder"),
    (("dashboards", "push"), "--grafana-url"),
    (("dashboards", "push", "--grafana-url", "http://127.0.0.1:9"), "set GRAFANA_TOKEN"),
    (("report", "--url", "http://127.0.0.1:9", "--username", "me"), "--username needs a token"),
    (("report", "--url", "http://me:hunter2@127.0.0.1:9"), "use --username and --token-file"),
    (("report", "--url", "http://127.0.0.1:9?a=b"), "write one such as"),
    (("report", "--url", "http://169.254.169.254"), "link-local"),
    (("nonsense",), "nonsense"),
    (("report", "--nonsense"), "nonsense"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=lambda value: " ".join(value)[:40])
def test_a_mistake_is_told_in_one_line_with_exit_code_2(
    arguments: tuple[str, ...], words: str, ask: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert words in ask(*arguments, code=2)


@pytest.mark.parametrize("token", ["a hidden word", "hidden\n", "hidd\u00ebn"])
def test_a_token_that_cannot_be_one_is_not_repeated(token: str, ask: Asked) -> None:
    told = ask("report", "--url", "http://127.0.0.1:9", "--token", token, code=2)

    assert "copy it again" in told
    assert "hid" not in told


class Other(HttpServer):
    """A server of another kind, which answers everything alike."""

    def __init__(self, body: str) -> None:
        super().__init__()
        self._body = body.encode()

    async def respond(self, request: Request) -> Reply:
        """Answer."""
        return Reply([whole(200, self._body)])


VECTOR = '{"data": {"result": [{"metric": {}, "value": [1, "%s"]}]}}'


@pytest.mark.parametrize(
    "body",
    ["{}", "[]", "null", '"x"', "[1]", '[{"title": "monitored-openai"}]', "<p>", VECTOR % "NaN", VECTOR % "+Inf"],
)
@pytest.mark.parametrize("arguments", ["report --url", "tail --no-follow --url", "dashboards push --grafana-url"])
def test_a_server_of_another_kind_is_told_from_the_right_one(
    arguments: str, body: str, ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", "any-token")
    with Other(body) as server:
        assert "is the address right?" in ask(*arguments.split(), server.url, code=2)


@pytest.mark.parametrize(("out", "code"), [("/dev/full", 1), (None, 0)], ids=["full", "closed"])
def test_an_output_that_takes_nothing_is_no_traceback(out: str | None, code: int, tmp_path: Path) -> None:
    where = ">&-" if out is None else f"> {out}"

    ended = subprocess.run(
        ["sh", "-c", f'"$0" dashboards export "$1" {where}', COMMAND, tmp_path],
        stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert ended.returncode == code
    assert ended.stderr == (
        "monitored-openai: what is said cannot be written: No space left on device\n" if code else ""
    )


def test_servers_that_refuse_are_quoted(
    done: Workload, grafana: FakeGrafana, loki: LokiQueries, ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    loki.refusal = "parse error at line 1, col 5:\n\x1b[31msyntax error"

    assert "refuses with 400" in ask("tail", "--url", loki.url, code=2)
    assert "syntax error" in ask("tail", "--url", loki.url, code=2)
    monkeypatch.setenv("GRAFANA_TOKEN", "wrong-token")
    refused = ask("dashboards", "push", "--grafana-url", grafana.url, code=2)
    assert refused == f"{grafana.url} refuses with 401: Invalid API key"
    assert "refuses with 404" in ask("report", "--url", f"{done.prometheus.url}/graph", code=2)

"""`report` and `top` against a real Prometheus with a known workload."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from bisect import bisect_left
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from monitored_openai._cli.query.http_api import HttpApi
from monitored_openai._cli.query.promql import CALLS as CALLS_METRIC
from monitored_openai._cli.query.report import as_table
from monitored_openai._cli.query.report_rows import Report, Row
from monitored_openai._exporter.encoders.remote_write import HEADERS, encode_labels, encode_push, encode_series
from monitored_openai._metrics.metric_set import LEAN_SECONDS
from monitored_openai._metrics.names import SECONDS
from tests.integration.test_end_to_end import audio_of, cost_of, served_usage
from tests.support.command import Asked, LokiQueries
from tests.support.servers.grafana import FakeGrafana
from tests.support.servers.prometheus import Prometheus, require_prometheus
from tests.support.stocked import CALLS, DEMOS, PROCESSES, Workload

pytestmark = pytest.mark.usefixtures("wide")


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
        row["incomplete_calls"] += cost is not None and any(audio_of(line))
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
        assert told["all"]["incomplete_calls"] == sum(row["incomplete_calls"] for row in expected.values()) > 0
    as_table = ask("report", *window(done, done.window_begins), "--where", "job=mixed")
    assert "incomplete" in as_table
    for line in as_table.splitlines()[2:]:
        row = told[line.split()[0]]
        assert line.split()[5].startswith("≥") == bool(row["incomplete_calls"] or row["unpriced_calls"])
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


@pytest.mark.parametrize("environment", DEMOS)
def test_a_report_is_right_in_each_detail_of_the_metrics(environment: str, done: Workload, ask: Asked) -> None:
    """`full` is the environment with every metric; `demo` and `host` have the default ones."""
    told = report(ask, *window(done, done.began - 60), "--where", f"environment={environment}")["all"]

    lines = done.lines(environment=environment)
    assert told["calls"] == len(lines)
    assert told["errors"] == sum("error_type" in line for line in lines)
    bounds = (0.0, *(SECONDS if environment == "full" else LEAN_SECONDS))
    for column, share, field in (
        ("duration_p50", 0.5, "duration_seconds"),
        ("duration_p95", 0.95, "duration_seconds"),
        ("first_chunk_p95", 0.95, "time_to_first_chunk_seconds"),
    ):
        times = sorted(line[field] for line in lines if line.get(field) is not None)
        above = bisect_left(bounds, times[math.ceil(share * len(times)) - 1])
        assert bounds[above - 1] <= told[column] <= bounds[above], column


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


def test_a_range_without_calls_leads_to_the_check_of_the_settings(done: Workload, ask: Asked) -> None:
    options = [*window(done, done.began - 60), "--where", "environment=nowhere"]

    _, _, everything, advice = ask("report", *options).splitlines()

    assert everything.split() == ["all", *"0000", "-", "0", "-", "-", "-"]
    assert advice.startswith("Prometheus has no calls of this range; `monitored-openai doctor`")
    assert "doctor" not in ask("report", *window(done, done.began - 60))
    assert ask("report", "--format", "csv", *options).count("\n") == 2


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
    incomplete_calls=0,
    duration_p50=0.5,
    duration_p95=655.36,
    first_chunk_p95=None,
)


@pytest.mark.parametrize(
    ("usd", "shown"),
    [(0.0, "0.0000"), (0.0054, "0.0054"), (0.00021, "0.00021"), (2.1e-7, "0.00000021"), (9.96e-5, "0.000100")],
)
def test_a_small_cost_is_not_shown_as_zero(usd: float, shown: str) -> None:
    asked = Report.parse(by="model", over="24h", until=None, where=(), scraped=False)
    paper = Console(width=1000, file=io.StringIO())

    paper.print(as_table([replace(ROW, cost_usd=usd, unpriced_calls=0)], asked, room=300))

    assert isinstance(paper.file, io.StringIO)
    assert paper.file.getvalue().split()[-7] == shown


@pytest.mark.parametrize("room", [20, 60, 80, 100, 120, 300])
def test_no_figure_of_a_report_is_cut_however_narrow_the_terminal(room: int) -> None:
    asked = Report.parse(by="model", over="24h", until=None, where=(), scraped=False)
    paper = Console(width=1000, file=io.StringIO())

    paper.print(as_table([ROW, replace(ROW, name="all")], asked, room=room))

    assert isinstance(paper.file, io.StringIO)
    _, *lines = paper.file.getvalue().splitlines()
    figures = "1,234,567 98,765 123,456,789 98,765,432 ≥12,345.6789 1,000 0.50 s 655.36 s -".split()
    first = next(line for line in lines if line.startswith("gpt"))
    assert first.split()[1:] == figures
    assert lines[-1].split() == ["all", *figures]
    assert "".join(line.split()[0] for line in lines[lines.index(first) : -1]) == ROW.name
    assert max(map(len, lines)) <= max(room, 100)


def test_servers_that_refuse_are_quoted(
    done: Workload, grafana: FakeGrafana, queries: LokiQueries, ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries.refusal = "parse error at line 1, col 5:\n\x1b[31msyntax error"

    assert "refuses with 400" in ask("tail", "--url", queries.url, code=2)
    assert "syntax error" in ask("tail", "--url", queries.url, code=2)
    monkeypatch.setenv("GRAFANA_TOKEN", "wrong-token")
    refused = ask("dashboards", "push", "--grafana-url", grafana.url, code=2)
    assert refused == f"{grafana.url} refuses with 401: Invalid API key"
    assert "refuses with 404" in ask("report", "--url", f"{done.prometheus.url}/graph", code=2)

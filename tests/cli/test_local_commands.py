"""`report`, `top`, `tail` and `doctor` against the page of `monitored-openai local`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitored_openai._cli.main import main
from tests.support.local_page import CALL, Page, metrics_of, open_page
from tests.support.records import full_record

pytestmark = pytest.mark.once


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """The page, and an environment that pushes there."""
    for page in open_page(tmp_path / "history.sqlite3"):
        monkeypatch.setenv("MONITORED_OPENAI_METRICS_URL", page.server.url)
        monkeypatch.setenv("MONITORED_OPENAI_LOGS_URL", page.server.url)
        yield page


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str, code: int = 0) -> str:
        assert main(list(arguments)) == code
        shown = capsys.readouterr()
        return shown.err if code == 2 else shown.out

    return run


def test_a_report_has_the_figures_of_the_page(page: Page, told: Any) -> None:
    page.push_process(metrics_of(full_record(), full_record(error_type="timeout")), "a")
    page.push_process(metrics_of(full_record(request_model="other")), "b")

    rows = {row["name"]: row for row in json.loads(told("report", "--format", "json"))["rows"]}

    shown = page.overview()
    groups = {group["name"]: group for group in shown["groups"]}
    assert rows.keys() == {*groups, "all"}
    for name, figures in [*groups.items(), ("all", shown["total"])]:
        row = rows[name]
        assert (row["calls"], row["errors"], row["input_tokens"]) == tuple(
            figures[key] for key in ("calls", "errors", "input_tokens")
        )
        assert row["cost_usd"] == pytest.approx(figures["cost"])
        assert row["duration_p95"] == pytest.approx(figures["duration"]["p95"])
        assert row["first_chunk_p95"] == pytest.approx(figures["first_chunk"]["p95"])


def test_a_report_chooses_ranges_and_labels(page: Page, told: Any) -> None:
    now_ms = time.time_ns() // 1_000_000
    name, labels = (
        "gen_ai_client_operation_duration_seconds_count",
        {"gen_ai_request_model": 'a"\\', "environment": "e"},
    )
    page.push([(name, labels, 3.0)], at_ms=now_ms - 3 * 3_600_000)
    page.push([(name, labels, 5.0)], at_ms=now_ms - 1000)
    page.push([(name, {**labels, "gen_ai_request_model": "b"}, 7.0)], at_ms=now_ms - 1000)

    def calls(*more: str) -> dict[str, int]:
        return {row["name"]: row["calls"] for row in json.loads(told("report", "--format", "json", *more))["rows"]}

    assert calls("--range", "1h") == {'a"\\': 2, "b": 7, "all": 9}
    assert calls("--range", "4h", "--where", 'model=a"\\') == {'a"\\': 5, "all": 5}
    assert calls("--range", "1h30m", "--by", "environment") == {"e": 9, "all": 9}
    assert "does not keep the label job" in told("report", "--where", "job=x", code=2)
    assert "no call of this range has the label 'nosuch'" in told("report", "--by", "nosuch", code=2)
    assert "only the queries of" in told("report", "--scraped", code=2)


def test_top_shows_the_last_minutes(page: Page, told: Any) -> None:
    page.push_process(metrics_of(full_record()), "a")

    assert told("top").splitlines()[-1].split()[:2] == ["all", "1"]


def test_tail_shows_what_is_asked_for(page: Page, told: Any) -> None:
    failed = {"error_type": "rate_limit", "attributes": {"feature": "a b"}, "response_model": "m-1"}
    several: list[dict[str, Any]] = [{}, failed, {"attributes": {"feature": "x"}}]
    for number, more in enumerate(several):
        page.log({**CALL, "id": f"c{number}", "request_model": f"m{number}", **more}, stream={"environment": "e"})

    def models(*more: str) -> list[str]:
        return [line.split()[1] for line in told("tail", "--no-follow", *more).splitlines()]

    assert models() == ["m0", "m-1", "m2"]
    assert models("-n", "1") == ["m2"]
    assert models("--errors") == ["m-1"]
    assert models("--where", "feature=a b", "--where", "response_model=m-1", "--where", "environment=e") == ["m-1"]
    assert models("--where", "model=m2", "--grep", '"feature":"x"') == ["m2"]
    assert models("--where", "environment=f") == []
    assert "answered  Dort." in told("tail", "--no-follow", "--content", "-n", "1")


def test_doctor_is_content_and_leaves_no_call(page: Page, told: Any) -> None:
    assert told("doctor") == "ok     metrics  Prometheus accepts metrics\nok     logs     Loki accepts logs\n"
    assert told("tail", "--no-follow") == ""
    assert page.overview()["total"]["calls"] == 0


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/api/v1/query", {"query": "up", "time": "1"}),
        ("/api/v1/query", {"query": "sum (last_over_time(a[1h]) - x)", "time": "1"}),
        ("/api/v1/query", {"time": "nan"}),
        ("/api/v1/query", {"query": "up"}),
        ("/loki/api/v1/query_range", {"query": "{}|~", "start": "0", "end": "1", "limit": "1"}),
        ("/loki/api/v1/query_range", {"query": "{}", "start": "-1", "end": "1", "limit": "1"}),
        ("/loki/api/v1/query_range", {"query": "{}", "start": "0", "end": "9" * 30, "limit": "1"}),
        ("/loki/api/v1/query", {"query": "{}", "time": "1"}),
        ("/loki/api/v1/query", {}),
    ],
)
def test_other_queries_are_refused_with_a_reason(page: Page, path: str, asked: dict[str, str]) -> None:
    refused = httpx.get(f"{page.server.url}{path}", params=asked)

    assert refused.status_code == 400
    assert refused.text

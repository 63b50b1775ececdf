"""Dashboards and rules for scraped series: totals by `increase`, and names beside those for pushed series."""

from __future__ import annotations

import json
import math
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from monitored_openai._cli import dashboards
from monitored_openai._cli.query import promql
from monitored_openai._cli.rules.files import groups_of
from monitored_openai._cli.rules.links import Links
from monitored_openai._cli.rules.rule import Alert, Budget, Limits
from tests.support.command import TOKEN, Asked
from tests.support.grafana import filled
from tests.support.servers.grafana import FakeGrafana
from tests.support.servers.prometheus import require_prometheus
from tests.support.stocked import Workload

pytestmark = pytest.mark.once

LIMITS = Limits(budgets=tuple(map(Budget.parse, ("500", 'feature=a[b]{c}":50'))))
LABELS = st.dictionaries(st.sampled_from(["a", "b", "le"]), st.text(max_size=8), max_size=3)


def boards(*, scraped: bool) -> dict[str, Any]:
    return {name: json.loads(text) for name, text in dashboards.texts(scraped=scraped).items()}


def texts_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in texts_in(part)]


@given(labels=LABELS, over=st.sampled_from(["$__range", "1h", "30d"]), look_back=st.sampled_from(["1h", "12h"]))
@settings(max_examples=100, deadline=None)
def test_each_total_becomes_an_estimate(labels: dict[str, str], over: str, look_back: str) -> None:
    series = promql.selector("calls_total", promql.equal(labels))
    exact = promql.total(series, over, ["model"], look_back=look_back)

    assert promql.for_scraped_series(f"{exact} / {exact}") == " / ".join(
        [promql.estimated(series, over, ["model"])] * 2
    )
    assert promql.for_scraped_series(promql.rate(series, over)) == promql.rate(series, over)


def test_no_exact_total_is_left_in_dashboards_and_rules() -> None:
    expressions = [text for text in texts_in(boards(scraped=True)) if "offset $__range" in text]
    rules = [rule.expr for group in groups_of(LIMITS, scraped=True) for rule in group.rules]

    assert expressions == []
    assert len([text for text in texts_in(boards(scraped=False)) if "offset $__range" in text]) > 20
    assert not any(re.search(r"last_over_time\(.*\) or last_over_time", rule) for rule in rules)
    assert sum("increase(" in rule for rule in rules) >= 12


def test_the_estimate_follows_a_counter_that_restarts(tmp_path: Path) -> None:
    """An hour at one call a second, a restart, and another hour: the exact form takes the restart for a smaller count."""
    exact = promql.total("calls", "3h")
    estimate = promql.for_scraped_series(exact)
    group = {
        "interval": "1m",
        "input_series": [{"series": "calls", "values": "0+60x60 0+60x60"}],
        "promql_expr_test": [
            {
                "expr": f"abs({expr} - 7200) < bool 144",
                "eval_time": "2h1m",
                "exp_samples": [{"labels": "{}", "value": right}],
            }
            for expr, right in ((estimate, 1), (exact, 0))
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "1m", "tests": [group]}))
    checked = subprocess.run(
        [require_prometheus().with_name("promtool"), "test", "rules", file],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert checked.returncode == 0, checked.stdout


def test_every_expression_has_data_on_a_real_prometheus(done: Workload) -> None:
    seconds = int(done.ended - done.began) + 60
    values = {"environment": ".*", "service": ".*", "model": ".*", "attribute": "feature", "__rate_interval": "5m"}
    values |= {"budget": "1000", "deployment": "feature"}
    values |= {"__range": f"{seconds}s", "__range_s": str(seconds)}
    asked = 0
    for board in boards(scraped=True).values():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                if target["datasource"]["type"] == "prometheus" and "increase(" in target["expr"]:
                    found = done.prometheus.query(filled(target["expr"], values), at=done.ended)
                    assert found, (board["title"], panel["title"])
                    assert not any(math.isnan(value) for _, value in found)
                    asked += 1
    for group in groups_of(LIMITS, scraped=True):
        for rule in group.rules:
            done.prometheus.query(rule.expr, at=done.ended)
    assert asked > 20


def test_both_forms_of_the_dashboards_fit_into_one_grafana(
    grafana: FakeGrafana, ask: Asked, wide: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    push = ("dashboards", "push", "--grafana-url", grafana.url)

    ask(*push)
    told = ask(*push, "--scraped")

    assert [line.split()[0] for line in told.splitlines()] == ["created"] * 5
    assert len(grafana.dashboards) == len({one["dashboard"]["title"] for one in grafana.dashboards.values()}) == 10
    for uid, stored in grafana.dashboards.items():
        board = stored["dashboard"]
        tag = "monitored-openai-scraped" if uid.endswith("-scraped") else "monitored-openai"
        assert len(uid) <= 40
        assert (board["uid"], board["tags"], [link["tags"] for link in board["links"]]) == (uid, [tag], [[tag]])
        named = {name for text in texts_in(board) for name in re.findall(r"/d/([\w-]+)", text)}
        assert named <= {
            other for other in grafana.dashboards if other.endswith("-scraped") == uid.endswith("-scraped")
        }


def test_the_files_for_scraped_series_have_names_of_their_own(tmp_path: Path, ask: Asked) -> None:
    ask("dashboards", "export", tmp_path)
    ask("dashboards", "export", tmp_path, "--scraped")

    assert len(list(tmp_path.glob("*.json"))) == 10
    assert {file.name for file in tmp_path.glob("*-scraped.json")} == dashboards.texts(scraped=True).keys()


@pytest.mark.parametrize("scraped", [False, True])
def test_each_alert_links_to_a_panel_that_exists(scraped: bool) -> None:
    suffix = dashboards.SCRAPED if scraped else ""
    links = Links(runbook="https://docs.test/alerts.md", grafana="https://grafana.test", suffix=suffix)
    uids = {board["uid"] for board in boards(scraped=scraped).values()}
    for group in groups_of(LIMITS, scraped=scraped):
        for alert in group.rules:
            if isinstance(alert, Alert):
                annotations = links.annotations(alert)
                assert annotations["runbook_url"] == f"https://docs.test/alerts.md#{alert.name.lower()}"
                assert re.findall(r"/d/([\w-]+)\?", annotations["dashboard_url"]) == [
                    links.panel(alert)["__dashboardUid__"]
                ]
                assert links.panel(alert)["__dashboardUid__"] in uids
                assert links.panel(alert)["__panelId__"].isdecimal()

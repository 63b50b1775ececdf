"""`rules push`: Grafana's alerting and a ruler get the rules, keep what is theirs, and refuse what they refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitored_openai._cli.rules.files import groups_of
from monitored_openai._cli.rules.formats import alerts
from monitored_openai._cli.rules.rule import Limits
from tests.support.command import TOKEN, Asked
from tests.support.servers.grafana import FakeGrafana
from tests.support.servers.ruler import FakeRuler

pytestmark = pytest.mark.once

BASIC = "Basic dXNlcjpyZWFkLW9ubHk="  # user:read-only
WITHOUT_BUDGET = sum(len(alerts(group)) for group in groups_of(Limits()))


@pytest.fixture(autouse=True)
def tokens(wide: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    monkeypatch.setenv("PROMETHEUS_TOKEN", "read-only")


@pytest.fixture
def ruler(tmp_path: Path) -> Iterator[FakeRuler]:
    with FakeRuler(tmp_path, authorization=BASIC, tenant="shop") as running:
        yield running


def outcomes(told: str) -> Counter[str]:
    return Counter(line.split()[0] for line in told.splitlines())


def test_grafana_gets_each_alert_once_and_what_has_changed(grafana: FakeGrafana, ask: Asked) -> None:
    push = ("rules", "push", "--to", "grafana", "--grafana-url", grafana.url)

    assert outcomes(ask(*push, "--monthly-budget", 500)) == {"created": WITHOUT_BUDGET + 3}
    writes = grafana.rules.writes
    assert outcomes(ask(*push, "--monthly-budget", 500)) == {"unchanged": WITHOUT_BUDGET + 3}
    assert grafana.rules.writes == writes

    told = ask(*push, "--monthly-budget", 600)
    assert outcomes(told) == {"unchanged": WITHOUT_BUDGET, "updated": 3}
    assert all("Budget" in line for line in told.splitlines() if line.startswith("updated"))

    told = ask(*push, "--monthly-budget", "production=600")
    assert outcomes(told) == {"unchanged": WITHOUT_BUDGET, "deleted": 3, "created": 3}
    assert outcomes(ask(*push)) == {"unchanged": WITHOUT_BUDGET, "deleted": 3}
    assert len(grafana.rules.stored) == WITHOUT_BUDGET


def test_groups_in_grafana_have_their_own_interval(grafana: FakeGrafana, ask: Asked) -> None:
    ask("rules", "push", "--to", "grafana", "--grafana-url", grafana.url, "--monthly-budget", 500)

    assert {name: seconds for (_, name), seconds in grafana.rules.intervals.items()} == {
        "monitored-openai-budgets": 300,
        "monitored-openai-service": 60,
        "monitored-openai-telemetry": 60,
    }


def test_other_peoples_rules_in_grafana_stay(grafana: FakeGrafana, ask: Asked) -> None:
    push = ("rules", "push", "--to", "grafana", "--grafana-url", grafana.url, "--folder", "ours")
    ask(*push)
    (folder,) = grafana.folders
    stored = grafana.rules.stored
    rule = stored["openaierrorsfast"]
    for uid in ("my-own", "OpenAIErrorsFast"):
        stored[uid] = {**rule, "uid": uid, "title": uid, "provenance": ""}
    stored["elsewhere"] = {**rule, "uid": "openaigone", "title": "x", "folderUID": "theirs"}
    stored["openaigone"] = {**rule, "uid": "openaigone", "title": "of an earlier version", "folderUID": folder}

    told = ask(*push)

    assert outcomes(told) == {"unchanged": WITHOUT_BUDGET, "deleted": 1}
    assert "of an earlier version" in told
    assert {"my-own", "OpenAIErrorsFast", "elsewhere"} <= stored.keys()


def test_a_rule_changed_by_hand_is_restored(grafana: FakeGrafana, ask: Asked) -> None:
    push = ("rules", "push", "--to", "grafana", "--grafana-url", grafana.url)
    ask(*push)
    rule = grafana.rules.stored["openaierrorsfast"]
    rule["data"][0]["model"]["expr"] = "vector(1)"

    assert outcomes(ask(*push)) == {"unchanged": WITHOUT_BUDGET - 1, "updated": 1}
    assert grafana.rules.stored["openaierrorsfast"]["data"][0]["model"]["expr"] != "vector(1)"


def test_the_data_source_is_checked_if_the_token_may_read_it(grafana: FakeGrafana, ask: Asked) -> None:
    push = ("rules", "push", "--to", "grafana", "--grafana-url", grafana.url, "--data-source", "grafanacloud-prom")

    assert "name one with --data-source" in ask(*push, code=2)
    assert grafana.rules.stored == {}

    grafana.data_sources = None
    assert outcomes(ask(*push)) == {"created": WITHOUT_BUDGET}
    queries = {rule["data"][0]["datasourceUid"] for rule in grafana.rules.stored.values()}
    assert queries == {"grafanacloud-prom"}


def test_grafana_s_refusal_is_told(grafana: FakeGrafana, ask: Asked) -> None:
    push = ("rules", "push", "--to", "grafana", "--grafana-url", grafana.url)
    ask(*push)
    for rule in grafana.rules.stored.values():
        rule["provenance"] = "file"
    grafana.rules.stored["openaierrorsfast"]["title"] = "another"

    assert "cannot change provenance" in ask(*push, code=2)


@pytest.mark.parametrize("what", ["rules", "dashboards"])
def test_a_token_that_may_only_read_is_told(grafana: FakeGrafana, ask: Asked, what: str) -> None:
    grafana.writes_allowed = False
    push = ("rules", "push", "--to", "grafana") if what == "rules" else ("dashboards", "push")

    told = ask(*push, "--grafana-url", grafana.url, code=2)

    assert "Permissions needed: folders:create" in told
    assert (grafana.folders, grafana.saved, grafana.rules.stored) == ({}, 0, {})


def test_alerts_in_grafana_link_to_their_runbook_dashboard_and_panel(grafana: FakeGrafana, ask: Asked) -> None:
    ask(
        *("rules", "push", "--to", "grafana", "--grafana-url", f"{grafana.url}/"),
        *("--runbook-base", "https://wiki.test/alerts"),
    )

    annotations = grafana.rules.stored["openaierrorsfast"]["annotations"]
    assert annotations["runbook_url"] == "https://wiki.test/alerts#openaierrorsfast"
    assert annotations["dashboard_url"].startswith(f"{grafana.url}/d/monitored-openai-reliability?")
    assert annotations["__dashboardUid__"] == "monitored-openai-reliability"


def test_a_ruler_gets_each_group_once_and_what_has_changed(ruler: FakeRuler, ask: Asked, tenant: None) -> None:
    push = ("rules", "push", "--to", "ruler", "--url", f"{ruler.url}/prometheus", "--username", "user")

    assert outcomes(ask(*push, "--monthly-budget", 500)) == {"created": 4}
    assert outcomes(ask(*push, "--monthly-budget", 500)) == {"unchanged": 4}
    assert ruler.writes == 4
    assert outcomes(ask(*push, "--monthly-budget", 600)) == {"unchanged": 3, "updated": 1}
    ruler.namespaces["monitored-openai"]["theirs"] = {"name": "theirs", "rules": []}
    assert outcomes(ask(*push)) == {"unchanged": 3, "deleted": 1}
    assert ruler.namespaces.keys() == {"monitored-openai"}
    assert ruler.namespaces["monitored-openai"].keys() == {
        "theirs", "monitored-openai-hourly", "monitored-openai-service", "monitored-openai-telemetry"
    }  # fmt: skip


def test_a_group_of_another_program_stays_although_its_name_begins_alike(
    ruler: FakeRuler, ask: Asked, tenant: None
) -> None:
    push = ("rules", "push", "--to", "ruler", "--url", f"{ruler.url}/prometheus", "--username", "user")
    rule = {"alert": "Theirs", "expr": "up == 0"}
    ours = {"alert": "OpenAIOfAnEarlierVersion", "expr": "up == 0"}
    groups = {"monitored-openai-own": [rule], "monitored-openai-mixed": [ours, rule], "monitored-openai-old": [ours]}
    ruler.namespaces["monitored-openai"] = {name: {"name": name, "rules": rules} for name, rules in groups.items()}

    assert outcomes(ask(*push)) == {"created": 3, "deleted": 1}
    assert {"monitored-openai-own", "monitored-openai-mixed"} <= ruler.namespaces["monitored-openai"].keys()
    assert "monitored-openai-old" not in ruler.namespaces["monitored-openai"]


def test_a_budget_of_a_long_value_has_a_title_that_grafana_accepts(grafana: FakeGrafana, ask: Asked) -> None:
    push = ("rules", "push", "--to", "grafana", "--grafana-url", grafana.url)
    budgets = [text for end in "ab" for text in ("--monthly-budget", f"feature={'é' * 300}{end}:500")]

    assert outcomes(ask(*push, *budgets)) == {"created": WITHOUT_BUDGET + 6}
    titles = [rule["title"] for rule in grafana.rules.stored.values()]
    assert max(len(title.encode()) for title in titles) <= 190
    assert len({title for title in titles if "é" in title}) == 6


def test_more_budgets_than_a_group_may_have_go_into_several_groups(
    ruler: FakeRuler, ask: Asked, tenant: None, tmp_path: Path
) -> None:
    push = ("rules", "push", "--to", "ruler", "--url", f"{ruler.url}/prometheus", "--username", "user")
    budgets = [text for number in range(14) for text in ("--monthly-budget", f"feature=f{number}:500")]

    assert outcomes(ask(*push, *budgets)) == {"created": 6}
    stored = ruler.namespaces["monitored-openai"]
    named = {f"monitored-openai-budgets{part}": rules for part, rules in (("", 18), ("-2", 18), ("-3", 6))}
    assert {name: len(group["rules"]) for name, group in stored.items() if "budgets" in name} == named
    assert outcomes(ask(*push, *budgets)) == {"unchanged": 6}
    assert outcomes(ask(*push, *budgets[:14])) == {"unchanged": 4, "updated": 1, "deleted": 1}
    ask("rules", "export", tmp_path, *budgets)
    assert all(name in (tmp_path / "monitored-openai.rules.yml").read_text() for name in named)


def test_a_full_ruler_refuses_in_its_own_words(ruler: FakeRuler, ask: Asked, tenant: None) -> None:
    ruler.groups = 0

    told = ask("rules", "push", "--to", "ruler", "--url", f"{ruler.url}/prometheus", "--username", "user", code=2)

    assert "limit: 0 actual: 1" in told


def test_only_the_recordings_go_to_a_ruler_beside_grafana_s_alerts(ruler: FakeRuler, ask: Asked, tenant: None) -> None:
    ask(
        *("rules", "push", "--to", "ruler", "--url", f"{ruler.url}/prometheus", "--username", "user"),
        *("--recordings-only", "--folder", "team a/b"),
    )

    assert {name: list(groups) for name, groups in ruler.namespaces.items()} == {
        "team a/b": ["monitored-openai-hourly"]
    }


def test_the_address_of_the_ruler_follows_from_that_of_the_pushes(
    ruler: FakeRuler, ask: Asked, tenant: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_METRICS_URL", f"{ruler.url}/api/v1/push")
    monkeypatch.setenv("MONITORED_OPENAI_METRICS_USERNAME", "user")
    monkeypatch.setenv("MONITORED_OPENAI_METRICS_TOKEN", "write-metrics")

    assert outcomes(ask("rules", "push", "--to", "ruler")) == {"created": 3}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "ruler", "--username", "someone"), "authentication error"),
        (("--to", "grafana", "--recordings-only"), "write --to ruler"),
        (("--to", "grafana", "--data-source", ""), "not the uid of a data source"),
        (("--to", "ruler", "--username", "user", "--runbook-base", "wiki"), "wiki"),
        (("--to", "prometheus"), "invalid choice"),
        (("--monthly-budget", "500"), "--to"),
    ],
)
def test_a_mistake_is_one_line(ruler: FakeRuler, ask: Asked, arguments: tuple[str, ...], words: str) -> None:
    assert words in ask("rules", "push", "--url", f"{ruler.url}/prometheus", *arguments, code=2)


@pytest.fixture
def tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITORED_OPENAI_TENANT_ID", "shop")


def test_a_refused_group_leaves_the_alerts_of_earlier_groups(ruler: FakeRuler, ask: Asked, tenant: None) -> None:
    push = ("rules", "push", "--to", "ruler", "--url", f"{ruler.url}/prometheus", "--username", "user")
    ask(*push, "--monthly-budget", 500)
    before = set(ruler.namespaces["monitored-openai"])
    ruler.rules_per_group = 0

    ask(*push, "--scraped", code=2)

    assert set(ruler.namespaces["monitored-openai"]) == before

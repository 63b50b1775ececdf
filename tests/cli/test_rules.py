"""The rules in Prometheus's own test tool: each alert fires when it should, and only then."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitored_openai._cli.query import promql
from monitored_openai._cli.rules.files import groups_of, texts
from monitored_openai._cli.rules.links import Links
from monitored_openai._cli.rules.rule import Alert, Budget, Limits
from monitored_openai._metrics.metric_set import METRICS
from tests.support.servers.prometheus import require_prometheus
from tests.support.stocked import DEMOS, ENVIRONMENTS, Workload

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
LIMITS = Limits(budgets=tuple(map(Budget.parse, ("500", "production=300", "feature=search:50"))))
ODD = Limits(
    budgets=tuple(
        map(
            Budget.parse,
            ("prod=1", "production=2", "production-eu=3", "Ä=4", "Ö=5", "feature={{ $x }} {{{:6", "a_b=7", "a-b=8"),
        )
    )
)
LINKS = Links(runbook="https://docs.test/alerts.md", grafana="https://grafana.test")
PROMETHEUS, GRAFANA = "monitored-openai.rules.yml", "monitored-openai.grafana.yml"
NAMES = {rule.name for group in groups_of(LIMITS) for rule in group.rules if isinstance(rule, Alert)}
CALLS, COST = "gen_ai_client_operation_duration_seconds_count", "gen_ai_client_cost_usd_total"
UNPRICED, PRICES = "gen_ai_client_unpriced_total", "monitored_openai_prices_timestamp_seconds"
STREAMS = "gen_ai_client_operation_time_to_first_chunk_seconds"
WHO = 'environment="e", service_name="s", instance="i:1"'


def texts_of(limits: Limits, *, scraped: bool = False) -> Mapping[str, str]:
    return texts(groups_of(limits, scraped=scraped), LINKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Series as promtool writes them, the time that is looked at, and the alerts that fire then."""

    series: dict[str, str]
    fires: set[str] = field(default_factory=set)
    at: str = "2h"
    interval: str = "1m"
    """Between two values of a series."""
    evaluated: str = "4m"
    """Between two evaluations of the rules: what takes the time."""


def counted(metric: str, per_minute: float, minutes: int = 720, start: float = 0, **labels: str) -> dict[str, str]:
    """A counter of one process that grows evenly."""
    more = "".join(f', {name}="{value}"' for name, value in labels.items())
    return {f"{metric}{{{WHO}{more}}}": f"{start:g}+{per_minute:g}x{minutes}"}


def still(metric: str, value: float, minutes: int = 720, **labels: str) -> dict[str, str]:
    return counted(metric, 0, minutes, start=value, **labels)


def calls(ok: float, failed: float, error: str = "server_error") -> dict[str, str]:
    return counted(CALLS, ok) | counted(CALLS, failed, error_type=error)


def streams(in_time: float, late: float) -> dict[str, str]:
    return counted(f"{STREAMS}_bucket", in_time, le="2.56") | counted(f"{STREAMS}_count", in_time + late)


def answers(tokens: str) -> dict[str, str]:
    labels = f'{WHO}, gen_ai_request_model="m"'
    return {
        f'gen_ai_client_tokens_total{{{labels}, gen_ai_response_model="m-1", gen_ai_token_type="output"}}': tokens,
        f"{CALLS}{{{labels}}}": "0+50x300",
        f'{CALLS}{{{labels}, error_type="bad_request"}}': "0+50x300",
    }


def limits(left: float, reset: float = 1e9) -> dict[str, str]:
    """A limit of a thousand tokens."""
    labels = f'{WHO}, gen_ai_request_model="m", resource="tokens"'
    values = {"limit": 1000.0, "remaining": left, "reset_timestamp_seconds": reset}
    return {f"openai_ratelimit_{name}{{{labels}}}": f"{value:.0f}x720" for name, value in values.items()}


def one_shots(usd: float) -> dict[str, str]:
    """Twelve processes one after the other, each with a zero, one value, and its end."""
    return {
        f'{COST}{{environment="e", instance="i:{number}"}}': "_ " * (5 * number) + f"0 {usd:g} {usd:g} stale"
        for number in range(12, 24)
    }


PRODUCED = "monitored_openai_produced_total"
SUCCESS = "monitored_openai_last_success_timestamp_seconds"
BURNS = {"OpenAIBudgetBurnsFast", "OpenAIBudgetBurnsSlowly"}

CASES = {
    "an hour at 14 times the budget's pace": Case(series=counted(COST, 0.2), fires={"OpenAIBudgetBurnsFast"}),
    "an hour just below": Case(series=counted(COST, 0.16)),
    "processes of seconds that spend too much together": Case(series=one_shots(1), fires={"OpenAIBudgetBurnsFast"}),
    "processes of seconds that spend little": Case(series=one_shots(0.5)),
    "a process that was there with a large sum already": Case(series=still(COST, 400), at="26h", interval="4m", evaluated="20m"),
    "two hours without telemetry, late in the life of a process with a large sum": Case(
        series={f"{COST}{{{WHO}}}": "400x380 _x33 400x60"}, at="28h", interval="4m", evaluated="20m"
    ),
    "a day at 3 times the pace": Case(
        series=counted(COST, 0.16, 400), fires={"OpenAIBudgetBurnsSlowly"}, at="24h", interval="4m", evaluated="20m"
    ),
    "an environment with a budget of its own": Case(
        series={f'{COST}{{environment="production", instance="i"}}': "0+0.11x720"}, fires={"OpenAIBudgetBurnsFast"}
    ),
    "the same in another one": Case(series={f'{COST}{{environment="e", instance="i"}}': "0+0.11x720"}),
    "a feature with a budget": Case(
        series={f'{COST}{{environment="e", feature="search", instance="i"}}': "0+0.02x720"},
        fires={"OpenAIBudgetBurnsFast"},
    ),
    "another feature": Case(series={f'{COST}{{environment="e", feature="chat", instance="i"}}': "0+0.02x720"}),
    "a month's budget spent": Case(
        series={f'{COST}{{environment="e", instance="i"}}': "0+6x120"},
        fires={"OpenAIBudgetSpent", "OpenAIBudgetBurnsSlowly"},
        at="100h",
        interval="1h",
        evaluated="1h",
    ),
    "a month within the budget": Case(
        series={f'{COST}{{environment="e", instance="i"}}': "0+1.9x120"}, at="100h", interval="1h", evaluated="1h"
    ),
    "a fifth of the calls fail": Case(series=calls(8, 2), fires={"OpenAIErrorsFast", "OpenAIErrorsSlowly"}),
    "a tenth of the calls fails": Case(series=calls(9, 1), fires={"OpenAIErrorsSlowly"}),
    "one of a hundred fails": Case(series=calls(99, 1)),
    "callers leave or ask for nonsense": Case(
        series=calls(5, 5, "cancelled") | calls(5, 5, "abandoned") | calls(5, 5, "bad_request")
    ),
    "failures that are over": Case(
        series={f"{CALLS}{{{WHO}}}": "0+10x720", f'{CALLS}{{{WHO}, error_type="timeout"}}': "0+9x80 720x640"}
    ),
    "two calls an hour, one of them fails": Case(series=calls(0.02, 0.02)),
    "the account is empty": Case(
        series=calls(1, 1, "insufficient_quota"),
        fires={"OpenAICallsRefused", "OpenAIErrorsFast", "OpenAIErrorsSlowly"},
    ),
    "a key is invalid": Case(series=calls(99, 1, "invalid_api_key"), fires={"OpenAICallsRefused"}),
    "a model is gone": Case(series=calls(99, 1, "model_not_found"), fires={"OpenAICallsRefused"}),
    "someone tries a wrong model now and then": Case(series=calls(10, 0.05, "model_not_found")),
    "answers begin late": Case(series=streams(2, 8), fires={"OpenAIFirstChunkFast", "OpenAIFirstChunkSlowly"}),
    "many answers begin late": Case(series=streams(6, 4), fires={"OpenAIFirstChunkSlowly"}),
    "answers begin in time": Case(series=streams(96, 4)),
    "a limit is near": Case(series=limits(left=50), fires={"OpenAIRateLimitNear"}),
    "a limit is near at each push of a minute, and looked at between them": Case(
        series=limits(left=50)
        | {f'openai_ratelimit_reset_timestamp_seconds{{{WHO}, gen_ai_request_model="m", resource="tokens"}}': "20+60x720"},
        fires={"OpenAIRateLimitNear"},
        evaluated="90s",
    ),
    "a limit is far": Case(series=limits(left=500)),
    "a limit was near and has been reset": Case(series=limits(left=50, reset=60)),
    "answers become ten times as long": Case(
        series=answers("0+5000x282 1460000+50000x18"), fires={"OpenAIOutputRunsAway"}, at="23h55m", interval="5m", evaluated="5m"
    ),
    "answers become twice as long": Case(series=answers("0+5000x282 1420000+10000x18"), at="23h55m", interval="5m", evaluated="35m"),
    "a tenth of the calls has no price": Case(
        series=counted(CALLS, 10) | counted("gen_ai_client_unpriced_total", 1, reason="unknown_model"),
        fires={"OpenAICallsUnpriced", "OpenAIModelUnpriced"},
    ),
    "one of a thousand calls is of a new model without a price": Case(
        series=counted(CALLS, 10) | counted("gen_ai_client_unpriced_total", 0.01, reason="unknown_model"),
        fires={"OpenAIModelUnpriced"},
    ),
    "a model has had no price for days, in other processes as well": Case(
        series={
            f'{UNPRICED}{{environment="e", service_name="s", instance="i:1", reason="unknown_model"}}': "0+0.01x400 _x800",
            f'{UNPRICED}{{environment="e", service_name="s", instance="i:2", reason="unknown_model"}}': "_x500 0+0.01x300",
        }
        | counted(CALLS, 10),
        at="46h",
        interval="4m",
        evaluated="20m",
    ),
    "a few calls of a known model have no price for their tier": Case(
        series=counted(CALLS, 100) | counted(UNPRICED, 1, reason="no_rate_for_tier")
    ),
    "a tenth of the calls has an incomplete cost": Case(
        series=counted(CALLS, 10) | counted("gen_ai_client_cost_incomplete_total", 1, reason="tool_fee"),
        fires={"OpenAICostIncomplete"},
    ),
    "one of a hundred calls has an incomplete cost": Case(
        series=counted(CALLS, 100) | counted("gen_ai_client_cost_incomplete_total", 1, reason="tool_fee")
    ),
    "the prices of one provider are a year old": Case(
        series=still(PRICES, -365 * 86400, gen_ai_provider_name="openai")
        | still(PRICES, -86400, gen_ai_provider_name="groq"),
        fires={"OpenAIPricesOld"},
    ),
    "prices of three months ago": Case(series=still(PRICES, -90 * 86400, gen_ai_provider_name="openai")),
    "calls have no price as they failed": Case(
        series=counted(CALLS, 10)
        | counted("gen_ai_client_unpriced_total", 1, reason="usage_unknown")
        | counted("gen_ai_client_usage_unknown_total", 1, reason="timeout")
    ),
    "calls have no price yet as they are made in the background": Case(
        series=counted(CALLS, 10)
        | counted("gen_ai_client_unpriced_total", 5, reason="background")
        | counted("gen_ai_client_usage_unknown_total", 5, reason="background")
    ),
    "a tenth of the calls reports no usage": Case(
        series=counted(CALLS, 10) | counted("gen_ai_client_usage_unknown_total", 1, reason="not_reported"),
        fires={"OpenAIUsageUnknown"},
    ),
    "calls of endpoints that never tell their usage": Case(
        series=counted(CALLS, 10)
        | counted("gen_ai_client_unpriced_total", 10, reason="usage_unknown")
        | counted("gen_ai_client_usage_unknown_total", 8, reason="never_told")
        | counted("gen_ai_client_usage_unknown_total", 2, reason="not_reported", gen_ai_request_model="dall-e-3")
    ),
    "something is dropped": Case(
        series=counted("monitored_openai_dropped_total", 0.1, signal="logs", reason="queue_full"),
        fires={"OpenAITelemetryDropped"},
    ),
    "something was dropped long ago": Case(
        series=still("monitored_openai_dropped_total", 7, signal="logs", reason="queue_full")
    ),
    "something was dropped long ago, before two hours without telemetry": Case(
        series={f'monitored_openai_dropped_total{{{WHO}, signal="logs", reason="queue_full"}}': "7x200 _x130 7x60"},
        at="5h40m",
    ),
    "the log is sampled": Case(series=counted("monitored_openai_dropped_total", 9, signal="logs", reason="sampled")),
    "entries wait and none is taken": Case(
        series=still("monitored_openai_queued", 12, signal="logs") | still(SUCCESS, 60, signal="logs"),
        fires={"OpenAITelemetryFailing"},
    ),
    "entries wait and none was ever taken": Case(
        series=still("monitored_openai_queued", 12, signal="logs"), fires={"OpenAITelemetryFailing"}
    ),
    "entries wait and some are taken": Case(
        series=still("monitored_openai_queued", 12, signal="logs")
        | {f'{SUCCESS}{{{WHO}, signal="logs"}}': "0+60x720"}
    ),
    "nothing waits": Case(
        series=still("monitored_openai_queued", 0, signal="logs") | still(SUCCESS, 60, signal="logs")
    ),
    "a service falls silent": Case(
        series=counted(PRODUCED, 1, 168, signal="metrics"),
        fires={"OpenAITelemetrySilent"},
        at="3h20m",
    ),
    "a service has been silent for an hour and a half": Case(
        series=counted(PRODUCED, 1, 168, signal="metrics"),
        fires={"OpenAITelemetrySilent"},
        at="4h18m",
    ),
    "a service has been silent for two hours": Case(
        series=counted(PRODUCED, 1, 168, signal="metrics"), at="4h48m"
    ),
    "a job runs for half of every hour": Case(
        series={f'{PRODUCED}{{{WHO}, signal="metrics"}}': "1x29 _x30 " * 4 + "1x29"}, at="4h52m"
    ),
    "a service lives on in a new process": Case(
        series=counted(PRODUCED, 1, 168, signal="metrics")
        | {'monitored_openai_produced_total{environment="e", service_name="s", instance="i:2", signal="metrics"}': "_x168 0+1x99"},
        at="3h20m",
    ),
    "a script ran for ten minutes": Case(
        series=counted(PRODUCED, 1, 10, signal="metrics"), at="30m"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the rules are."""
    made = tmp_path_factory.mktemp("rules")
    for name, text in texts_of(LIMITS).items():
        (made / name).write_text(text)
    return made


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = require_prometheus().with_name("promtool")
    return subprocess.run(
        [program, *arguments],
        env=os.environ | {"GOGC": "400"},  # a quarter of its time is garbage collection otherwise
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize("limits", [Limits(), LIMITS, ODD], ids=["defaults", "budgets", "odd"])
def test_promtool_finds_nothing_wrong(limits: Limits, tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(texts_of(limits)[PROMETHEUS])

    checked = promtool("check", "rules", "--lint-fatal", file)

    assert checked.returncode == 0, checked.stdout


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, str]:
    """What promtool says of each case; all of them in one run, as its start takes longer than most cases."""
    files = {name: folder / f"case{number}.yml" for number, name in enumerate(CASES)}
    for name, file in files.items():
        file.write_text(yaml.safe_dump(unit_test(CASES[name], folder / PROMETHEUS)))
    told = promtool("test", "rules", *files.values())
    said = re.split(r"^Unit Testing:  ", told.stdout, flags=re.MULTILINE)
    by_file = {one.splitlines()[0]: one for one in said if one}
    return {name: by_file[str(file)] for name, file in files.items()}


def unit_test(case: Case, rules: Path) -> dict[str, Any]:
    firing = "sort(count by (alertname) (ALERTS{alertstate='firing'}))"
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(case.fires)]
    group = {
        "interval": case.interval,
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "promql_expr_test": [{"expr": firing, "eval_time": case.at, "exp_samples": expected}],
    }
    return {"rule_files": [str(rules)], "evaluation_interval": case.evaluated, "tests": [group]}


@pytest.mark.timeout(300)  # the first one waits for all cases
@pytest.mark.parametrize("name", CASES)
def test_exactly_the_alerts_that_should_fire_do(name: str, outcomes: dict[str, str]) -> None:
    assert outcomes[name].splitlines()[1:2] == ["  SUCCESS"], outcomes[name]


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    assert set[str]().union(*(case.fires for case in CASES.values())) == NAMES


def test_every_alert_has_a_section_in_the_runbook_and_no_other_has() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()

    assert re.findall(r"^### (\S+)$", page, re.MULTILINE) == sorted(NAMES, key=list(dict.fromkeys(
        rule.name for group in groups_of(LIMITS) for rule in group.rules if isinstance(rule, Alert)
    )).index)  # fmt: skip


def grafana_rules(limits: Limits = LIMITS) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(texts_of(limits)[GRAFANA])["groups"] for rule in group["rules"]]


def test_grafana_gets_the_same_alerts_each_with_an_identity_of_its_own() -> None:
    prometheus = [
        (rule["alert"], rule["expr"])
        for group in yaml.safe_load(texts_of(LIMITS)[PROMETHEUS])["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    rules = grafana_rules()

    assert [rule["data"][0]["model"]["expr"] for rule in rules] == [expr for _, expr in prometheus]
    assert [rule["title"].partition(" ")[0] for rule in rules] == [name for name, _ in prometheus]
    assert len({rule["uid"] for rule in rules}) == len({rule["title"] for rule in rules}) == len(rules)
    assert all(re.fullmatch(r"[a-z0-9-]{1,40}", rule["uid"]) for rule in rules)


def test_budgets_whose_names_begin_alike_or_are_alike_but_for_signs_have_different_identities() -> None:
    rules = grafana_rules(ODD)

    assert len({rule["uid"] for rule in rules}) == len(rules)
    assert all(re.fullmatch(r"[a-z0-9-]{1,40}", rule["uid"]) for rule in rules)
    assert [rule["uid"] for rule in rules] == [rule["uid"] for rule in grafana_rules(ODD)]


def test_a_grafana_rule_fires_on_whatever_its_query_yields() -> None:
    for rule in grafana_rules():
        query, condition = rule["data"]
        assert rule["condition"] == condition["refId"] == "B"
        assert condition["model"]["expression"] == query["refId"]
        assert condition["model"]["conditions"] == [{"evaluator": {"type": "gt", "params": [-1]}}]
        assert (rule["noDataState"], query["datasourceUid"]) == ("OK", "prometheus")
        assert "$value " not in json_free(rule["annotations"])


def json_free(annotations: dict[str, str]) -> str:
    return " ".join(annotations.values())


def test_a_real_prometheus_takes_every_expression(done: Workload) -> None:
    for group in groups_of(LIMITS):
        for rule in group.rules:
            done.prometheus.query(rule.expr, at=done.ended)


EMPTY_IN_THE_DEMO = {
    'monitored_openai_dropped_total{reason!="sampled"}',
    'gen_ai_client_usage_unknown_total{reason=~"not_reported|invalid_body|not_read|unreadable",gen_ai_request_model!~"dall-e-.*"}',
}
"""Selectors of rules that have no series as long as all is well."""


def selectors() -> set[str]:
    """The selectors in the rules, without those of recorded series."""
    names = "|".join(name for metric in METRICS.values() for name in metric.series_names)
    pattern = re.compile(rf"(?:{names})(?![\w:])(?:\{{[^}}]*\}})?")
    return {
        found
        for group in groups_of(Limits(budgets=(Budget(usd=1),)))
        for rule in group.rules
        for found in pattern.findall(rule.expr)
    }


@pytest.mark.parametrize("detail", ENVIRONMENTS)
def test_a_rule_reads_series_that_each_detail_of_the_metrics_has(detail: str, done: Workload) -> None:
    read = selectors() - EMPTY_IN_THE_DEMO
    empty = set()
    for selector in read:
        name, _, matchers = selector.removesuffix("}").partition("{")
        own = f'{name}{{environment=~"{ENVIRONMENTS[detail]}",{matchers}}}'
        if not done.prometheus.query(f"last_over_time({own}[1h])", at=done.ended):
            empty.add(selector)
    assert len(read) >= 12
    assert empty == set()


@pytest.mark.parametrize("environment", DEMOS)
def test_the_mean_length_of_answers_is_that_of_the_log(environment: str, done: Workload) -> None:
    """The first operand of the alert on growing answers, as totals: all output tokens by the calls without an error."""
    (alert,) = [
        rule.expr
        for group in groups_of(Limits())
        for rule in group.rules
        if isinstance(rule, Alert) and rule.name == "OpenAIOutputRunsAway"
    ]
    tokens, calls = re.findall(r"rate\((\w+\{[^}]*\})", alert)[:2]
    lines = done.lines(environment=environment)
    truth = {
        tokens: sum(line.get("usage", {}).get("output_tokens") or 0 for line in lines),
        calls: sum(line.get("error_type") is None for line in lines),
    }
    for selector, expected in truth.items():
        series = selector.replace("{", f'{{environment="{environment}",')
        assert done.prometheus.value(promql.total(series, "1h"), at=done.ended) == expected


def test_the_hourly_sums_are_exact_over_processes_that_end(done: Workload) -> None:
    (recorded,) = [
        rule.expr
        for group in groups_of(LIMITS)
        for rule in group.rules
        if not isinstance(rule, Alert) and rule.record == "gen_ai_client:calls:sum1h"
    ]

    assert done.prometheus.value(f"sum({recorded})", at=done.ended) == len(done.lines())


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("500", Budget(usd=500)),
        ("99.5", Budget(usd=99.5)),
        ("production=300", Budget(usd=300, value="production")),
        ("feature=search:50", Budget(usd=50, label="feature", value="search")),
        ("team=a:b:1", Budget(usd=1, label="team", value="a:b")),
        ("team=a=b:1", Budget(usd=1, label="team", value="a=b")),
        ("model=gpt-4o:9", Budget(usd=9, label="gen_ai_request_model", value="gpt-4o")),
        ("service=shop:9", Budget(usd=9, label="service_name", value="shop")),
    ],
)
def test_a_budget_is_read(text: str, budget: Budget) -> None:
    assert Budget.parse(text) == budget


@pytest.mark.parametrize(
    "text",
    [
        "",
        "much",
        "-1",
        "0",
        "inf",
        "nan",
        "production=",
        "=5",
        "feature:5",
        "a-b=c:5",
        "größe=x:5",
        "feature=search=50",
        "\udcff=5",
        "a\nb=5",
    ],
)
def test_what_is_no_budget_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(ValueError, match="write 500, production=500 or feature=search:50"):
        Budget.parse(text)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"first_chunk_seconds": 2.0}, "one of 0.08, 0.16"),
        ({"error_objective": 99.0}, "not between 0 and 1"),
        ({"runaway_factor": 1.0}, "not above 1"),
        ({"budgets": (Budget(usd=5), Budget(usd=6))}, "two budgets for each environment"),
    ],
)
def test_limits_of_which_no_rule_can_be_made_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Limits(**wrong)


def test_a_value_of_a_budget_cannot_break_out_of_its_matcher() -> None:
    hostile = Limits(budgets=(Budget(usd=1, label="team", value='a"} or vector(1) #\\'),))

    exprs = [rule.expr for group in groups_of(hostile) for rule in group.rules if isinstance(rule, Alert)]

    assert 'team="a\\"} or vector(1) #\\\\"' in exprs[0]

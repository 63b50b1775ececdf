"""Every panel of the shipped dashboards, with a real Prometheus and Loki's own grammar."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitored_openai._cli.demo.counts import total
from monitored_openai._cli.query.promql import CALLS as CALLS_METRIC
from monitored_openai._metrics.metric_set import LEAN_SECONDS, METRICS, REQUIRED
from monitored_openai._metrics.names import SECONDS
from tests.support.grafana import VARIABLE, filled, rendered
from tests.support.logql import faults_of
from tests.support.stocked import DEMOS, ENVIRONMENTS, Workload

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
BOARDS: dict[str, dict[str, Any]] = {
    file.name: json.loads(file.read_text(encoding="utf-8"))
    for file in sorted(files("monitored_openai").joinpath("dashboards").iterdir(), key=lambda file: file.name)
}


ONE_LINE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=12)
"""What can be typed into a text field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query of a panel."""

    board: str
    panel: str
    letter: str
    source: str
    expr: str

    def __str__(self) -> str:
        return f"{self.board}: {self.panel} {self.letter}"

    def filled(self, **values: str) -> str:
        """With a value for each variable."""
        return filled(self.expr, values)


def panels_of(board: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels without the rows, which are open."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    for name, board in BOARDS.items():
        for panel in panels_of(board):
            for target in panel["targets"]:
                source = target["datasource"]["type"]
                yield Query(
                    board=name.removesuffix(".json"),
                    panel=panel["title"],
                    letter=target["refId"],
                    source=source,
                    expr=target["expr"],
                )


PROMQL = [query for query in queries() if query.source == "prometheus"]
LOGQL = [query for query in queries() if query.source == "loki"]


def chosen(done: Workload, environment: str = ".*") -> dict[str, str]:
    """The variables' values after the workload, over a range that holds all of it."""
    seconds = int(done.ended - done.began) + 60
    return {
        "environment": environment,
        "service": ".*",
        "model": ".*",
        "attribute": "feature",
        "budget": "1000",
        "deployment": "feature",
        "__range": f"{seconds}s",
        "__range_s": str(seconds),
        "__rate_interval": "5m",
    }


def test_the_shipped_files_are_what_the_code_makes() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "tools.dashboards", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_there_are_five_boards_each_linked_with_the_others() -> None:
    assert [board["title"] for board in BOARDS.values()] == [
        f"OpenAI: {name}" for name in ("calls", "cost", "exporter health", "overview", "reliability")
    ]
    for name, board in BOARDS.items():
        assert board["uid"] == name.removesuffix(".json")
        assert [link["tags"] for link in board["links"]] == [["monitored-openai"]]
        assert board["tags"] == ["monitored-openai"]


@pytest.mark.parametrize("name", BOARDS)
def test_a_panel_says_what_it_shows_in_which_unit_and_every_variable_is_declared(name: str) -> None:
    board = BOARDS[name]
    declared = {variable["name"] for variable in board["templating"]["list"]}
    for panel in panels_of(board):
        assert panel["description"], panel["title"]
        has_unit = panel["type"] in ("table", "logs") or panel["fieldConfig"]["defaults"].get("unit")
        assert has_unit, panel["title"]
        used = {
            a or b for a, b, _ in VARIABLE.findall(json.dumps([panel["targets"], panel["title"], panel["datasource"]]))
        }
        assert {name for name in used if not name.startswith("__")} <= declared
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert len({panel["title"] for panel in board["panels"]}) == len(board["panels"])


@pytest.mark.parametrize("name", BOARDS)
def test_no_panel_overlaps_another_or_leaves_the_grid(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARDS[name]["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("detail", ENVIRONMENTS)
@pytest.mark.parametrize("query", PROMQL, ids=str)
def test_a_panel_has_data_after_the_workload(query: Query, detail: str, done: Workload) -> None:
    found = done.prometheus.query(query.filled(**chosen(done, ENVIRONMENTS[detail])), at=done.ended)

    assert found
    assert not any(math.isnan(value) for _, value in found), found


def test_a_metric_whose_absence_a_panel_shows_as_zero_cannot_be_left_out() -> None:
    shown_as_zero = {
        metric.name
        for query in PROMQL
        if ") or (" in query.expr
        for metric in METRICS.values()
        for series in metric.series_names
        if re.search(rf"\b{series}\b", query.expr.partition(") or (")[0])
    }

    assert len(shown_as_zero) >= 6
    assert shown_as_zero <= {metric.name for metric in REQUIRED}


def value_of(done: Workload, panel: str, board: str = "overview", environment: str = ".*") -> float:
    """The one number that a panel shows."""
    (query,) = [query for query in PROMQL if (query.board, query.panel) == (f"monitored-openai-{board}", panel)]
    value = done.prometheus.value(query.filled(**chosen(done, environment)), at=done.ended)
    assert value is not None
    return value


def parts(done: Workload, panel: str, label: str, environment: str) -> dict[str, float]:
    """What a panel of the cost dashboard shows for each value of a label, without zeros."""
    (query,) = [query for query in PROMQL if (query.board, query.panel) == ("monitored-openai-cost", panel)]
    found = defaultdict[str, float](float)
    for labels, value in done.prometheus.query(query.filled(**chosen(done, environment)), at=done.ended):
        found[labels[label]] += value
    return {name: value for name, value in found.items() if value}


@pytest.mark.parametrize("environment", DEMOS)
def test_the_totals_are_what_the_demos_api_served(environment: str, done: Workload) -> None:
    served = done.served[environment]
    assert value_of(done, "Calls", environment=environment) == total(served, "calls")
    assert value_of(done, "Tokens", environment=environment) == total(served, "input tokens", "output tokens")
    assert value_of(done, "Retries", "reliability", environment) == total(served, "repeated requests")
    cached = total(served, "cached input tokens") / total(served, "input tokens")
    assert value_of(done, "Cache hits", environment=environment) == pytest.approx(cached)
    errors = total(served, "errors")
    names = ("Failed", "Other errors", "Abandoned streams")
    assert sum(value_of(done, name, "reliability", environment) for name in names) == errors


@pytest.mark.parametrize("environment", DEMOS)
@pytest.mark.parametrize(
    ("panel", "board", "share", "field"),
    [
        ("Duration, p95", "overview", 0.95, "duration_seconds"),
        ("First chunk, p95", "overview", 0.95, "time_to_first_chunk_seconds"),
        ("Duration", "overview", 0.5, "duration_seconds"),
    ],
)
def test_a_quantile_is_in_the_bucket_of_the_true_one(
    environment: str, panel: str, board: str, share: float, field: str, done: Workload
) -> None:
    """With few calls an estimate is exact to one bucket: the one that holds the call at this rank."""
    query = next(query for query in PROMQL if (query.board, query.panel) == (f"monitored-openai-{board}", panel))
    over = query.filled(**chosen(done, environment)).replace("rate(", "increase(")
    shown = done.prometheus.value(over, at=done.ended)
    lines = done.lines(environment=environment)
    truth = sorted(line[field] for line in lines if line.get(field) is not None)
    rank = truth[math.ceil(share * len(truth)) - 1]
    bounds = (0.0, *(SECONDS if environment == "full" else LEAN_SECONDS))
    above = bisect_left(bounds, rank)
    assert shown is not None
    assert bounds[above - 1] <= shown <= bounds[above]


def test_the_totals_of_all_processes_are_those_of_the_log(done: Workload) -> None:
    lines = done.lines()
    costs = [line["cost"]["total_usd"] for line in lines if "cost" in line]

    for panel in ("Spent in range", "Spent today", "Spent this month"):
        assert value_of(done, panel) == pytest.approx(sum(costs), rel=1e-9)
    assert value_of(done, "Calls") == len(lines)
    assert value_of(done, "Unpriced calls", "cost") == sum("unpriced" in line for line in lines)
    saved = sum(line["cost"]["cache_savings_usd"] for line in lines if "cost" in line)
    assert value_of(done, "Saved by caching", "cost") == pytest.approx(saved, rel=1e-9)


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_parts_of_the_cost_tool_calls_and_incomplete_costs_are_those_of_the_log(
    environment: str, done: Workload
) -> None:
    lines = [line for name in environment.split("|") for line in done.lines(environment=name)]
    costs, tools, reasons = Counter[str](), Counter[str](), Counter[str]()
    for line in lines:
        costs.update({kind: usd for kind, usd in line.get("cost", {}).items() if usd})
        tools.update(line.get("tool_calls", {}))
        reasons.update(line.get("cost_incomplete", []))
    del costs["total_usd"], costs["cache_savings_usd"]

    assert parts(done, "Cost by kind", "kind", environment) == pytest.approx(
        {name.removesuffix("_usd"): usd for name, usd in costs.items()}, rel=1e-9
    )
    assert parts(done, "Tool calls", "tool", environment) == tools
    assert parts(done, "Incomplete costs by reason", "reason", environment) == reasons
    assert value_of(done, "Incomplete costs", "cost", environment) == sum("cost_incomplete" in line for line in lines)
    assert all((costs, tools, reasons))


def test_the_processes_of_a_host_push_one_set_of_series(done: Workload) -> None:
    instances = f"count by (environment) (count by (environment, instance) (last_over_time({CALLS_METRIC}[1h])))"
    found = {labels["environment"]: value for labels, value in done.prometheus.query(instances, at=done.ended)}

    assert found == {"demo": 1, "full": 1, "host": 1, "default": 2, "full-mixed": 1, "host-mixed": 1}


def test_the_projection_goes_on_as_the_range_did(done: Workload) -> None:
    spent, seconds = value_of(done, "Spent in range"), int(chosen(done)["__range_s"])

    projected = value_of(done, "Projected month")

    assert 28 <= projected * seconds / spent / 86400 <= 31


def test_a_breakdown_adds_up_to_the_total_by_any_attribute(done: Workload) -> None:
    (query,) = [query for query in PROMQL if query.panel == "Cost by $attribute"]
    for attribute in ("feature", "program", "environment", "gen_ai_request_model"):
        values = {**chosen(done), "attribute": attribute}
        parts = done.prometheus.query(query.filled(**values), at=done.ended)
        assert sum(value for _, value in parts) == pytest.approx(value_of(done, "Spent in range"), rel=1e-9)


def test_the_exporters_health_is_that_of_the_workload(done: Workload) -> None:
    assert value_of(done, "Dropped", "health") == 0
    assert value_of(done, "Folded label sets", "health") == 0


def logql_of(query: Query, **typed: str) -> str:
    fields = {"search": "pan", "trace": "", "request": "req_", "job": "integrations/openai"} | typed
    others = {"environment": ".*", "service": ".*", "model": "gpt-4o|gpt-5", "error": ".*"}
    return query.filled(**fields, **others, __range="1h", __interval="15s")


def fits(typed: Mapping[str, str], content: str, labels: Mapping[str, str]) -> bool:
    """Whether the text fields of the calls' dashboard select an entry with this question."""
    line = json.dumps({"request": {"input": content}}, ensure_ascii=False, separators=(",", ":"))
    (found,) = {re.findall("label_format matches_typed=`([^`]*)`", logql_of(query, **typed))[0] for query in LOGQL}
    value = rendered(found, line, labels)
    assert value is True or value is False
    return value


def test_every_logql_expression_is_one_by_the_published_grammar() -> None:
    expressions = [logql_of(query) for query in LOGQL]

    assert len(expressions) > 6
    assert faults_of(expressions) == {}


def test_any_text_in_the_fields_makes_a_valid_query() -> None:
    texts = (
        "a (b",
        "[",
        "\\",
        '"',
        "`",
        'a`b"c\\d',
        "}} | json {{",
        "$model ${job}",
        "50% +1",
        r"""say "hi" it's \d+ {a="b"}""",
    )
    expressions = [logql_of(query, search=text, trace=text, request=text) for query in LOGQL for text in texts]
    expressions += [logql_of(query, job=text.replace("`", "")) for query in LOGQL for text in texts]

    assert faults_of(expressions) == {}


@given(before=st.text(max_size=8), typed=ONE_LINE, after=st.text(max_size=8))
@settings(max_examples=200, deadline=None)
def test_the_search_finds_any_text_of_a_call_in_any_case(before: str, typed: str, after: str) -> None:
    request = {"search": typed.swapcase() if typed.isascii() else typed, "request": ""}

    assert fits(request, before + typed + after, {})


def test_the_search_takes_text_literally_and_leaves_out_what_does_not_have_it() -> None:
    assert not fits({"search": "a.b", "request": ""}, "axb", {})
    assert not fits({"search": ".*", "request": ""}, "anything", {})
    assert fits({"search": '"input":"', "request": ""}, "as it stands in the line", {})


def test_ids_are_selected_by_their_beginning_and_an_emptied_field_selects_all() -> None:
    labels = {"trace_id": "0af7", "request_id": "req_1"}
    nothing = {"search": "", "trace": "", "request": ""}

    assert fits(nothing, "", labels)
    assert fits(nothing, "", {})
    assert fits({**nothing, "trace": "0a", "request": "req_1"}, "", labels)
    assert not fits({**nothing, "trace": "af7"}, "", labels)
    assert not fits({**nothing, "request": ".*"}, "", labels)
    assert not fits({**nothing, "request": "req_"}, "", {})


@given(typed=ONE_LINE.filter(lambda text: "`" not in text), other=st.text())
@settings(max_examples=200, deadline=None)
def test_the_job_is_exactly_the_text_typed_in_and_an_emptied_field_selects_all(typed: str, other: str) -> None:
    def selects(typed: str, job: str) -> bool:
        (matcher,) = {re.findall("job=~`([^`]*)`", logql_of(query, job=typed))[0] for query in LOGQL}
        return re.compile(matcher, re.DOTALL).fullmatch(job) is not None

    assert selects(typed, typed)
    assert selects("", other)
    assert selects(typed, other) == (typed in ("", other))


def test_a_selector_has_a_matcher_that_does_not_match_an_empty_value() -> None:
    """Loki refuses a selector of which each matcher matches an empty value, as those of emptied fields do."""
    assert all(query.expr.count("{") and query.expr.count('{environment=~".+", ') for query in LOGQL)


@pytest.mark.parametrize(("job", "is_there"), [("integrations/openai", True), ("", True), ("integrations", False)])
def test_a_real_regular_expression_of_go_selects_the_job(done: Workload, job: str, is_there: bool) -> None:
    matcher = filled(re.findall("job=~`[^`]*`", LOGQL[0].expr)[0], {"job": job})

    assert bool(done.prometheus.query(f"last_over_time({CALLS_METRIC}{{{matcher}}}[1h])", at=done.ended)) == is_there


def test_the_grammar_finds_what_is_wrong() -> None:
    wrong = '{job=~"a" | json'

    assert list(faults_of([wrong, '{job="a"}'])) == [wrong]


def test_the_log_queries_name_what_entries_have(done: Workload) -> None:
    names = {name for entry in done.loki.entries for name in entry.metadata}
    labels = {name for entry in done.loki.entries for name in entry.labels}
    for query in LOGQL:
        filtered = set(re.findall(r"\| (\w+)(?:=~|!=)", query.expr))
        unwrapped = set(re.findall(r"unwrap (\w+)", query.expr))
        assert filtered | unwrapped <= names | {"trace_id", "request_id"}
        assert set(re.findall(r"(\w+)=~", query.expr.partition("}")[0])) <= labels


def test_the_models_to_choose_from_are_those_that_the_log_is_filtered_by(done: Workload) -> None:
    (name,) = {found for query in LOGQL for found in re.findall(r'\| (\w+)=~"\$model"', query.expr)}
    logged = {entry.metadata[name] for entry in done.loki.entries}
    offered = f"count by (gen_ai_request_model) (last_over_time({CALLS_METRIC}[1h]))"

    assert logged == {labels["gen_ai_request_model"] for labels, _ in done.prometheus.query(offered, at=done.ended)}


@pytest.mark.parametrize("name", BOARDS)
def test_what_may_be_chosen_more_than_once_stands_in_a_query_as_it_is(name: str) -> None:
    """Grafana escapes the signs of regular expressions in such values, but not where it only joins them."""
    expressions = " ".join(target["expr"] for panel in panels_of(BOARDS[name]) for target in panel["targets"])
    for variable in BOARDS[name]["templating"]["list"]:
        if variable["type"] == "custom" and variable.get("multi") and re.search(r"[^\w,]", variable["query"]):
            used = re.findall(rf"\$\{{?{variable['name']}\b[^\"`]*", expressions)
            assert set(used) == {f"${{{variable['name']}:pipe}}"}


def test_the_panels_that_the_way_over_names_are_there() -> None:
    text = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\| \*(OpenAI: [a-z ]+)\*, \*([^*]+)\* \|", text))
    there = {(board["title"], panel["title"]) for board in BOARDS.values() for panel in board["panels"]}

    assert len(named) >= 6
    assert named <= there


@pytest.mark.parametrize("name", BOARDS)
def test_no_link_fixes_the_organisation(name: str) -> None:
    assert "orgId" not in json.dumps(BOARDS[name])


def test_a_link_to_the_calls_sets_variables_that_their_dashboard_has() -> None:
    there = {variable["name"] for variable in BOARDS["monitored-openai-calls.json"]["templating"]["list"]}
    linked = 0
    for board in BOARDS.values():
        names = {variable["name"] for variable in board["templating"]["list"]}
        for panel in panels_of(board):
            for link in panel.get("fieldConfig", {}).get("defaults", {}).get("links", ()):
                linked += 1
                path, _, query = link["url"].partition("?")
                kept = re.findall(r"\$\{(\w+):queryparam\}", query)
                chosen = dict(re.findall(r"var-(\w+)=\$\{__(?:field\.labels|data\.fields)\.(\w+)\}", query))
                labels = re.findall(r"by \(([^)]*)\)", " ".join(target["expr"] for target in panel["targets"]))
                assert path == "/d/monitored-openai-calls"
                assert query.startswith("${__url_time_range}&")
                assert {*kept, *chosen} <= there
                assert {"metrics", "environment", "service", "model"} <= {*kept, *chosen}
                assert set(kept) <= names
                assert all(label in found for label in chosen.values() for found in labels if found != "le"), panel[
                    "title"
                ]
    assert linked >= 15


def test_a_row_of_a_table_leads_to_the_calls_of_its_model_and_error() -> None:
    found = {}
    for board in BOARDS.values():
        for panel in panels_of(board):
            for link in panel.get("fieldConfig", {}).get("defaults", {}).get("links", ()):
                chosen = dict(re.findall(r"var-(\w+)=\$\{__data\.fields\.(\w+)\}", link["url"]))
                if chosen:
                    organize = next(one for one in panel["transformations"] if one["id"] == "organize")
                    columns = {name: label for label, name in organize["options"]["renameByName"].items()}
                    labels = {variable: columns[name] for variable, name in chosen.items()}
                    queries = " ".join(target["expr"] for target in panel["targets"])
                    assert all(label in queries for label in labels.values())
                    found[panel["title"]] = labels

    assert found == {
        "Errors by model": {"model": "gen_ai_request_model", "error": "error_type"},
        "Models": {"model": "gen_ai_request_model"},
    }


@pytest.mark.parametrize(
    ("variable", "mine", "others"),
    [
        ("metrics", ["Prometheus", "grafanacloud-shop-prom"], ["grafanacloud-usage", "grafanacloud-ml-metrics"]),
        (
            "logs",
            ["Loki", "grafanacloud-shop-logs"],
            ["grafanacloud-shop-usage-insights", "grafanacloud-shop-alert-state-history"],
        ),
    ],
)
def test_the_data_sources_of_grafana_cloud_itself_are_left_out(
    variable: str, mine: list[str], others: list[str]
) -> None:
    found = [one for board in BOARDS.values() for one in board["templating"]["list"] if one["name"] == variable]
    assert found
    for one in found:
        pattern = re.compile(one["regex"].strip("/"))
        assert [name for name in mine + others if pattern.search(name)] == mine
        assert one["current"]["value"] == "default"


def marks(name: str) -> str:
    """The expression of an annotation; every dashboard that has it has the same."""
    (expr,) = {
        str(mark["expr"])
        for board in BOARDS.values()
        for mark in board.get("annotations", {}).get("list", ())
        if mark["name"] == name
    }
    return expr


def test_a_deployment_is_marked_when_its_label_has_a_new_value_and_not_later(done: Workload) -> None:
    expr = filled(marks("Deployments"), chosen(done))
    later = done.ended + 240  # within Prometheus's look-back, after which the demo's first samples are old

    assert done.prometheus.query(expr, at=done.ended)
    assert not done.prometheus.query(expr.replace("offset 10m", "offset 4m"), at=later)


def test_a_mark_of_a_price_change_appears_only_when_the_date_changes(done: Workload) -> None:
    expr = filled(marks("Price updates"), chosen(done))
    changed = expr.replace(" offset 10m", " offset 1s").replace(" != max", " != 1 + max")

    assert not done.prometheus.query(expr.replace("offset 10m", "offset 1s"), at=done.ended)
    assert done.prometheus.query(changed, at=done.ended)


@pytest.mark.parametrize("environment", DEMOS)
def test_the_buckets_of_a_heat_map_rise_up_to_all_calls(environment: str, done: Workload) -> None:
    found = [query for query in PROMQL if query.panel == "Durations"]
    assert {query.board for query in found} == {"monitored-openai-overview", "monitored-openai-reliability"}
    for query in found:
        filled_in = query.filled(**chosen(done, environment))
        rows = {labels["le"]: value for labels, value in done.prometheus.query(filled_in, at=done.ended)}
        ordered = [rows[bound] for bound in sorted(rows, key=float)]
        assert len(ordered) == len(SECONDS if environment == "full" else LEAN_SECONDS) + 1
        assert ordered == sorted(ordered)
        assert ordered[-1] > 0

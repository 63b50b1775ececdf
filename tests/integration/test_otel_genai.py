"""The queries of published dashboards on a real Prometheus, compared with the calls that were made."""

from __future__ import annotations

import json
import math
import re
import shlex
import subprocess
import textwrap
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from monitored_openai import CallRecord
from monitored_openai._metrics.metric_set import LEAN_SECONDS
from tests.integration.test_dashboards import PROMQL
from tests.support.grafana import filled
from tests.support.handles import MANUAL, handle
from tests.support.otel_dashboards import (
    AI_OBSERVABILITY,
    LITELLM,
    RANGE,
    RATE_INTERVAL,
    USAGE_COST_BARS,
    Panel,
)
from tests.support.priced_calls import CALLS, PRICES, make_all, truth
from tests.support.servers._http import wait_until
from tests.support.servers.prometheus import Prometheus, require_prometheus

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The calls as Prometheus has them, at the time of the last push."""

    prometheus: Prometheus
    at: float
    records: Sequence[CallRecord]
    variables: Mapping[str, str] = field(default_factory=dict)

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Ask for the series of this process; one panel would also count the calls of all others."""
        own = expr.replace(
            '{telemetry_sdk_name="openlit"}',
            '{telemetry_sdk_name="openlit", deployment_environment="$deployment_environment"}',
        )
        return self.prometheus.query(filled(own, self.variables), at=self.at)


class ScrapingPrometheus(Prometheus):
    """Scrapes one page, with the relabelling in the docs."""

    page = 0

    def arguments(self, data: Path) -> list[str]:
        arguments = super().arguments(data)
        docs = (ROOT / "docs" / "scraping.md").read_text(encoding="utf-8")
        (relabelling,) = re.findall(r"^( *)metric_relabel_configs:\n((?:\1 +.*\n)+)", docs, re.MULTILINE)
        (data / "prometheus.yml").write_text(
            "scrape_configs:\n- job_name: app\n  scrape_interval: 100ms\n  scrape_timeout: 100ms\n"
            f"  static_configs: [{{targets: ['127.0.0.1:{self.page}']}}]\n"
            "  metric_relabel_configs:\n" + textwrap.indent(textwrap.dedent(relabelling[1]), "  ")
        )
        return arguments


@pytest.fixture(scope="module")
def registry() -> CollectorRegistry:
    """The content of the scraped page."""
    return CollectorRegistry()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, registry: CollectorRegistry) -> Iterator[Prometheus]:
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        running = ScrapingPrometheus(require_prometheus(), tmp_path_factory.mktemp("otel"))
        running.page = server.server_port
        with running:
            yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture(scope="module", params=["push", "alone", "host"])
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The calls by a process that pushes, by one without `gen_ai`, and by two processes that share their totals."""
    mode: str = request.param
    prometheus: Prometheus = request.getfixturevalue("prometheus")
    RECORDS.clear()
    given: dict[str, Any] = {
        "metrics_url": prometheus.write_url,
        "metric_names": "otel_genai" if mode == "alone" else "gen_ai,otel_genai",
        "environment": mode,
        "job": f"job-{mode}",
        "prices": PRICES,
        "on_record": note,
        "provider": "openai",
        **MANUAL,
    }
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).delenv("OTEL_SERVICE_NAME", raising=False)
        if mode == "host":
            given["host_dir"] = str(tmp_path_factory.mktemp("host"))
            handles = [stack.enter_context(handle(**given, queue_size=size)) for size in (8, 9)]
        else:
            handles = [stack.enter_context(handle(**given))]
        make_all(handles)
    chosen = f'deployment_environment="{mode}"'
    at = prometheus.value(f"max(timestamp(gen_ai_requests_total{{{chosen}}}))")
    assert at is not None
    return Done(
        prometheus=prometheus,
        at=at,
        records=[*RECORDS],
        variables={
            "service_name": f"(job-{mode}|other)",
            "service": f"job-{mode}",
            "deployment_environment": mode,
            "model": ".*",
            "__range": f"{RANGE}s",
            "__rate_interval": f"{RATE_INTERVAL}s",
        },
    )


RECORDS: list[CallRecord] = []


def note(record: CallRecord) -> None:
    """Keep the record of a call."""
    RECORDS.append(record)


def bucket(seconds: float) -> int:
    return bisect_left(LEAN_SECONDS, seconds)


def at_rank(share: float, values: Sequence[float]) -> float:
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def values_of(panel: Panel, found: list[tuple[dict[str, str], float]]) -> dict[tuple[str, ...], float]:
    sums = defaultdict[tuple[str, ...], float](float)
    for labels, value in found:
        sums[tuple(labels.get(name, "") for name in panel.by)] += value * panel.per
    return {key: value for key, value in sums.items() if value}


SUMS = ("calls", "tokens", "cost")
PANELS = (*AI_OBSERVABILITY, *LITELLM)


@pytest.mark.parametrize("panel", [panel for panel in PANELS if panel.shows in SUMS], ids=str)
def test_a_panel_shows_the_true_number(panel: Panel, done: Done) -> None:
    true = truth(panel.shows, panel.by, done.variables["deployment_environment"])
    assert true
    assert values_of(panel, done.query(panel.expr)) == pytest.approx(true, rel=1e-9)


@pytest.mark.parametrize("panel", [panel for panel in PANELS if panel.shows.startswith("p95")], ids=str)
def test_a_quantile_is_in_the_bucket_of_the_true_one(panel: Panel, done: Done) -> None:
    times = defaultdict[tuple[str, ...], list[float]](list)
    for record in done.records:
        labels = {"gen_ai_system": record.provider, "gen_ai_request_model": record.request_model or ""}
        seconds = record.duration if panel.shows == "p95 duration" else record.time_to_first_chunk
        if seconds is not None:
            times[tuple(labels.get(name, "") for name in panel.by)].append(seconds)
    true = {key: bucket(at_rank(0.95, seconds)) for key, seconds in times.items()}
    found = {key: bucket(value) for key, value in values_of(panel, done.query(panel.expr)).items()}
    assert true
    assert found == true
    assert len(done.records) == len(CALLS)


@pytest.mark.parametrize("panel", [panel for panel in PANELS if panel.shows.startswith("median")], ids=str)
def test_a_range_of_tokens_shows_the_median_duration_times_its_counts(panel: Panel, done: Done) -> None:
    found = re.search(r"of (\d+)-(\d+) tokens", panel.shows)
    assert found
    low, high = map(int, found.groups())
    counts = sum(low <= tokens <= high for call in CALLS for tokens in call.tokens)
    ((_, median),) = done.query(f"{panel.expr.partition(' * on()')[0]}")
    assert counts
    assert bucket(median) == bucket(at_rank(0.5, [record.duration for record in done.records]))
    assert values_of(panel, done.query(panel.expr)) == {(): pytest.approx(median * counts)}


def test_the_mean_cost_is_that_of_the_calls_with_a_price(done: Done) -> None:
    (panel,) = [panel for panel in PANELS if panel.shows == "mean cost"]
    priced = [call.usd for call in CALLS if call.usd is not None]
    assert values_of(panel, done.query(panel.expr)) == {(): pytest.approx(sum(priced) / len(priced))}


def test_the_mean_of_tokens_is_one_of_totals_over_series(done: Done) -> None:
    panels = [panel for panel in PANELS if panel.shows.startswith("mean") and panel.shows.endswith("series")]
    assert len(panels) == 2
    for panel, tokens in zip(panels, zip(*(call.tokens for call in CALLS), strict=True), strict=True):
        ((_, series),) = done.query(panel.expr.replace("avg(", "count("))
        assert values_of(panel, done.query(panel.expr)) == {(): pytest.approx(sum(tokens) / series)}
    assert done.query(USAGE_COST_BARS)


def test_each_choice_of_the_dashboards_offers_the_process(done: Done) -> None:
    environment = done.variables["deployment_environment"]
    for name, value in (("service_name", f"job-{environment}"), ("deployment_environment", environment)):
        assert value in {labels.get(name) for labels, _ in done.query(f"group by ({name}) (gen_ai_requests_total)")}


OWN_PANELS = {"Calls": "calls", "Tokens": "tokens", "Spent in range": "cost"}


@pytest.mark.parametrize("panel", OWN_PANELS)
def test_the_packages_own_dashboard_shows_the_same_numbers(panel: str, done: Done) -> None:
    (own,) = [query for query in PROMQL if (query.board, query.panel) == ("monitored-openai-overview", panel)]
    values = {"environment": done.variables["deployment_environment"], "service": ".*", "__range": f"{RANGE}s"}
    shown = done.prometheus.value(own.filled(**values, model=".*", attribute="", budget="1"), at=done.at)
    assert shown == pytest.approx(truth(OWN_PANELS[panel], (), "")[()], rel=1e-9)


def test_the_command_in_the_docs_makes_the_cost_panels_show_usd(done: Done) -> None:
    page = (ROOT / "docs" / "grafana.md").read_text(encoding="utf-8")
    (command,) = (shlex.split(line) for line in page.splitlines() if line.strip().startswith("sed "))
    file = json.dumps([{"expr": panel.expr, "refId": "A"} for panel in PANELS], indent=2)
    corrected = subprocess.run(
        command[: command.index("genai-observability.json")],
        input=file,
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    ).stdout
    for panel, target in zip(PANELS, json.loads(corrected), strict=True):
        of_cost = panel in AI_OBSERVABILITY and panel.shows in ("cost", "mean cost")
        assert (target["expr"] != panel.expr) == of_cost
        if of_cost:
            shown = values_of(replace(panel, per=1.0), done.query(target["expr"]))
            assert shown == pytest.approx(values_of(panel, done.query(panel.expr)), rel=1e-9)


def test_a_scraped_process_has_the_series_that_the_dashboards_select(
    prometheus: Prometheus, registry: CollectorRegistry
) -> None:
    settings: dict[str, Any] = {"metric_names": "gen_ai,otel_genai", "provider": "openai", "prices": PRICES}
    with handle(**settings, environment="scraped", service_name="shop") as monitoring:
        make_all([monitoring])
        registry.register(monitoring.collector)
        selected = 'telemetry_sdk_name="openlit", service_name="shop", deployment_environment="scraped"'
        requests = f"sum(gen_ai_requests_total{{{selected}}})"
        wait_until(lambda: prometheus.value(requests) == len(CALLS))
        small = prometheus.value(f'sum(gen_ai_client_token_usage_bucket{{{selected}, le="16"}})')
        usd = prometheus.value(f"sum(gen_ai_usage_cost_USD_sum{{{selected}}})")
    assert small == sum(0 < tokens <= 16 for call in CALLS for tokens in call.tokens)
    assert usd == pytest.approx(sum(call.usd or 0 for call in CALLS))

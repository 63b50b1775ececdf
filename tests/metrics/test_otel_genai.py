"""The series and labels of the scheme `otel_genai`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from monitored_openai import MonitoringSettings
from monitored_openai._metrics.metric_set import LEAN_TOKENS, metric_set
from monitored_openai._metrics.names import (
    INPUT_TOKENS,
    OTEL_GENAI_METRICS,
    OUTPUT_TOKENS,
    REQUESTS,
    TIME_TO_FIRST_CHUNK,
    TIME_TO_FIRST_TOKEN,
    TOKEN_USAGE,
    USAGE_COST,
)
from monitored_openai._metrics.otel_genai import otel_genai_samples
from monitored_openai._metrics.series import Sample
from monitored_openai._metrics.store import Metrics
from monitored_openai._record import CallRecord
from tests.integration.test_fork import BEFOREHAND, OPTIONS
from tests.metrics.test_collector import page, samples_of, total
from tests.metrics.test_store import LABELS, by_labels, folded, value
from tests.support.handles import MANUAL, call, handle, settled
from tests.support.programs import run, settings
from tests.support.records import COST, full_record, record
from tests.support.servers.remote_write import RemoteWriteProxy
from tests.support.settings import refusal

BOTH = metric_set(schemes=("gen_ai", "otel_genai"))
ALONE = metric_set(schemes=("otel_genai",))
FAILED = record(duration=5.0, error_type="timeout")


def shown(*records: CallRecord, exposed: Any = BOTH, whole_bounds: bool = True) -> list[Sample]:
    """The pushed samples of calls, with the scheme on."""
    return [*otel_genai_samples(folded(*records, exposed=exposed), exposed.series_names, whole_bounds=whole_bounds)]


def test_the_scheme_counts_what_the_calls_were() -> None:
    free, unpriced = full_record(cost=replace(COST, input_usd=0.02)), record(unpriced="unknown_model")
    samples = shown(full_record(), free, unpriced, FAILED)

    assert value(samples, REQUESTS.name) == 4
    assert value(samples, REQUESTS.name, error_type="timeout") == 1
    assert (value(samples, INPUT_TOKENS.name), value(samples, OUTPUT_TOKENS.name)) == (60, 40)
    assert value(samples, TOKEN_USAGE.sum) == 100
    assert value(samples, USAGE_COST.sum) == pytest.approx(COST.total_usd * 2 + 0.02 - COST.input_usd, rel=1e-12)
    assert [value(samples, USAGE_COST.bucket, le=bound) for bound in ("0.0001", "0.001", "0.1", "+Inf")] == [0, 1, 2, 2]
    assert value(samples, TIME_TO_FIRST_TOKEN.count) == 2
    assert value(samples, TIME_TO_FIRST_TOKEN.sum) == pytest.approx(0.4)


def test_an_incomplete_cost_counts_as_its_lower_bound() -> None:
    samples = shown(full_record(cost=replace(COST, incomplete=("tool_fee",))))
    assert value(samples, USAGE_COST.count) == 1
    assert value(samples, USAGE_COST.sum) == pytest.approx(COST.total_usd)


def test_without_the_scheme_no_series_of_it_exists() -> None:
    names = {sample.name for sample in folded(full_record(), exposed=metric_set())}
    assert not names & {series for metric in OTEL_GENAI_METRICS for series in metric.series_names}


def test_beside_gen_ai_each_series_of_gen_ai_stays_once() -> None:
    before = folded(full_record(), FAILED, exposed=metric_set())
    after = shown(full_record(), FAILED, whole_bounds=False)

    def plain(sample: Sample) -> Sample:
        return sample._replace(labels=tuple(label for label in sample.labels if label[0] != "gen_ai_system"))

    assert len({(sample.name, sample.labels) for sample in after}) == len(after)
    added = [sample for sample in map(plain, after) if sample not in before]
    names = {series for metric in (*OTEL_GENAI_METRICS, TOKEN_USAGE) for series in metric.series_names}
    assert {sample.name for sample in added} == names
    assert len(after) == len(before) + len(added)


def test_alone_the_source_of_a_copied_histogram_is_not_shown() -> None:
    samples = shown(full_record(), FAILED, exposed=ALONE)
    assert {sample.name for sample in samples} <= ALONE.series_names
    assert value(samples, TIME_TO_FIRST_TOKEN.count) == 1
    assert not by_labels(samples, TIME_TO_FIRST_CHUNK.count)


def test_each_series_of_calls_names_the_provider_as_system_too() -> None:
    for sample in shown(full_record(), record(provider="azure.ai.openai")):
        labels = dict(sample.labels)
        assert len(labels) == len(sample.labels)
        assert labels["gen_ai_system"] == labels["gen_ai_provider_name"]


def test_the_labels_of_the_new_metrics_are_the_declared_ones() -> None:
    samples = shown(full_record(), FAILED)
    common = {*LABELS["gen_ai_client_active_requests"][1]}
    for metric in OTEL_GENAI_METRICS:
        found = {name for sample in samples if sample.name in metric.series_names for name, _ in sample.labels}
        assert found - {"le"} == common | {"gen_ai_system", *metric.labels}, metric.name


@pytest.mark.parametrize("exposed", [BOTH, metric_set("full", schemes=("gen_ai", "otel_genai"))], ids=["lean", "full"])
def test_a_pushed_bound_is_a_whole_number_as_the_dashboards_select_it(exposed: Any) -> None:
    def bounds(name: str, **options: bool) -> set[str]:
        return {dict(labels)["le"] for labels in by_labels(shown(full_record(), exposed=exposed, **options), name)}

    whole = [f"{bound:.0f}" for bound in exposed.bounds[TOKEN_USAGE]]
    assert bounds(TOKEN_USAGE.bucket) == {*whole, "+Inf"}
    assert {f"{bound:.0f}" for bound in LEAN_TOKENS} <= {*whole}
    assert bounds(USAGE_COST.bucket) == {"0.0001", "0.001", "0.01", "0.1", "1", "10", "+Inf"}
    assert {"16.0", "4096.0"} <= bounds(TOKEN_USAGE.bucket, whole_bounds=False)


def test_a_streaming_model_has_as_many_series_as_the_docs_say() -> None:
    plain = len(folded(full_record(), exposed=metric_set()))
    assert len(shown(full_record())) - plain == 45
    assert len(shown(full_record(), FAILED)) - len(folded(full_record(), FAILED, exposed=metric_set())) == 46


def pushed(proxy: RemoteWriteProxy, **values: Any) -> set[str]:
    """Push one call; return the names of the series."""
    given: dict[str, Any] = {"metrics_url": proxy.write_url, "provider": "openai", **MANUAL, **values}
    with handle(**given) as monitoring:
        call(monitoring)
        settled(monitoring)
    return {series.name for batch in proxy.stored for series in batch}


@pytest.mark.parametrize("names", ["otel_genai", "gen_ai,otel_genai", "grafana_openai,otel_genai"])
def test_every_pushed_series_has_the_labels_by_which_the_dashboards_select(proxy: RemoteWriteProxy, names: str) -> None:
    pushed(proxy, metric_names=names, environment="prod", job="shop")
    series = [series for batch in proxy.stored for series in batch if not series.name.startswith("openai_")]
    assert series
    for one in series:
        labels = dict(one.labels)
        assert labels["telemetry_sdk_name"] == "openlit"
        assert labels["deployment_environment"] == labels["environment"] == "prod"
        assert labels["service_name"] == labels["job"] == "shop"
    assert proxy.total(REQUESTS.name) == 1


def test_the_predecessors_samples_have_no_labels_of_the_scheme(proxy: RemoteWriteProxy) -> None:
    pushed(proxy, metric_names="grafana_openai,otel_genai")
    legacy = [series for batch in proxy.stored for series in batch if series.name.startswith("openai_")]
    assert legacy
    assert not any("telemetry_sdk_name" in dict(series.labels) for series in legacy)


def test_the_users_own_labels_and_service_name_win(proxy: RemoteWriteProxy) -> None:
    own = {"telemetry_sdk_name": "ours", "deployment_environment": "blue"}
    pushed(proxy, metric_names="otel_genai", service_name="shop", extra_labels=own)
    (labels,) = map(dict, proxy.latest(REQUESTS.name))
    assert {**own, "service_name": "shop"}.items() <= labels.items()


def test_a_left_out_metric_of_the_scheme_is_not_pushed(proxy: RemoteWriteProxy) -> None:
    left_out = [USAGE_COST.name, TOKEN_USAGE.name, REQUESTS.name]
    names = pushed(proxy, metric_names="gen_ai,otel_genai", metrics_left_out=left_out)
    assert INPUT_TOKENS.name in names
    assert not names & {*USAGE_COST.series_names, *TOKEN_USAGE.series_names, REQUESTS.name}


def test_an_attribute_cannot_have_the_name_of_a_label_of_the_scheme() -> None:
    given: dict[str, Any] = {"label_names": ["deployment_environment"]}
    assert MonitoringSettings(**given).metric_labels == {"environment": "default"}
    assert refusal(metric_names="otel_genai", **given) == (
        "label_names: has a label that otel_genai sets itself; remove it, or otel_genai from metric_names"
    )


def test_a_scrape_has_the_series_of_the_scheme_in_the_form_of_openmetrics() -> None:
    with handle(metric_names="gen_ai,otel_genai", environment="prod", job="shop", provider="openai") as monitoring:
        call(monitoring, times=2)
        assert monitoring.flush(60).complete
        parser: Callable[[str], Any] = parse_openmetrics
        families = {family.name: family for family in parser(page(monitoring, generate=generate_openmetrics))}
    samples = samples_of(families.values())
    selected = {"telemetry_sdk_name": "openlit", "deployment_environment": "prod", "service_name": "shop"}
    assert total(samples, REQUESTS.name, **selected, gen_ai_request_model="gpt-4o") == 2
    assert total(samples, INPUT_TOKENS.name, **selected) == 10
    assert total(samples, TOKEN_USAGE.bucket, **selected, le="16.0", gen_ai_token_type="input") == 2
    assert total(samples, USAGE_COST.count, **selected) == 2
    assert families[USAGE_COST.name].type == families[TOKEN_USAGE.name].type == "histogram"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_children_with_common_totals_add_up_to_the_calls(proxy: RemoteWriteProxy, tmp_path: Path) -> None:
    given = {"metrics_url": proxy.write_url, "metric_names": "otel_genai", "push_interval": 1, "exit_timeout": 30}
    own = settings(**given, host_dir=tmp_path / "host", provider="openai")
    ended = run("forking", BEFOREHAND, env=own | {"OPENAI_BASE_URL": "http://api.test/v1"}, options=OPTIONS)
    assert ended.code == 0, ended.err
    made = ended.said["calls"]
    assert len({dict(labels)["instance"] for labels in proxy.latest(REQUESTS.name)}) == 1
    assert (proxy.total(REQUESTS.name), proxy.total(INPUT_TOKENS.name), proxy.violations) == (made, 5 * made, [])
    assert proxy.total(USAGE_COST.count) == made


def test_label_sets_beyond_the_limit_count_as_other() -> None:
    exposed = BOTH
    metrics = Metrics(exposed=exposed, max_label_sets=2)
    for number in range(5):
        metrics.fold(full_record(request_model=f"m{number}", response_model=f"m{number}"))
    samples = [*otel_genai_samples(metrics.samples(), exposed.series_names, whole_bounds=True)]
    assert value(samples, REQUESTS.name, gen_ai_request_model="other") == 3
    assert len(by_labels(samples, USAGE_COST.count)) == 3

"""Records added to counters and histograms: names, labels, sums and limits."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as ReferenceHistogram

from monitored_openai import CallRecord, Usage
from monitored_openai._labels import clip_label_value
from monitored_openai._metrics.metric_set import MetricSet, metric_set
from monitored_openai._metrics.names import (
    CALL_METRICS,
    CHUNK_SECONDS,
    DURATION,
    OWN_METRICS,
    RATE_LIMIT_METRICS,
    SECONDS,
    TOKENS,
)
from monitored_openai._metrics.series import Histogram, Labels, Sample, histogram_samples
from monitored_openai._metrics.store import Metrics
from monitored_openai._record import ErrorType
from tests.support.records import COST, full_record, record

CALL = {"gen_ai_operation_name", "openai_api_type", "gen_ai_provider_name", "gen_ai_request_model", "feature"}
ANSWERED = CALL | {"gen_ai_response_model"}
LABELS: dict[str, tuple[str, set[str]]] = {
    "gen_ai_client_operation_duration_seconds": ("histogram", CALL),
    "gen_ai_client_operation_time_to_first_chunk_seconds": ("histogram", CALL),
    "gen_ai_client_operation_time_per_output_chunk_seconds": ("histogram", CALL),
    "gen_ai_client_token_usage": ("histogram", CALL | {"gen_ai_token_type"}),
    "gen_ai_client_tokens_total": ("counter", ANSWERED | {"gen_ai_token_type"}),
    "gen_ai_client_token_details_total": ("counter", ANSWERED | {"gen_ai_token_type"}),
    "gen_ai_client_audio_seconds_total": ("counter", ANSWERED),
    "gen_ai_client_characters_total": ("counter", ANSWERED),
    "gen_ai_client_cost_usd_total": ("counter", ANSWERED | {"kind"}),
    "gen_ai_client_cache_savings_usd_total": ("counter", ANSWERED),
    "gen_ai_client_cost_incomplete_total": ("counter", ANSWERED | {"reason"}),
    "gen_ai_client_tool_calls_total": ("counter", ANSWERED | {"tool"}),
    "gen_ai_client_unpriced_total": ("counter", ANSWERED | {"reason"}),
    "gen_ai_client_usage_unknown_total": ("counter", ANSWERED | {"reason"}),
    "gen_ai_client_finishes_total": ("counter", ANSWERED | {"finish_reason"}),
    "gen_ai_client_retries_total": ("counter", ANSWERED),
    "openai_processing_seconds": ("histogram", CALL),
    "gen_ai_client_active_requests": ("gauge", CALL),
}
"""The metrics of calls: public API, so that a change here is a breaking one."""
LIMITS: dict[str, str] = {
    "openai_ratelimit_limit": "gauge",
    "openai_ratelimit_remaining": "gauge",
    "openai_ratelimit_reset_timestamp_seconds": "gauge",
}
OWN: dict[str, str] = {
    "monitored_openai_produced_total": "counter",
    "monitored_openai_delivered_total": "counter",
    "monitored_openai_dropped_total": "counter",
    "monitored_openai_queued": "gauge",
    "monitored_openai_in_flight": "gauge",
    "monitored_openai_spool_bytes": "gauge",
    "monitored_openai_folded_label_sets_total": "counter",
    "monitored_openai_last_success_timestamp_seconds": "gauge",
    "monitored_openai_prices_timestamp_seconds": "gauge",
    "monitored_openai_send_seconds": "histogram",
}


FULL, LEAN = metric_set("full"), metric_set("lean")


def folded(*records: CallRecord, exposed: MetricSet = FULL, **limits: Any) -> list[Sample]:
    """What is pushed after these calls."""
    metrics = Metrics(label_names=("feature",), exposed=exposed, **limits)
    for one in records:
        metrics.fold(one)
    return metrics.samples(labels_without_buckets=exposed.labels_without_buckets)


def by_labels(samples: Iterable[Sample], name: str) -> dict[frozenset[tuple[str, str]], float]:
    return {frozenset(sample.labels): sample.value for sample in samples if sample.name == name}


def value(samples: Iterable[Sample], name: str, **labels: str) -> float:
    """The sum over all series of this name with these labels."""
    return sum(
        number for found, number in by_labels(samples, name).items() if set(labels.items()) <= set(dict(found).items())
    )


def test_the_names_and_types_are_the_promised_ones() -> None:
    assert {metric.name: metric.type for metric in CALL_METRICS} == {name: kind for name, (kind, _) in LABELS.items()}
    assert {metric.name: metric.type for metric in RATE_LIMIT_METRICS} == LIMITS
    assert {metric.name: metric.type for metric in OWN_METRICS} == OWN


def test_declared_labels_are_the_promised_ones() -> None:
    declared = {metric.name: {*CALL, *metric.labels} for metric in CALL_METRICS}
    of_failures = {DURATION.name: {"error_type"}}
    assert declared == {name: labels | of_failures.get(name, set()) for name, (_, labels) in LABELS.items()}


def test_each_metric_has_the_promised_labels() -> None:
    unknown = record(usage_unknown="not_reported", unpriced="usage_unknown", attributes={"feature": "search"})
    incomplete = full_record(cost=replace(COST, incomplete=("tool_fee",)), tool_calls={"web_search": 1})
    samples = folded(full_record(), unknown, incomplete)
    seen: dict[str, set[str]] = {}
    for sample in samples:
        name = next(
            name for name in LABELS if sample.name in (name, *(f"{name}_{p}" for p in ("bucket", "sum", "count")))
        )
        labels = {label for label, _ in sample.labels}
        assert ("le" in labels) == sample.name.endswith("_bucket")
        seen.setdefault(name, labels - {"le"})
        assert seen[name] == labels - {"le"}
    assert seen == {name: labels for name, (kind, labels) in LABELS.items() if kind != "gauge"}


def test_an_incomplete_cost_counts_once_by_its_first_reason() -> None:
    incomplete = full_record(cost=replace(COST, incomplete=("tool_fee", "residency")))
    samples = folded(full_record(), incomplete, incomplete)
    counted = by_labels(samples, "gen_ai_client_cost_incomplete_total")
    assert [(dict(labels)["reason"], value) for labels, value in counted.items()] == [("tool_fee", 2.0)]
    total = sum(by_labels(samples, "gen_ai_client_cost_usd_total").values())
    assert total == pytest.approx(3 * COST.total_usd)


def test_tool_calls_add_up_by_tool() -> None:
    samples = folded(full_record(tool_calls={"web_search": 2, "function": 1}), full_record(tool_calls={"function": 3}))
    counted = by_labels(samples, "gen_ai_client_tool_calls_total")
    assert {dict(labels)["tool"]: value for labels, value in counted.items()} == {"web_search": 2.0, "function": 4.0}


def test_a_complete_call_without_tools_has_no_series_of_them() -> None:
    names = {sample.name for sample in folded(full_record())}
    assert not names & {"gen_ai_client_cost_incomplete_total", "gen_ai_client_tool_calls_total"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [("180", 0.18), ("0", 0.0), ("1.5", 0.0015), *((odd, None) for odd in ("", "-1", "1e3", "fast"))],
)
def test_the_servers_own_time_is_counted_where_it_is_a_number(said: str, expected: float | None) -> None:
    samples = folded(record(headers={"openai-processing-ms": said}))
    told = by_labels(samples, "openai_processing_seconds_sum")
    assert list(told.values()) == ([] if expected is None else [expected])


def test_the_bounds_are_the_promised_ones() -> None:
    assert tuple(round(0.01 * 2**power, 2) for power in range(17)) == SECONDS
    assert SECONDS[-1] == 655.36
    assert (*(2**power / 1000 for power in range(12)), 2.56) == CHUNK_SECONDS
    assert tuple(4.0**power for power in range(14)) == TOKENS
    assert {metric.name: metric.bounds for metric in CALL_METRICS if metric.type == "histogram"} == {
        "gen_ai_client_operation_duration_seconds": SECONDS,
        "gen_ai_client_operation_time_to_first_chunk_seconds": SECONDS,
        "gen_ai_client_operation_time_per_output_chunk_seconds": CHUNK_SECONDS,
        "gen_ai_client_token_usage": TOKENS,
        "openai_processing_seconds": SECONDS,
    }


def test_a_lean_model_has_a_third_of_the_series_of_a_full_one() -> None:
    full, lean = (len(folded(full_record(), exposed=exposed)) for exposed in (FULL, LEAN))
    assert 110 <= full <= 130
    assert 40 <= lean <= 55


def test_a_call_counts_with_what_it_reports() -> None:
    samples = folded(full_record())
    assert value(samples, "gen_ai_client_operation_duration_seconds_count") == 1
    assert value(samples, "gen_ai_client_operation_duration_seconds_sum") == 0.5
    assert value(samples, "gen_ai_client_operation_time_to_first_chunk_seconds_sum") == 0.2
    assert value(samples, "gen_ai_client_operation_time_per_output_chunk_seconds_count") == 2
    assert value(samples, "gen_ai_client_tokens_total", gen_ai_token_type="input") == 30
    assert value(samples, "gen_ai_client_tokens_total", gen_ai_token_type="output") == 20
    assert value(samples, "gen_ai_client_token_usage_sum", gen_ai_token_type="input") == 30
    details = by_labels(samples, "gen_ai_client_token_details_total")
    assert {dict(labels)["gen_ai_token_type"]: number for labels, number in details.items()} == {
        "input_cached": 8,
        "input_cache_write": 1,
        "input_audio": 2,
        "input_image": 3,
        "output_audio": 4,
        "output_reasoning": 5,
        "output_accepted_prediction": 6,
        "output_rejected_prediction": 7,
        "output_image": 1,
    }
    assert value(samples, "gen_ai_client_audio_seconds_total") == 1.5
    assert value(samples, "gen_ai_client_characters_total") == 12
    assert value(samples, "gen_ai_client_cost_usd_total") == pytest.approx(COST.total_usd)
    assert value(samples, "gen_ai_client_cost_usd_total", kind="input_cached") == COST.input_cached_usd
    assert value(samples, "gen_ai_client_cache_savings_usd_total") == COST.cache_savings_usd
    assert value(samples, "gen_ai_client_retries_total") == 1


def test_what_a_call_does_not_report_has_no_series() -> None:
    names = {sample.name for sample in folded(record())}
    assert names == {f"gen_ai_client_operation_duration_seconds_{part}" for part in ("bucket", "sum", "count")}


def test_one_side_of_the_usage_alone_is_counted_alone() -> None:
    samples = folded(record(usage=Usage(input_tokens=7)))
    assert by_labels(samples, "gen_ai_client_tokens_total") == {
        frozenset(
            {
                ("gen_ai_operation_name", "chat"),
                ("openai_api_type", "chat_completions"),
                ("gen_ai_provider_name", "openai"),
                ("gen_ai_request_model", "gpt-4o"),
                ("gen_ai_response_model", "gpt-4o-2024-08-06"),
                ("gen_ai_token_type", "input"),
            }
        ): 7
    }


def test_a_reported_zero_is_a_zero_and_not_unknown() -> None:
    samples = folded(record(usage=Usage(input_tokens=0, output_tokens=0)))
    assert value(samples, "gen_ai_client_token_usage_count") == 2
    assert list(by_labels(samples, "gen_ai_client_tokens_total").values()) == [0, 0]


def test_the_error_type_is_a_label_of_the_duration_alone_and_absent_when_all_is_fine() -> None:
    samples = folded(record(), full_record(error_type="cancelled"))
    with_error = {sample.name for sample in samples if "error_type" in dict(sample.labels)}
    assert with_error == {f"gen_ai_client_operation_duration_seconds_{part}" for part in ("bucket", "sum", "count")}
    assert value(samples, "gen_ai_client_operation_duration_seconds_count", error_type="cancelled") == 1
    assert value(samples, "gen_ai_client_operation_duration_seconds_count") == 2


def test_empty_labels_are_left_out() -> None:
    samples = folded(record(request_model=None, response_model=None, usage_unknown="failed"))
    assert all(text for sample in samples for _, text in sample.labels)
    assert value(samples, "gen_ai_client_usage_unknown_total", gen_ai_operation_name="chat", reason="failed") == 1


def test_only_the_named_attributes_become_labels() -> None:
    samples = folded(record(attributes={"feature": "search", "user": "alice"}))
    assert {name for sample in samples for name, _ in sample.labels} == {*CALL, "le"}


FINISHES = "gen_ai_client_finishes_total"


def finishes(*records: CallRecord) -> dict[str, float]:
    counted = by_labels(folded(*records), FINISHES)
    return {dict(labels)["finish_reason"]: number for labels, number in counted.items()}


def test_each_choice_that_ended_counts_under_its_reason() -> None:
    assert finishes(
        record(finish_reasons=("stop", "length")),
        record(finish_reasons=("stop",)),
        record(finish_reasons=("tool_calls",), error_type="abandoned"),
        record(),
    ) == {"stop": 2, "length": 1, "tool_calls": 1}


def test_reasons_that_no_api_documents_share_one_value() -> None:
    assert finishes(*(record(finish_reasons=(f"reason-{number}",)) for number in range(50))) == {"other": 50}


def test_a_response_in_the_background_finishes_once() -> None:
    of_responses: dict[str, Any] = {"api_type": "responses"}
    later: dict[str, Any] = {**of_responses, "operation": "retrieve"}
    assert finishes(
        record(**of_responses, finish_reasons=("queued",)),
        record(**later, finish_reasons=("in_progress",)),
        record(**later, finish_reasons=("completed",), usage=Usage(input_tokens=1)),
        record(**later, finish_reasons=("completed",)),
    ) == {"completed": 1}


def test_states_of_jobs_are_no_finishes() -> None:
    assert finishes(record(operation="batch", api_type=None, finish_reasons=("completed",))) == {}


OPTIONAL = {"openai_response_service_tier", "server_address", "input_size"}


def test_optional_labels_are_on_all_metrics_of_finished_calls() -> None:
    metrics = Metrics(optional_labels=("input_size", "server_address", "service_tier"))
    metrics.fold(full_record())
    assert {frozenset(OPTIONAL & dict(sample.labels).keys()) for sample in metrics.samples()} == {frozenset(OPTIONAL)}
    labels = dict(metrics.samples()[0].labels)
    assert [labels[name] for name in sorted(OPTIONAL)] == ["1k", "default", "api.openai.com"]
    assert not any(OPTIONAL & dict(sample.labels).keys() for sample in folded(full_record()))


@pytest.mark.parametrize(
    ("tokens", "size"),
    [(0, "1k"), (1024, "1k"), (1025, "4k"), (262_144, "256k"), (1_048_576, "1M"), (1_048_577, "more"), (None, None)],
)
def test_the_size_of_the_input_is_a_range_of_its_tokens(tokens: int | None, size: str | None) -> None:
    metrics = Metrics(optional_labels=("input_size",))
    metrics.fold(record(usage=None if tokens is None else Usage(input_tokens=tokens)))
    (labels,) = by_labels(metrics.samples(), "gen_ai_client_operation_duration_seconds_count")
    assert dict(labels).get("input_size") == size


def test_tiers_and_hosts_without_end_are_bounded() -> None:
    metrics = Metrics(optional_labels=("server_address", "service_tier"), max_label_sets=3)
    for number in range(50):
        metrics.fold(record(server=f"host-{number}", service_tier=f"tier-{number}"))
    counted = by_labels(metrics.samples(), "gen_ai_client_operation_duration_seconds_count")
    assert (len(counted), sum(counted.values())) == (4, 50)


VALUES = st.one_of(
    st.floats(min_value=0, max_value=1e9, allow_nan=False),
    st.sampled_from(
        [*SECONDS, *TOKENS, *CHUNK_SECONDS, 0.0, math.nextafter(0.01, 1), math.nextafter(0.01, 0), math.inf]
    ),
    st.integers(min_value=0, max_value=2**53),
)


@given(st.lists(VALUES, max_size=30), st.sampled_from([SECONDS, CHUNK_SECONDS, TOKENS]))
@settings(max_examples=200, deadline=None)
def test_a_histogram_is_that_of_the_prometheus_client(values: list[float], bounds: tuple[float, ...]) -> None:
    registry = CollectorRegistry()
    reference = ReferenceHistogram("it", "", buckets=bounds, registry=registry)
    ours = Histogram(bounds)
    for each in values:
        reference.observe(each)
        ours.observe((each,))
    expected = {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in reference.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    assert {(one.name, one.labels): one.value for one in histogram_samples("it", {(): ours})} == expected


MODELS = st.sampled_from([None, "a", "b", "c", "d", "other", "x" * 2000, "x" * 2001])
CALLS = st.builds(
    record,
    request_model=MODELS,
    response_model=MODELS,
    attributes=st.dictionaries(st.just("feature"), st.sampled_from(["one", "two", "other"])),
    error_type=st.sampled_from([None, "timeout", "rate_limit"]),
    usage=st.none() | st.builds(Usage, input_tokens=st.none() | st.integers(0, 2**40), output_tokens=st.integers(0, 9)),
    duration=st.integers(0, 1000),
    retries=st.none() | st.integers(0, 3),
    cost=st.sampled_from([None, dataclasses.replace(COST, input_usd=0.25, input_cached_usd=0.5, output_usd=1.0)]),
    chunk_intervals=st.lists(st.sampled_from([0.25, 0.5]), max_size=2),
)


@given(st.lists(CALLS, max_size=40), st.integers(1, 6), st.sampled_from([FULL, LEAN]))
@settings(max_examples=150, deadline=None)
def test_totals_over_all_labels_are_exact_however_few_label_sets_there_may_be(
    calls: list[CallRecord], limit: int, exposed: MetricSet
) -> None:
    samples = folded(*calls, max_label_sets=limit, exposed=exposed)
    keys = [(sample.name, frozenset(sample.labels)) for sample in samples]
    assert len(keys) == len(set(keys))
    assert value(samples, "gen_ai_client_operation_duration_seconds_count") == len(calls)
    assert value(samples, "gen_ai_client_operation_duration_seconds_sum") == sum(call.duration for call in calls)
    assert value(samples, "gen_ai_client_retries_total") == sum(call.retries or 0 for call in calls)
    assert value(samples, "gen_ai_client_cost_usd_total") == sum(1.75 for call in calls if call.cost)
    assert value(samples, "gen_ai_client_operation_time_per_output_chunk_seconds_count") == sum(
        len(call.chunk_intervals) for call in calls
    )
    for kind, name in (("input", "input_tokens"), ("output", "output_tokens")):
        truth = sum(getattr(call.usage, name) or 0 for call in calls if call.usage)
        assert value(samples, "gen_ai_client_tokens_total", gen_ai_token_type=kind) == truth
        usage = value(samples, "gen_ai_client_token_usage_sum", gen_ai_token_type=kind)
        assert usage == (truth if exposed is FULL else 0)
    assert value(samples, "gen_ai_client_operation_duration_seconds_bucket", le="+Inf") == len(calls)
    for error in (None, "timeout", "rate_limit"):
        counted = Counter(dict(labels).get("error_type") for labels in _duration_counts(samples).elements())
        assert counted[error] == sum(call.error_type == error for call in calls)


def _duration_counts(samples: list[Sample]) -> Counter[frozenset[tuple[str, str]]]:
    numbers = by_labels(samples, "gen_ai_client_operation_duration_seconds_count")
    return Counter({labels: int(number) for labels, number in numbers.items()})


def test_past_the_limit_models_and_attributes_are_folded_and_the_closed_labels_stay() -> None:
    metrics = Metrics(label_names=("feature",), max_label_sets=2)
    for number in range(5):
        metrics.fold(record(request_model=f"m{number}", attributes={"feature": f"f{number}"}, error_type="timeout"))
    labels = [dict(sample.labels) for sample in metrics.samples() if sample.name.endswith("_count")]
    assert [(one["gen_ai_request_model"], one["feature"]) for one in labels] == [
        ("m0", "f0"),
        ("m1", "f1"),
        ("other",) * 2,
    ]
    assert {(one["error_type"], one["gen_ai_operation_name"], one["gen_ai_provider_name"]) for one in labels} == {
        ("timeout", "chat", "openai")
    }
    assert metrics.folded_label_sets == 3


def test_a_label_set_that_was_there_before_the_limit_goes_on_past_it() -> None:
    metrics = Metrics(max_label_sets=1)
    for model in ("first", "second", "first"):
        metrics.fold(record(request_model=model))
    assert value(metrics.samples(), "gen_ai_client_operation_duration_seconds_count", gen_ai_request_model="first") == 2


@pytest.mark.parametrize(
    ("given_text", "label"),
    [
        ("gpt-4o", "gpt-4o"),
        ("x" * 1024, "x" * 1024),
        ("x" * 1025, "x" * 1024),
        ("é" * 600, "é" * 512),
        ("a" + "é" * 600, "a" + "é" * 511),
        ("😀" * 300, "😀" * 256),
        ("\ud800", "?"),
        ('a\x00\n"\\b', 'a\x00\n"\\b'),
    ],
    ids=["short", "at the limit", "past it", "two bytes each", "odd", "four bytes each", "surrogate", "control"],
)
def test_a_label_value_is_cut_at_a_character_below_1024_bytes(given_text: str, label: str) -> None:
    assert clip_label_value(given_text) == label


@given(st.text(st.characters(), max_size=3000))
def test_a_label_value_is_always_utf8_of_at_most_1024_bytes(text: str) -> None:
    assert len(clip_label_value(text).encode()) <= 1024
    assert clip_label_value(clip_label_value(text)) == clip_label_value(text)


def test_two_long_names_that_are_cut_to_the_same_share_a_series() -> None:
    samples = folded(record(request_model="x" * 1024 + "a"), record(request_model="x" * 1024 + "b"))
    assert list(by_labels(samples, "gen_ai_client_operation_duration_seconds_count").values()) == [2]


def test_a_key_given_as_the_model_becomes_no_label() -> None:
    metrics = Metrics(label_names=("feature",), max_label_sets=10)
    secret = "sk-proj-abcdefghijklmnop"
    one = record(request_model=secret, response_model=secret, attributes={"feature": secret}, unpriced="unknown_model")
    for _ in range(3):
        metrics.fold(one)
    samples = metrics.samples()
    assert secret not in str(samples)
    assert value(samples, "gen_ai_client_operation_duration_seconds_count", gen_ai_request_model="[redacted]") == 3
    admitted: Labels | None = metrics.admitted((("gen_ai_request_model", secret),), {})
    assert admitted == (("gen_ai_request_model", "[redacted]"),)


def test_reading_does_not_count_as_folding() -> None:
    metrics = Metrics(max_label_sets=1)
    metrics.fold(record(request_model="a"))
    before = metrics.folded_label_sets
    one, two = ((("gen_ai_request_model", name),) for name in "ab")
    assert (metrics.admitted(two, {one: 1}), metrics.folded(two)) == (None, (("gen_ai_request_model", "other"),))
    assert metrics.folded_label_sets == before


ROOT = Path(__file__).parents[2]
PROMTOOL = next(iter(sorted((ROOT / ".cache" / "prometheus").glob("**/bin/promtool"))), None)
PROMQL = [
    (page.name, number, query)
    for page in sorted(ROOT.glob("docs/**/*.md"))
    for number, query in enumerate(re.findall(r"^```promql\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
]


@pytest.mark.once
def test_the_tables_in_the_docs_are_up_to_date() -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "metrics_table.py", "--check"], check=True, timeout=60)


@pytest.mark.once
def test_the_words_on_the_page_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    counts = {field.name for field in dataclasses.fields(Usage) if field.name.endswith("_tokens")}
    details = {name.removesuffix("_tokens") for name in counts} - {"input", "output"}
    assert [word for word in (*get_args(ErrorType), *details) if f"`{word}`" not in page] == []


@pytest.mark.once
@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not at hand")
def test_the_queries_on_the_pages_are_promql_and_name_metrics_that_there_are(tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    queries = [{"record": f"query_{number}", "expr": query} for number, (_, _, query) in enumerate(PROMQL)]
    rules.write_text(json.dumps({"groups": [{"name": "pages", "rules": queries}]}))
    done = subprocess.run(
        [str(PROMTOOL), "check", "rules", rules], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(PROMQL) >= 7
    metrics = (*CALL_METRICS, *RATE_LIMIT_METRICS, *OWN_METRICS)
    there = {name for metric in metrics for name in (metric.name, *metric.series_names)}
    named = {
        name for _, _, query in PROMQL for name in re.findall(r"\b(?:gen_ai_client|(?:monitored_)?openai)_\w+", query)
    }
    assert named - there == set()

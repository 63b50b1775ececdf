"""The exposed metrics by setting: their bounds and the labels of their buckets."""

from __future__ import annotations

import math

import pytest

from monitored_openai._metrics.metric_set import (
    COARSE_SECONDS,
    DETAILS,
    LEAN_SECONDS,
    METRICS,
    REQUIRED,
    SCHEME_BUCKETS,
    Bounds,
    Histograms,
    bounds_of,
    metric_set,
)
from monitored_openai._metrics.names import (
    DURATION,
    IN_FLIGHT,
    OTEL_GENAI_METRICS,
    PROCESSING,
    REMAINING,
    SECONDS,
    SEND_SECONDS,
    TIME_PER_OUTPUT_CHUNK,
    TIME_TO_FIRST_CHUNK,
    TIME_TO_FIRST_TOKEN,
    TOKEN_USAGE,
    TOKENS_TOTAL,
)
from tests.metrics.test_store import by_labels, folded
from tests.support.records import full_record, record

LEAN = metric_set("lean")
OTEL_GENAI = {metric.name for metric in OTEL_GENAI_METRICS}
HISTOGRAMS = [metric for metric in METRICS.values() if metric.type == "histogram"]


def test_lean_bounds_double_from_80_ms_to_164_s() -> None:
    assert tuple(round(0.08 * 2**power, 2) for power in range(12)) == LEAN_SECONDS
    assert tuple(round(0.04 * 4**power, 2) for power in range(7)) == COARSE_SECONDS
    assert set(LEAN_SECONDS) | set(COARSE_SECONDS) <= set(SECONDS)
    assert 2.56 in {*LEAN_SECONDS} & {*COARSE_SECONDS}


def test_lean_has_two_histograms_with_buckets_and_three_means() -> None:
    assert LEAN.bounds == {
        DURATION: LEAN_SECONDS,
        TIME_TO_FIRST_CHUNK: LEAN_SECONDS,
        **dict.fromkeys((TIME_PER_OUTPUT_CHUNK, PROCESSING, SEND_SECONDS), ()),
    }
    assert METRICS.keys() - LEAN.names == {TOKEN_USAGE.name, IN_FLIGHT.name} | OTEL_GENAI


def test_full_has_every_metric_as_it_is_defined() -> None:
    full = metric_set("full")
    assert full.names == METRICS.keys() - OTEL_GENAI
    assert full.bounds == {metric: metric.bounds for metric in HISTOGRAMS if metric.name not in OTEL_GENAI}
    assert metric_set("full", schemes=("gen_ai", "otel_genai")).bounds == {
        metric: metric.bounds for metric in HISTOGRAMS
    }
    assert not full.labels_without_buckets


@pytest.mark.parametrize("histograms", DETAILS)
@pytest.mark.parametrize("schemes", [("otel_genai",), ("gen_ai", "otel_genai")], ids=",".join)
def test_a_scheme_brings_each_histogram_that_its_dashboards_read(
    schemes: tuple[str, ...], histograms: Histograms
) -> None:
    shown = metric_set(histograms, schemes=schemes)
    assert {metric.name for metric in SCHEME_BUCKETS["otel_genai"] - {TIME_TO_FIRST_CHUNK}} <= shown.names
    assert all(shown.bounds[metric] for metric in SCHEME_BUCKETS["otel_genai"])
    assert {4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0} <= {*shown.bounds[TOKEN_USAGE]}
    assert shown.bounds[DURATION] == metric_set(histograms).bounds[DURATION]
    assert shown.bounds[TIME_TO_FIRST_TOKEN] == shown.bounds[TIME_TO_FIRST_CHUNK]


def test_otel_genai_alone_has_only_what_its_dashboards_and_the_required_panels_read() -> None:
    alone = metric_set(schemes=("otel_genai",))
    assert alone.names - metric_set(schemes=()).names == {*OTEL_GENAI, TOKEN_USAGE.name}
    assert {metric.name for metric in REQUIRED} <= alone.names
    assert alone.kept - alone.names == {TIME_TO_FIRST_CHUNK.name}
    assert not {PROCESSING.name, REMAINING.name} & alone.names


def test_a_left_out_metric_of_a_scheme_stays_out_and_takes_its_source_with_it() -> None:
    left_out = [TIME_TO_FIRST_TOKEN.name, TOKEN_USAGE.name]
    alone = metric_set(schemes=("otel_genai",), left_out=left_out)
    assert alone.kept == alone.names == metric_set(schemes=("otel_genai",)).names - {*left_out}
    source_left_out = metric_set(schemes=("gen_ai", "otel_genai"), left_out=[TIME_TO_FIRST_CHUNK.name])
    assert TIME_TO_FIRST_TOKEN.name in source_left_out.names
    assert source_left_out.kept - source_left_out.names == {TIME_TO_FIRST_CHUNK.name}


def test_a_left_out_metric_has_no_series() -> None:
    exposed = metric_set("full", left_out=[PROCESSING.name, TOKENS_TOTAL.name])
    call = full_record(headers={"openai-processing-ms": "5"})
    missing = {sample.name for sample in folded(call)} - {sample.name for sample in folded(call, exposed=exposed)}
    assert missing == {*PROCESSING.series_names, TOKENS_TOTAL.name}


def test_an_error_type_adds_a_sum_and_a_count_but_no_buckets() -> None:
    without = folded(record(duration=1.0), exposed=LEAN)
    samples = folded(record(duration=1.0), record(duration=5.0, error_type="timeout"), exposed=LEAN)
    assert len(samples) == len(without) + 2
    buckets = by_labels(samples, DURATION.bucket)
    assert not any("error_type" in dict(labels) for labels in buckets)
    assert {dict(labels)["le"]: number for labels, number in buckets.items()} == {
        **{f"{bound}": (bound >= 1) + (bound >= 5) for bound in LEAN_SECONDS},
        "+Inf": 2,
    }
    counts = by_labels(samples, DURATION.count)
    assert {dict(labels).get("error_type"): number for labels, number in counts.items()} == {None: 1, "timeout": 1}


@pytest.mark.parametrize("bounds", [LEAN_SECONDS, COARSE_SECONDS, SECONDS], ids=["lean", "coarse", "full"])
def test_the_bounds_of_a_histogram_follow_from_the_buckets_that_grew(bounds: Bounds) -> None:
    smallest = next(number for number, bound in enumerate(bounds) if bound > 0.5)
    assert bounds_of((*bounds[smallest:], math.inf)) == bounds
    assert bounds_of(bounds) == bounds


def test_buckets_of_several_details_have_the_bounds_of_all() -> None:
    assert bounds_of({*LEAN_SECONDS[3:], *SECONDS[6:]}) == SECONDS
    assert bounds_of({*LEAN_SECONDS, *COARSE_SECONDS}) == SECONDS[:15]
    assert bounds_of([math.inf]) == LEAN_SECONDS

"""The exposed metrics by setting: their bounds and the labels of their buckets."""

from __future__ import annotations

import math

import pytest

from monitored_openai._metrics import metric_set as module
from monitored_openai._metrics.metric_set import (
    COARSE_SECONDS,
    DETAILS,
    LEAN_SECONDS,
    METRICS,
    Bounds,
    Histograms,
    bounds_of,
    metric_set,
)
from monitored_openai._metrics.names import (
    DURATION,
    IN_FLIGHT,
    PROCESSING,
    SECONDS,
    SEND_SECONDS,
    TIME_PER_OUTPUT_CHUNK,
    TIME_TO_FIRST_CHUNK,
    TOKEN_USAGE,
    TOKENS_TOTAL,
)
from tests.metrics.test_store import by_labels, folded
from tests.support.records import full_record, record

LEAN = metric_set("lean")
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
    assert METRICS.keys() - LEAN.names == {TOKEN_USAGE.name, IN_FLIGHT.name}


def test_full_has_every_metric_as_it_is_defined() -> None:
    full = metric_set("full")
    assert full.names == METRICS.keys()
    assert full.bounds == {metric: metric.bounds for metric in HISTOGRAMS}
    assert not full.labels_without_buckets


@pytest.mark.parametrize("histograms", DETAILS)
def test_a_scheme_brings_each_histogram_that_its_dashboards_read(
    monkeypatch: pytest.MonkeyPatch, histograms: Histograms
) -> None:
    read = frozenset({TOKEN_USAGE, PROCESSING})
    monkeypatch.setattr(module, "SCHEME_BUCKETS", {**module.SCHEME_BUCKETS, "other": read})
    schemes = metric_set(histograms, schemes=("gen_ai", "other"))
    assert schemes.bounds[TOKEN_USAGE] == TOKEN_USAGE.bounds
    assert schemes.bounds[PROCESSING] == PROCESSING.bounds
    assert schemes.bounds[DURATION] == metric_set(histograms).bounds[DURATION]


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

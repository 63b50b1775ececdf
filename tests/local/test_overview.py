"""The page's percentiles: equal to Prometheus's estimate, whichever buckets the processes push."""

from __future__ import annotations

import math
from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitored_openai._local.counters import Growth
from monitored_openai._local.overview import Aggregates, keys_of
from monitored_openai._local.quantile import histogram_quantile
from monitored_openai._metrics.metric_set import COARSE_SECONDS, LEAN_SECONDS, Bounds
from monitored_openai._metrics.names import DURATION, SECONDS
from monitored_openai._metrics.series import bound_text

BOUNDS = [LEAN_SECONDS, COARSE_SECONDS, SECONDS]


def cumulative(values: list[float], bounds: Bounds) -> dict[float, float]:
    return {bound: float(sum(value <= bound for value in values)) for bound in (*bounds, math.inf)}


def aggregated(*histograms: dict[float, float]) -> Aggregates:
    """What the page adds up from its history, which has only the buckets with growth."""
    found = Aggregates()
    for buckets in histograms:
        for bound, count in buckets.items():
            if count:
                text = "+Inf" if bound == math.inf else bound_text(bound)
                growth = Growth(name=DURATION.bucket, labels={"le": text}, steps={0: count})
                found.add(keys_of(growth), count)
    return found


@given(
    st.lists(st.floats(0.005, 20), min_size=1, max_size=30),
    st.sampled_from(BOUNDS),
    st.sampled_from([0.5, 0.95, 0.99]),
)
@settings(max_examples=200, deadline=None)
def test_a_quantile_is_that_of_all_buckets(values: list[float], bounds: Bounds, share: float) -> None:
    buckets = cumulative(values, bounds)

    assert aggregated(buckets).quantile("duration", share) == histogram_quantile(share, buckets)


@pytest.mark.parametrize(("bounds", "shown"), list(zip(BOUNDS, (163.84, 163.84, 655.36), strict=True)))
def test_a_quantile_beyond_the_largest_bound_is_this_bound(bounds: Bounds, shown: float) -> None:
    buckets = cumulative([1.0, 900.0], bounds)

    assert aggregated(buckets).quantile("duration", 0.99) == shown


@given(st.lists(st.floats(0.1, 150), min_size=1, max_size=30), st.lists(st.floats(0.1, 150), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_lean_and_full_processes_add_up_to_the_bucket_of_the_true_quantile(
    lean: list[float], full: list[float]
) -> None:
    both = aggregated(cumulative(lean, LEAN_SECONDS), cumulative(full, SECONDS))

    shown = both.quantile("duration", 0.5)

    values = sorted(lean + full)
    at = bisect_left(LEAN_SECONDS, values[math.ceil(len(values) / 2) - 1])
    assert shown is not None
    assert (LEAN_SECONDS[at - 1] if at else 0.0) <= shown <= LEAN_SECONDS[at]

"""Calls with the same labels add to the same series, in any order and with any labels."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitored_openai import CallRecord
from monitored_openai._metrics.metric_set import metric_set
from monitored_openai._metrics.store import Metrics
from tests.support.records import full_record, record

OPTIONAL = ("input_size", "server_address", "service_tier")
CALLS = st.builds(
    lambda full, **given: replace(full_record() if full else record(), **given),
    st.booleans(),
    request_model=st.sampled_from([None, "", "a", "b", "é", "x" * 2000]),
    response_model=st.sampled_from([None, "", "a", "b"]),
    error_type=st.sampled_from([None, "timeout"]),
    operation=st.sampled_from(["chat", "embeddings"]),
    api_type=st.sampled_from([None, "responses"]),
    provider=st.sampled_from(["openai", "azure"]),
    service_tier=st.sampled_from([None, "default", "flex"]),
    server=st.sampled_from(["one", "two"]),
    attributes=st.dictionaries(st.sampled_from(["feature", "tenant", "c"]), st.sampled_from(["", "a", "b"])),
    duration=st.sampled_from([0.5, 1.0, 2.0]),
)


def metrics(**given: Any) -> Metrics:
    return Metrics(label_names=("feature", "tenant"), optional_labels=OPTIONAL, exposed=metric_set("full"), **given)


def values(store: Metrics) -> Mapping[Any, float]:
    return {(sample.name, frozenset(sample.labels)): sample.value for sample in store.samples()}


@given(st.lists(CALLS, max_size=12))
@settings(deadline=None, max_examples=40)
def test_calls_folded_together_add_up_to_each_folded_alone(calls: list[CallRecord]) -> None:
    together, alone = metrics(), Counter[Any]()
    for call in calls:
        together.fold(call)
        one = metrics()
        one.fold(call)
        alone.update(values(one))

    assert values(together) == pytest.approx(alone)


@given(st.lists(CALLS, max_size=30))
@settings(deadline=None, max_examples=40)
def test_no_call_is_lost_or_counted_twice_beyond_the_limit(calls: list[CallRecord]) -> None:
    limited, unlimited = metrics(max_label_sets=3), metrics()
    for call in calls:
        limited.fold(call)
        unlimited.fold(call)

    def sums(store: Metrics) -> Counter[str]:
        found = Counter[str]()
        for sample in store.samples():
            found[sample.name] += sample.value  # type: ignore[assignment]  # a sum of floats
        return found

    assert sums(limited) == pytest.approx(sums(unlimited))


def test_values_without_bound_take_bounded_memory() -> None:
    store = metrics(max_label_sets=10)
    tracemalloc.start()
    for number in range(400):
        store.fold(full_record(request_model=f"{number}" * 100, attributes={"feature": f"{number}" * 100}))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert used < 600_000
    assert store.folded_label_sets > 1_000

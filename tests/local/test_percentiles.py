"""Percentiles of the page: those of the stored calls if the history has all of them, else the buckets' estimates."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from monitored_openai._local.percentiles import SHARES
from monitored_openai._log_entry import log_entry
from tests.support.local_page import Page, metrics_of
from tests.support.records import full_record

SECONDS = [0.1, 0.2, 0.4, 0.8, 1.6, 3.1, 0.3, 0.5, 0.9, 2.0]


def record(number: int, model: str = "gpt-4o") -> Any:
    one = replace(full_record(id=f"c{number}", request_model=model), duration=SECONDS[number])
    return replace(one, time_to_first_chunk=SECONDS[number] / 10)


def minute_ago_ns() -> int:
    return time.time_ns() - 60 * 10**9


def line(one: Any) -> str:
    return log_entry(one, redact=None, max_bytes=240 * 1024).line


def test_the_percentiles_are_those_of_calls(page: Page) -> None:
    records = [record(number) for number in range(len(SECONDS))]
    page.push_process(metrics_of(*records), "p")
    page.log(*map(line, records))

    told = page.overview()

    ordered = sorted(SECONDS)
    truth = {name: ordered[{"p50": 4, "p95": 9, "p99": 9}[name]] for name in SHARES}
    for figures in (told["total"], told["groups"][0]):
        assert figures["duration"] == truth
        assert figures["first_chunk"] == pytest.approx({name: value / 10 for name, value in truth.items()})
        assert figures["estimated"] is False


def test_a_group_whose_calls_are_not_all_stored_has_the_estimate_of_the_buckets(page: Page) -> None:
    records = [record(number, f"m{number % 2}") for number in range(len(SECONDS))]
    page.push_process(metrics_of(*records), "p")
    estimate = {group["name"]: group["duration"] for group in page.overview()["groups"]}
    page.log(*(line(one) for one in records if one.request_model == "m0"), line(records[1]))

    told = page.overview()

    groups = {group["name"]: group for group in told["groups"]}
    assert (groups["m0"]["estimated"], groups["m1"]["estimated"], told["total"]["estimated"]) == (False, True, True)
    assert groups["m1"]["duration"] == estimate["m1"]
    assert groups["m0"]["duration"]["p50"] in SECONDS


def test_calls_without_counts_make_no_exact_percentile(page: Page) -> None:
    counted = [record(number) for number in range(len(SECONDS))]
    page.push_process(metrics_of(*counted), "p")
    estimate = page.overview()["total"]["duration"]
    page.log(*map(line, counted))
    others = (replace(record(0), id=f"o{number}", duration=9.0) for number in range(100))

    page.log(*map(line, others), at_ns=minute_ago_ns())

    told = page.overview()
    for figures in (told["total"], told["groups"][0]):
        assert (figures["duration"], figures["estimated"], figures["stored"]) == (estimate, True, None)


@pytest.mark.parametrize("missing", [1, 5])
def test_missing_calls_make_no_exact_percentile(page: Page, missing: int) -> None:
    counted = [replace(record(number % 10), id=f"c{number}") for number in range(500)]
    page.push_process(metrics_of(*counted), "p")

    page.log(*map(line, counted[missing:]), at_ns=minute_ago_ns())

    assert page.overview()["total"]["estimated"] is True


def test_a_missing_time_to_the_first_chunk_makes_no_exact_percentile(page: Page) -> None:
    counted = [record(number) for number in range(len(SECONDS))]
    page.push_process(metrics_of(*counted), "p")

    page.log(*map(line, [replace(counted[0], time_to_first_chunk=None), *counted[1:]]), at_ns=minute_ago_ns())

    assert page.overview()["total"]["estimated"] is True


def test_calls_of_the_last_seconds_may_not_be_counted_yet(page: Page) -> None:
    counted = [record(number) for number in range(len(SECONDS))]
    page.push_process(metrics_of(*counted[:7]), "p")
    page.log(*map(line, counted[:7]), at_ns=minute_ago_ns())

    page.log(*map(line, counted[7:]))

    for seconds in (900, 2_592_000):
        total = page.overview(seconds=seconds)["total"]
        assert (total["calls"], total["stored"], total["estimated"]) == (7, 10, False)
        assert total["duration"]["p50"] == sorted(SECONDS)[4]


def test_calls_just_before_the_range_may_be_counted_inside(page: Page) -> None:
    counted = [record(number) for number in range(len(SECONDS))]
    start = int(time.time()) // 60 * 60 - 600
    page.log(*map(line, counted[:4]), at_ns=(start - 10) * 10**9)
    page.log(*map(line, counted[4:]), at_ns=(start + 100) * 10**9)
    page.push_process(metrics_of(*counted), "p")

    total = page.overview(**{"from": start, "to": start + 900})["total"]

    assert (total["calls"], total["stored"], total["estimated"]) == (10, 6, False)


def test_percentiles_follow_the_filters_and_the_range(page: Page) -> None:
    records = [record(number, f"m{number % 2}") for number in range(len(SECONDS))]
    page.push_process(metrics_of(*records), "p")
    page.log(*map(line, records))

    filtered = page.overview(**{"is.model": "m1"})["total"]

    assert filtered["duration"]["p50"] == sorted(SECONDS[1::2])[2]
    assert (
        json.dumps(page.overview(**{"is.model": "none"})["total"]["duration"])
        == '{"p50": null, "p95": null, "p99": null}'
    )

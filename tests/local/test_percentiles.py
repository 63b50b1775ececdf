"""Percentiles of the page: those of the stored calls if the history has all of them, else the buckets' estimates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitored_openai._local.percentiles import SHARES
from monitored_openai._log_entry import log_entry
from tests.support.local_page import Page, metrics_of, open_page
from tests.support.records import full_record

SECONDS = [0.1, 0.2, 0.4, 0.8, 1.6, 3.1, 0.3, 0.5, 0.9, 2.0]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    yield from open_page(tmp_path / "history.sqlite3")


def record(number: int, model: str = "gpt-4o") -> Any:
    one = replace(full_record(id=f"c{number}", request_model=model), duration=SECONDS[number])
    return replace(one, time_to_first_chunk=SECONDS[number] / 10)


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

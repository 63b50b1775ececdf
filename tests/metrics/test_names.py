"""The definitions of the metrics: each name is written once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitored_openai._metrics import names
from monitored_openai._metrics.names import DOCTOR, DURATION, TOKENS_TOTAL

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
METRICS = [value for value in vars(names).values() if isinstance(value, names.Metric)]
USERS = sorted(
    path
    for folder in ("src", "tools", "benchmarks", "scripts", "chaos", "examples")
    for path in (ROOT / folder).rglob("*.py")
    if path != Path(names.__file__)
)


def texts_in(path: Path) -> Iterator[str]:
    """Each string of a module, also the fixed parts of formatted ones."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_each_metric_is_in_one_group_and_has_a_name_of_its_own() -> None:
    of_calls = (*names.CALL_METRICS, *names.RATE_LIMIT_METRICS, *names.OTEL_GENAI_METRICS, *names.LEGACY_METRICS)
    groups = (*of_calls, *names.OWN_METRICS, DOCTOR)
    assert sorted(metric.name for metric in groups) == sorted({metric.name for metric in METRICS})


def test_the_series_of_a_histogram_are_its_buckets_sum_and_count() -> None:
    assert DURATION.series_names == (DURATION.bucket, DURATION.sum, DURATION.count)
    assert DURATION.bucket == "gen_ai_client_operation_duration_seconds_bucket"
    assert TOKENS_TOTAL.series_names == ("gen_ai_client_tokens_total",)


def test_no_other_module_spells_a_metric_name() -> None:
    spelled = {
        (str(path.relative_to(ROOT)), metric.name)
        for path in USERS
        for text in texts_in(path)
        for metric in METRICS
        if metric.name in text
    }
    assert len(USERS) > 100
    assert spelled == set()

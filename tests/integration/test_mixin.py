"""Results of the predecessor's dashboard and alert expressions, for 1,000 calls of 4 processes with 8 threads.

Its mixin publishes the alerts and the panels; the tests use the present and the earlier form of the panels.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs.predecessor_series import CALLS, PROCESSES, tokens
from tests.support.servers._program import RunningProgram
from tests.support.servers.prometheus import Prometheus, require_prometheus
from tests.support.servers.victoria_metrics import VictoriaMetrics, require_victoria_metrics

pytestmark = pytest.mark.once

PROMPT = sum(tokens(number)[0] for number in range(CALLS))
COMPLETION = sum(tokens(number)[1] for number in range(CALLS))
COST = (PROMPT * 30 + COMPLETION * 60) / 1e6
OF_JOB = '{job=~"integrations/openai"}'
"""What the dashboard narrows every expression to, once its variable is filled in; its range is 5 minutes here."""
BOUNDS = {
    "completionTokens": (20, 26),
    "promptTokens": (100, 149),
    "totalTokens": (120, 175),
    "requestDuration": (0, 5),
    "usageCost": (0.0042, 0.00603),
}
"""Between what the value of a single call is."""
AVERAGES = {
    "completionTokens": COMPLETION / CALLS,
    "promptTokens": PROMPT / CALLS,
    "totalTokens": (PROMPT + COMPLETION) / CALLS,
    "usageCost": COST / CALLS,
}
LAST_SAMPLES = {
    **{
        f"sum by (model) (openai_{name}{selector})": tuple(bound * PROCESSES for bound in BOUNDS[name])
        for name, selector in [
            ("completionTokens", ""),
            ("promptTokens", ""),
            ("totalTokens", ""),
            ("totalTokens", OF_JOB),
            ("usageCost", ""),
        ]
    },
    "max by (model) (openai_requestDuration)": BOUNDS["requestDuration"],
    **{f"avg by (job) (openai_{name}{OF_JOB})": bounds for name, bounds in BOUNDS.items()},
    f"avg by (job) (avg_over_time(openai_requestDuration{OF_JOB}[24h]))": BOUNDS["requestDuration"],
}
"""What is published, and between what its value is: all but the last read the last call of each process."""
INSTANCES_ADDED_UP = {
    f"{form} (avg_over_time(openai_{name}{OF_JOB}[5m]))": pytest.approx(PROCESSES * AVERAGES[name])
    for form, name in [
        ("sum by (job)", "totalTokens"),
        ("sum by (job)", "usageCost"),
        ("sum by (job)", "promptTokens"),
        ("sum", "completionTokens"),
    ]
}
"""Averages of the dashboard's earlier form, which adds up those of several series."""
EACH_PROCESS = {
    f"topk by (model) (5, count_over_time(openai_completionTokens{OF_JOB}[5m]))": (CALLS / PROCESSES,) * 2,
    f"openai_requestDuration{OF_JOB}": BOUNDS["requestDuration"],
    f"openai_totalTokens{OF_JOB}": BOUNDS["totalTokens"],
    f"openai_completionTokens{OF_JOB}": BOUNDS["completionTokens"],
    f"openai_promptTokens{OF_JOB}": BOUNDS["promptTokens"],
}
"""Panels that draw every series, of which each process has one."""
INTENDED = {
    f"sum by (job) (count_over_time(openai_promptTokens{OF_JOB}[5m]))": CALLS,
    f"topk(5, sum by (model) (count_over_time(openai_completionTokens{OF_JOB}[5m])))": CALLS,
    "sum by (model) (sum_over_time(openai_completionTokens[5m]))": COMPLETION,
    "sum by (model) (sum_over_time(openai_promptTokens[5m]))": PROMPT,
    "sum by (model) (sum_over_time(openai_totalTokens[5m]))": PROMPT + COMPLETION,
    "sum by (model) (sum_over_time(openai_usageCost[5m]))": pytest.approx(COST),
    **{
        f"sum by (job) (sum_over_time(openai_{name}{OF_JOB}[5m]))"
        f" / sum by (job) (count_over_time(openai_{name}{OF_JOB}[5m]))": pytest.approx(average)
        for name, average in AVERAGES.items()
    },
}
"""What shows the figure that is meant; the first is published."""


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VictoriaMetrics, Prometheus]]:
    """Both back ends after the workload."""
    with (
        VictoriaMetrics(require_victoria_metrics(), tmp_path_factory.mktemp("victoria")) as victoria,
        Prometheus(require_prometheus(), tmp_path_factory.mktemp("prometheus")) as prometheus,
    ):
        command = [
            sys.executable,
            "-m",
            "tests.support.programs.predecessor_series",
            victoria.influx_url,
            prometheus.write_url,
        ]
        processes = [
            subprocess.Popen(
                [*command, str(number)],
                cwd=Path(__file__).parents[2],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            for number in range(PROCESSES)
        ]
        ends = [process.communicate(timeout=100)[0].decode() for process in processes]
        assert [process.returncode for process in processes] == [0] * PROCESSES, ends
        assert ends == ["{}\n{}\n"] * PROCESSES
        victoria.settle("openai_promptTokens", CALLS)
        yield victoria, prometheus


@pytest.fixture(params=["influx to VictoriaMetrics", "remote write to Prometheus"])
def back_end(request: pytest.FixtureRequest, fed: tuple[VictoriaMetrics, Prometheus]) -> RunningProgram:
    victoria, prometheus = fed
    return victoria if request.param.startswith("influx") else prometheus


@pytest.mark.parametrize("expression", INTENDED)
def test_sums_over_samples_are_exact(back_end: RunningProgram, expression: str) -> None:
    assert back_end.value(expression, time.time() + 10) == INTENDED[expression]


@pytest.mark.parametrize("expression", LAST_SAMPLES)
def test_sums_of_last_samples_are_within_what_the_last_calls_say(back_end: RunningProgram, expression: str) -> None:
    least, most = LAST_SAMPLES[expression]
    shown = back_end.value(expression, time.time() + 10)
    assert shown is not None
    assert least * 0.999 <= shown <= most * 1.001


@pytest.mark.parametrize("expression", INSTANCES_ADDED_UP)
def test_sums_of_averages_are_so_many_times_the_average_as_there_are_processes(
    back_end: RunningProgram, expression: str
) -> None:
    assert back_end.value(expression, time.time() + 10) == INSTANCES_ADDED_UP[expression]


@pytest.mark.parametrize("expression", EACH_PROCESS)
def test_panels_of_every_series_show_one_for_each_process(back_end: RunningProgram, expression: str) -> None:
    least, most = EACH_PROCESS[expression]
    shown = back_end.query(expression, time.time() + 10)
    assert len(shown) == PROCESSES
    assert all(least <= value <= most for _, value in shown)
    names = {tuple(sorted(set(labels) - {"__name__"})) for labels, _ in shown}
    assert names == {("environment", "instance", "job", "model", "source")}


def test_the_longest_call_is_the_longest_of_all_its_samples(back_end: RunningProgram) -> None:
    at = time.time() + 10
    longest = back_end.value("max(max_over_time(openai_requestDuration[5m]))", at)
    last = back_end.value("max(openai_requestDuration)", at)
    assert longest is not None
    assert last is not None
    assert longest >= last > 0

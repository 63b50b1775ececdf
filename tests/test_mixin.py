"""What the expressions of the predecessor's dashboard and alerts show, for 1,000 calls of 4 processes with 8 threads.

The alerts are those that its mixin publishes; of the dashboard, the expressions that are known of it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs.predecessor_series import CALLS, PROCESSES, tokens
from tests.servers._program import RunningProgram
from tests.servers.prometheus import Prometheus, require_prometheus
from tests.servers.victoria_metrics import VictoriaMetrics, require_victoria_metrics

PROMPT = sum(tokens(number)[0] for number in range(CALLS))
COMPLETION = sum(tokens(number)[1] for number in range(CALLS))
COST = (PROMPT * 30 + COMPLETION * 60) / 1e6
LAST_SAMPLES = {
    "sum by (model) (openai_completionTokens)": (20 * PROCESSES, 26 * PROCESSES),
    "sum by (model) (openai_promptTokens)": (100 * PROCESSES, 149 * PROCESSES),
    "sum by (model) (openai_totalTokens)": (120 * PROCESSES, 175 * PROCESSES),
    "max by (model) (openai_requestDuration)": (0, 5),
    "sum by (model) (openai_usageCost)": (0.0042 * PROCESSES, 0.00603 * PROCESSES),
    "avg(openai_usageCost)": (0.0042, 0.00603),
}
"""What is published, and between what its value is: it reads the last call of each process."""
INTENDED = {
    "sum(count_over_time(openai_promptTokens[5m]))": CALLS,
    "sum by (model) (sum_over_time(openai_completionTokens[5m]))": COMPLETION,
    "sum by (model) (sum_over_time(openai_promptTokens[5m]))": PROMPT,
    "sum by (model) (sum_over_time(openai_totalTokens[5m]))": PROMPT + COMPLETION,
    "sum by (model) (sum_over_time(openai_usageCost[5m]))": pytest.approx(COST),
    "sum(sum_over_time(openai_usageCost[5m])) / sum(count_over_time(openai_usageCost[5m]))": pytest.approx(
        COST / CALLS
    ),
}
"""What shows the figure that is meant."""


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VictoriaMetrics, Prometheus]]:
    """Both back ends after the workload."""
    with (
        VictoriaMetrics(require_victoria_metrics(), tmp_path_factory.mktemp("victoria")) as victoria,
        Prometheus(require_prometheus(), tmp_path_factory.mktemp("prometheus")) as prometheus,
    ):
        command = [sys.executable, "-m", "tests.programs.predecessor_series", victoria.influx_url, prometheus.write_url]
        processes = [
            subprocess.Popen(
                [*command, str(number)],
                cwd=Path(__file__).parent.parent,
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


def test_each_call_is_counted_in_the_series_of_its_process(back_end: RunningProgram) -> None:
    shown = back_end.query("count_over_time(openai_promptTokens[5m])", time.time() + 10)
    assert [value for _, value in shown] == [CALLS / PROCESSES] * PROCESSES
    assert {tuple(sorted(labels)) for labels, _ in shown} == {("environment", "instance", "job", "model", "source")}


def test_the_longest_call_is_the_longest_of_all_its_samples(back_end: RunningProgram) -> None:
    at = time.time() + 10
    longest = back_end.value("max(max_over_time(openai_requestDuration[5m]))", at)
    last = back_end.value("max(openai_requestDuration)", at)
    assert longest is not None
    assert last is not None
    assert longest >= last > 0

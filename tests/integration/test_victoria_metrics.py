"""Our lines in a real VictoriaMetrics. It replies 204 even if it ignores a line, so the tests query it afterwards."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from monitored_openai._exporter.encoders import influx
from tests.support.handles import ask, handle, in_process
from tests.support.servers.victoria_metrics import VictoriaMetrics, require_victoria_metrics

pytestmark = pytest.mark.once

SPECIAL = "\\\\\\,,== \n\r\t\"'ab\u00e9\u6a21\x00{}#"
WORDS = [
    "gpt 4",
    "a,b=c",
    "a\\",
    "\\",
    "a\\,b",
    "x\nopenai,model=y promptTokens=9 1",
    '"a b"',
    "C:\\models\\llama",
    "# a",
]
LINES = 2000


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictoriaMetrics]:
    with VictoriaMetrics(require_victoria_metrics(), tmp_path_factory.mktemp("victoria")) as running:
        yield running


def test_each_of_many_hostile_labels_is_a_series_of_its_own_with_its_own_value(victoria: VictoriaMetrics) -> None:
    drawn = random.Random(7)
    values = dict.fromkeys(WORDS) | {
        "".join(drawn.choices(SPECIAL, k=drawn.randint(1, 12))): None for _ in range(LINES - len(WORDS))
    }
    now = time.time_ns() // 1_000_000
    wanted = {value: float(number) for number, value in enumerate(values)}
    body = influx.encode_push(
        influx.encode_series(influx.encode_labels("openai_fuzz", [("model", value), ("job", "j")]), [(number, now)])
        for value, number in wanted.items()
    )

    assert victoria.post("/write", body, influx.HEADERS) == 204
    victoria.settle('{__name__=~"openai_.*"}', len(wanted))

    found = victoria.export('{__name__=~"openai_.*"}')
    assert {metric["__name__"] for metric, _ in found} == {"openai_fuzz"}
    assert {tuple(metric) for metric, _ in found} <= {("__name__", "job", "model"), ("__name__", "model", "job")}
    assert sorted(value for _, points in found for _, value in points) == sorted(wanted.values())
    by_model = {metric["model"]: points for metric, points in found}
    assert by_model["gpt 4"] == [(now, wanted["gpt 4"])]
    assert by_model["C:\\models\\llama"] == [(now, wanted["C:\\models\\llama"])]
    assert {len(points) for points in by_model.values()} == {1}


def test_totals_that_are_pushed_by_influx_are_exact(victoria: VictoriaMetrics) -> None:
    settings = {"metrics_url": victoria.influx_url, "metrics_protocol": "influx", "push_interval": 60}
    with handle(**settings, environment="exact") as monitoring:
        with in_process(monitoring) as client:
            for _ in range(3):
                ask(client)
        assert monitoring.flush(10).pushed
        victoria.settle('gen_ai_client_tokens_total{environment="exact"}', 4)

        at = time.time() + 10  # else it may look from a moment before the points
        assert victoria.value('sum(gen_ai_client_tokens_total{environment="exact"})', at) == 3 * 7

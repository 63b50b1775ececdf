"""The real `grafana-openai-monitoring` from PyPI and our package, for the same calls; `make test-all` runs it."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from monitored_openai.compat import chat_v1, chat_v2
from tests.support.servers._faults import BackEnd
from tests.support.servers._steps import Request, whole
from tests.support.servers.influx import read_lines
from tests.support.servers.loki import FakeLoki
from tests.support.servers.openai_api import Behaviour, OpenAIServer

ELSEWHERE = "the predecessor is installed in its own session only"
their_v1 = pytest.importorskip("grafana_openai_monitoring.chat_v1", reason=ELSEWHERE)
their_v2 = pytest.importorskip("grafana_openai_monitoring.chat_v2", reason=ELSEWHERE)

CHAT_MODELS = ["gpt-4", "gpt-4-32k", "gpt-4-1106-preview", "gpt-3.5-turbo", "gpt-3.5-turbo-16k", "gpt-4o", "my-model"]
LEGACY_MODELS = ["davinci-002", "babbage-002", "gpt-3.5-turbo-instruct"]
PRICED_RIGHT = {"gpt-4", "gpt-4-32k", "gpt-4-1106-preview", "gpt-3.5-turbo-16k", "davinci-002", "babbage-002"} | {
    "gpt-3.5-turbo-instruct"
}
"""Of its table; the others it prices as nothing, or as they once were."""
OUR_OWN = {"instance"}
"""The label that ours have more."""

Point = tuple[str, frozenset[tuple[str, str]]]


class Lines(BackEnd):
    """Takes lines of both kinds: without a time and plain, or with one and gzipped."""

    def __init__(self) -> None:
        super().__init__()
        self.points: dict[Point, list[float]] = {}

    async def take(self, request: Request) -> bytes:
        body = request.body
        if request.headers.get("content-encoding") != "gzip":
            text = body.decode().rstrip("\n")
            body = gzip.compress("".join(f"{line} 1764000000000000000\n" for line in text.split("\n")).encode())
        for series in read_lines(body):
            labels = dict(series.labels)
            name = labels.pop("__name__")
            if name.startswith("openai_") and "source" in labels:
                known = frozenset((key, value) for key, value in labels.items() if key not in OUR_OWN)
                self.points.setdefault((name, known), []).extend(value for _, value in series.samples)
        return whole(204)


@contextmanager
def stack() -> Iterator[tuple[dict[str, Any], Lines, FakeLoki]]:
    with Lines() as lines, FakeLoki() as loki:
        given = {
            "metrics_url": f"{lines.url}/api/prom",
            "logs_url": loki.push_url,
            "metrics_username": "1",
            "logs_username": "2",
            "access_token": "glc_example",
        }
        yield given, lines, loki


def calls(api: OpenAIServer, v1: Any, v2: Any, given: dict[str, Any]) -> list[Any]:
    """The same calls, one after the other; the monitored methods."""
    with openai.OpenAI(base_url=api.base_url, api_key="sk-test", max_retries=0, timeout=20) as client:
        chat: Any = v2.monitor(client.chat.completions.create, **given)
        legacy: Any = v1.monitor(client.completions.create, **given)
        usage = {"prompt_tokens": 321, "completion_tokens": 123, "total_tokens": 444}
        plain = Behaviour(patch={"usage": usage}).header()  # no cached or audio tokens, of which theirs knows nothing
        for model in CHAT_MODELS:
            for text in ("What is Grafana?", "And what is Loki?"):
                chat(model=model, messages=[{"role": "user", "content": text}], extra_headers=plain)
        for model in LEGACY_MODELS:
            legacy(model=model, prompt="Isn't Grafana the best?")
        return [chat, legacy]


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[dict[Point, list[float]], dict[Point, list[float]]]]:
    """The points of theirs, and of ours."""
    with (
        pytest.MonkeyPatch.context() as patch,
        OpenAIServer() as api,
        stack() as (their_urls, their_lines, _),
        stack() as (our_urls, our_lines, _),
    ):
        patch.setenv("MONITORED_OPENAI_PROVIDER", "openai")  # whose prices count, as this host is nobody's
        calls(api, their_v1, their_v2, their_urls)
        [chat, _] = calls(api, chat_v1, chat_v2, our_urls)
        monitoring = chat.__self__._client.monitoring
        assert monitoring.flush(10).complete
        monitoring.close(0)
        yield their_lines.points, our_lines.points


def model_of(point: Point) -> str:
    return dict(point[1])["model"]


def test_the_same_series_with_the_same_labels(both: Any) -> None:
    their, our = both
    unpriced = {point for point in their if point[0] == "openai_usageCost"} - set(our)

    assert set(our) <= set(their)
    assert set(their) - set(our) == unpriced
    assert {model_of(point) for point in unpriced} == {"my-model"}  # no price is no zero


@pytest.mark.parametrize("name", ["promptTokens", "completionTokens", "totalTokens"])
def test_the_same_tokens(both: Any, name: str) -> None:
    their, our = both
    points = [point for point in their if point[0] == f"openai_{name}"]

    assert len(points) == len(CHAT_MODELS) + len(LEGACY_MODELS)
    assert {point: our[point] for point in points} == {point: their[point] for point in points}


def test_durations_in_the_same_range(both: Any) -> None:
    their, our = both
    for point in (point for point in their if point[0] == "openai_requestDuration"):
        for theirs_took, ours_took in zip(their[point], our[point], strict=True):
            assert 0 < ours_took < theirs_took + 10


def test_the_same_cost_where_its_table_is_right_and_another_elsewhere(both: Any) -> None:
    their, our = both
    wrong = set()
    for point in (point for point in their if point[0] == "openai_usageCost"):
        same = all(
            math.isclose(a, b, rel_tol=1e-9) for a, b in zip(their[point], our.get(point, [-1.0] * 2), strict=False)
        )
        if not same:
            wrong.add(model_of(point))

    assert not wrong & PRICED_RIGHT
    assert len(wrong) == len(CHAT_MODELS) + len(LEGACY_MODELS) - len(PRICED_RIGHT)

"""Numbers that LogQL makes of the log, while Loki counts an entry twice that was sent twice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

import pytest
from openai import RateLimitError

from tests.support.grafana import filled
from tests.support.handles import MANUAL, ask, client, settled
from tests.support.logql import faults_of
from tests.support.logql_values import Vector, is_metric, value
from tests.support.servers.loki import FakeLoki, LoseAnswer
from tests.support.servers.openai_api import Behaviour, OpenAIServer

ROOT = Path(__file__).parents[2]
LIMIT = "Loki counts an entry twice if a reply was lost and the library sent the entry again"
"""In the description of each panel whose numbers would be too high then."""
VARIABLES = {
    "environment": ".*",
    "service": ".*",
    "model": ".*",
    "error": ".*",
    "job": "integrations/openai",
    "search": "",
    "trace": "",
    "request": "",
    "__range": "1h",
    "__interval": "1h",
}
CALLS, LONG = 12, 5


def of_panels() -> Iterator[tuple[str, str, str]]:
    """Title, description and expression of each panel that shows numbers from the log."""
    for file in sorted(files("monitored_openai").joinpath("dashboards").iterdir(), key=lambda file: file.name):
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", ()):
                if target["datasource"]["type"] == "loki" and is_metric(target["expr"]):
                    yield panel["title"], panel["description"], filled(target["expr"], VARIABLES)


def of_docs() -> Iterator[str]:
    """Each expression in the docs that makes numbers of the log."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "deploy").rglob("*.md"))):
        for block in re.findall(r"```\w*\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            if re.search(r"_over_time\(\{.*\|", block):
                yield block.strip()


PANELS, DOCS = list(of_panels()), list(of_docs())


@pytest.fixture(scope="module")
def loki() -> Iterator[FakeLoki]:
    """One that has taken each entry, lost its reply, and taken it again."""
    with FakeLoki(block_bytes=0) as loki, OpenAIServer() as server:
        loki.fail_next(LoseAnswer())
        with client(server.base_url, logs_url=loki.push_url, provider="openai", **MANUAL) as asked:
            for behaviour, calls in ((Behaviour(), CALLS), (Behaviour(finish_reason="length"), LONG)):
                for _ in range(calls):
                    ask(asked, extra_headers=behaviour.header())
            with pytest.raises(RateLimitError):
                ask(asked, extra_headers=Behaviour(status=429).header())
            settled(asked.monitoring)
        assert (len(loki.entries), len(loki.samples)) == (CALLS + LONG + 1, 2 * (CALLS + LONG + 1))
        yield loki


def close(one: Vector, other: Mapping[frozenset[tuple[str, str]], float]) -> bool:
    return one.keys() == other.keys() and all(one[key] == pytest.approx(other[key]) for key in one)


@pytest.mark.parametrize(("title", "says", "expression"), PANELS, ids=[title for title, *_ in PANELS])
def test_a_panel_counts_each_call_once_or_states_its_limit(
    loki: FakeLoki, title: str, says: str, expression: str
) -> None:
    once, as_counted = value(expression, loki.entries), value(expression, loki.samples)

    assert once, title
    if LIMIT in says:
        assert close(as_counted, {labels: 2 * number for labels, number in once.items()})  # no more than sent again
    else:
        assert close(as_counted, once)


@pytest.mark.parametrize("expression", DOCS)
def test_a_documented_query_counts_each_call_once(loki: FakeLoki, expression: str) -> None:
    assert (
        value(expression, loki.samples)
        == value(expression, loki.entries)
        == {frozenset({("model", "gpt-4o-2024-08-06")}): LONG}
    )


def test_the_panels_and_the_documented_queries_are_found() -> None:
    assert len(PANELS) >= 6
    assert len(DOCS) >= 1


def test_the_documented_queries_are_of_the_published_grammar() -> None:
    assert faults_of(DOCS) == {}

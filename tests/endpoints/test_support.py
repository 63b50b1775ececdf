"""The table of endpoints against the installed SDK: each method that posts is in one of its two parts."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from monitored_openai import MonitoredOpenAI, MonitoringSettings
from monitored_openai._endpoints.registry import ENDPOINTS, endpoint_of
from scripts.endpoint_support import LEFT_OUT, NOT_POSTED, OBSERVED
from tests.support.servers.openai_api import OpenAIServer

ROOT = Path(__file__).parents[2]
RESOURCES = Path(openai.__file__).parent / "resources"
TESTED = ("1.92", "2.54", "3.57")
SEEN = {method: row for row in OBSERVED for method in row.methods.split()}
NOT_SEEN = [method for row in LEFT_OUT for method in row.methods.split()]


def posts_in(source: str) -> Iterator[tuple[str, str]]:
    """Method and path of everything that posts, with `{}` for each part of a path that differs."""
    for made in ast.parse(source).body:
        if isinstance(made, ast.ClassDef) and not made.name.startswith("Async"):
            for method in made.body:
                if isinstance(method, ast.FunctionDef):
                    yield from ((method.name, path) for call in ast.walk(method) if (path := _posted(call)))


def _posted(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
        return None
    method = next((key.value for key in node.keywords if key.arg == "method"), None)
    lists = node.func.attr == "_get_api_list" and isinstance(method, ast.Constant) and method.value == "post"
    return _path(node.args[0]) if lists or node.func.attr in ("_post", "post") else None


def _path(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return re.sub(r"\{[^}]*\}", "{}", str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    assert isinstance(node, ast.Call), "a path that the walk cannot read"
    return _path(node.args[0])


def resources() -> Iterator[tuple[str, str]]:
    """The name and the source of each of the installed SDK's resources."""
    for file in RESOURCES.rglob("*.py"):
        parts = file.relative_to(RESOURCES).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-2:-1] == parts[-1:] else parts), file.read_text()


def posting() -> dict[str, str]:
    """The path that each method of the installed SDK's resources posts to."""
    return {f"{name}.{method}": path for name, source in resources() for method, path in posts_in(source)}


POSTING = posting()


def is_left_out(method: str) -> bool:
    return any(method == name or (name.endswith(".*") and method.startswith(name[:-1])) for name in NOT_SEEN)


def test_the_walk_finds_what_it_looks_for() -> None:
    assert POSTING["chat.completions.create"] == "/chat/completions"
    assert POSTING["beta.threads.runs.cancel"] == "/threads/{}/runs/{}/cancel"
    assert len(POSTING) > 50


@pytest.mark.parametrize("method", sorted(POSTING))
def test_what_posts_is_seen_or_left_out_on_purpose(method: str) -> None:
    family = endpoint_of("post", POSTING[method].replace("{}", "x"))
    base = method.replace(".parse", ".create")
    assert (base in SEEN) != is_left_out(method), "in neither part of the table, or in both"
    if base in SEEN:
        assert family in SEEN[base].families
    else:
        assert family is None


def test_what_connects_a_websocket_is_said_to_be_left_out() -> None:
    connecting = {f"{name}.connect" for name, source in resources() if "    def connect(" in source}
    assert connecting <= {method for row in NOT_POSTED for method in row.methods.split()}


def test_the_table_names_only_methods_that_there_are_and_all_families() -> None:
    version = ".".join(openai.__version__.split(".")[:2])
    if version == TESTED[-1]:
        client = openai.OpenAI(api_key="sk-test")
        for method in (*SEEN, *(name for name in NOT_SEEN if not name.endswith(".*"))):
            target: object = client
            for part in method.split("."):
                target = getattr(target, part)
    assert {family for row in OBSERVED for family in row.families} == set(ENDPOINTS)
    assert all(family.operation == row.operation for row in OBSERVED for family in row.families)
    assert {row.since for row in OBSERVED} <= set(TESTED)


@pytest.mark.skipif(".".join(openai.__version__.split(".")[:2]) not in TESTED, reason="not one of the three SDKs")
def test_since_when_a_method_is_there_is_true_of_this_sdk() -> None:
    now = TESTED.index(".".join(openai.__version__.split(".")[:2]))
    posted = {method for method, row in SEEN.items() if any(family.method == "post" for family in row.families)}
    looks = {"beta.threads.runs.retrieve"}
    for method in posted - looks:
        assert (method in POSTING) == (TESTED.index(SEEN[method].since) <= now), method


@pytest.mark.once
def test_the_page_is_up_to_date() -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "endpoints_table.py", "--check"], check=True, timeout=60)
    assert all(
        method in (ROOT / "docs" / "endpoints.md").read_text() for row in NOT_POSTED for method in row.methods.split()
    )


def test_the_modules_own_client_can_be_a_monitored_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer() as server:
        client = MonitoredOpenAI(
            base_url=server.base_url, api_key="sk-test", monitoring=MonitoringSettings(job="module")
        )
        monkeypatch.setattr(openai, "_client", client)
        before = client.monitoring.stats().calls
        answer = openai.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Why?"}])
        assert answer.choices[0].message.content
        assert client.monitoring.stats().calls - before == 1
        client.close()
        client.monitoring.close()

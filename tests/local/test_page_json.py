"""JSON in an opened call: a tree of collapsible parts, in a real headless Chromium."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.chromium import Chromium, Tab
from tests.support.local_page import CALL, Page

pytestmark = pytest.mark.once

BIG = 12345678901234567890
TREE = "document.querySelector('{} .json')"
TREES = "[...document.querySelector('{} .json').querySelectorAll('details')].map(one => [one.querySelector('summary').innerText, one.open])"
ENTRY = "document.querySelector('.raw').open = true"


def opened(browser: Chromium, page: Page, **more: Any) -> Tab:
    """The page with one opened call."""
    page.log({**CALL, **more})
    tab = browser.tab(page.server.url)
    tab.wait_for("document.querySelector('.call') !== null")
    tab.ask("document.querySelector('.call').click()")
    tab.wait_for("document.querySelector('.facts') !== null")
    return tab


def answer(content: str) -> Any:
    return {"choices": [{"message": {"role": "assistant", "content": content}}]}


def test_a_structured_answer_is_a_tree_and_a_text(browser: Chromium, page: Page) -> None:
    text = json.dumps({"order": {"id": BIG, "paid": True, "note": None}, "items": [], "tags": ["a", "<b>"]})
    with opened(browser, page, response=answer(text)) as tab:
        assert tab.ask(TREES.format(".answered")) == [
            ["{3 fields}", True],
            ["order: {3 fields}", True],
            ["tags: [2 items]", True],
        ]
        shown = tab.ask(f"{TREE.format('.answered')}.innerText")
        for leaf in (f"id: {BIG}", "paid: true", "note: null", "items: []", '0: "a"', '1: "<b>"'):
            assert leaf in shown
        tab.ask("[...document.querySelectorAll('.answered button')].at(-1).click()")
        assert tab.ask(f"{TREE.format('.answered')}.hidden")
        assert tab.ask("document.querySelector('.answered .text').textContent") == json.dumps(
            json.loads(text), indent=2
        )
        assert tab.complaints() == []


def test_parts_are_built_when_they_open(browser: Chromium, page: Page) -> None:
    vector = [number / 7 for number in range(3072)]
    response = {"data": [{"embedding": vector}], "text": "x" * 5000}
    with opened(browser, page, response=response) as tab:
        tab.ask(ENTRY)
        tab.wait_for(f"{TREE.format('.raw')} !== null")
        assert tab.ask("document.querySelectorAll('.raw *').length") < 100
        for name in ("response: ", "data: ", "0: ", "embedding: "):
            tab.ask(
                f"[...document.querySelectorAll('.raw summary')].find(one => one.innerText.startsWith({name!r})).focus()"
            )
            tab.press("Enter", text="\r")
            tab.wait_for("document.activeElement.parentElement.children.length === 2")
        leaves = "document.activeElement.nextElementSibling.children.length"
        assert tab.ask(leaves) == 101
        tab.ask("[...document.querySelectorAll('.raw button')].find(one => one.innerText.includes('2,972')).click()")
        assert tab.ask(leaves) == 201
        tab.ask("[...document.querySelectorAll('.raw button')].find(one => one.innerText.includes('5,000')).click()")
        strings = "[...document.querySelectorAll('.raw .string')].map(one => one.textContent).join('')"
        assert '"' + "x" * 5000 + '"' in tab.ask(strings)


def test_tools_and_parameters_are_collapsible(browser: Chromium, page: Page) -> None:
    properties = {f"p{number}": {"type": "string"} for number in range(9)}
    function = {
        "name": "weather",
        "description": "Of a city",
        "parameters": {"type": "object", "properties": properties},
    }
    request = {
        **CALL["request"],  # type: ignore[dict-item]  # a mapping
        "seed": BIG,
        "tools": [{"type": "function", "function": function}],
        "reasoning": {"effort": "low"},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"properties": properties}}},
    }
    with opened(browser, page, request=request) as tab:
        facts = tab.ask("document.querySelector('.facts').innerText")
        assert "Of a city" in facts
        assert f"seed\n{BIG}" in facts
        assert 'effort: "low"' in facts  # small
        assert '"json_schema"' not in facts  # large, and closed
        closed = "[...document.querySelectorAll('.facts summary')].find(one => one.innerText.includes('{2 fields}') && !one.parentElement.open)"
        tab.ask(f"{closed}.click()")
        tab.wait_for("document.querySelector('.facts').innerText.includes('json_schema:')")


HOSTILE = "<img src=x onerror='window.hacked = 1'>"


def test_hostile_json_is_text(browser: Chromium, page: Page) -> None:
    deep: Any = HOSTILE
    for _ in range(60):
        deep = {HOSTILE: deep}
    text = '{"__proto__": {"x": 1}, "constructor": "\u202e", "a": "\\u001b[2J", "deep": ' + json.dumps(deep) + "}"
    with opened(browser, page, response=answer(text)) as tab:
        for _ in range(20):
            tab.ask("document.querySelectorAll('.answered details').forEach(one => (one.open = true))")
            tab.wait_for(
                "[...document.querySelectorAll('.answered details')].every(one => !one.open || one.children.length === 2)"
            )
        shown = tab.ask(f"{TREE.format('.answered')}.textContent")
        assert "__proto__: {1 field}" in shown
        assert "<U+202E>" in shown
        assert "␛[2J" in shown
        assert shown.count(HOSTILE) > 10
        assert tab.ask("[window.hacked, document.querySelectorAll('img').length, {}.x]") == [None, 0, None]
        assert tab.complaints() == []


def test_the_log_entry_at_its_largest_opens_at_once(browser: Chromium, page: Page) -> None:
    response = answer(json.dumps([{"n": number, "t": "word"} for number in range(5000)]))
    with opened(browser, page, response=response) as tab:
        took = "(() => { const started = performance.now(); PLACE.open = true; return performance.now() - started; })()"
        assert tab.ask(took.replace("PLACE", "document.querySelector('.raw')")) < 1000
        tab.wait_for(f"{TREE.format('.raw')} !== null")
        assert tab.ask("document.querySelectorAll('.opened *').length") < 2000

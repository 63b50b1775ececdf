"""The charts and the table of groups in a real headless Chromium."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitored_openai._log_entry import log_entry
from tests.support.chromium import Chromium, Tab
from tests.support.local_page import Page, metrics_of, open_browser, open_page
from tests.support.records import full_record

pytestmark = pytest.mark.once

CHART = "[...document.querySelectorAll('.chart')].find(one => one.textContent.startsWith({!r}))"
TIP = CHART + ".querySelectorAll('.tip:not([hidden]) li')"
TOGGLE = "[...document.querySelectorAll('#key button')].find(one => one.textContent === {!r})"
PRESSED = "[...document.querySelectorAll('#key button')].map(one => one.textContent + one.ariaPressed).join()"
CALLS = "document.querySelector('.tile:nth-child(2) dd')?.textContent"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    yield from open_browser()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    yield from open_page(tmp_path / "history.sqlite3")


def push(page: Page, instance: str = "one", **numbers: int) -> None:
    """Count so many calls of each model."""
    records = [full_record(request_model=model) for model, number in numbers.items() for _ in range(number)]
    page.push_process(metrics_of(*records), instance)


def point(tab: Tab, chart: str) -> list[str]:
    """Move to the last step with values by keyboard; the rows of the chart's tip."""
    tab.ask(f"{CHART.format(chart)}.querySelector('.area').focus()")
    tab.press("Escape")
    for _ in range(5):  # a new step may have begun since the push
        tab.press("ArrowLeft")
        tab.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
        if rows := tab.ask(f"[...{TIP.format(chart)}].map(row => row.textContent)"):
            return list(rows)
    raise AssertionError("no step has values")


def test_the_total_of_a_step_includes_hidden_lines_as_the_heading_does(browser: Chromium, page: Page) -> None:
    push(page, a=5, b=3, c=2)
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{CALLS} === '10'")
        assert point(tab, "Calls") == ["a5", "b3", "c2", "total10"]
        tab.ask(f"({TOGGLE.format('b')}.click(), {TOGGLE.format('c')}.click())")
        assert point(tab, "Calls") == ["a5", "2 hidden lines5", "total10"]
        assert tab.ask(f"{CHART.format('Calls')}.querySelector('.total').textContent") == "10"
        tab.ask(f"{TOGGLE.format('a')}.click()")
        assert point(tab, "Calls") == ["3 hidden lines10", "total10"]
        blank = f"getComputedStyle({CHART.format('Calls')}.querySelector('.area'), '::after').content"
        assert tab.ask(blank) == '"all lines with values are hidden"'


def test_hidden_lines_stay_hidden_after_a_reload(browser: Chromium, page: Page) -> None:
    push(page, a=2, **{"b&hide=c": 1})
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{PRESSED} === 'atrue,b&hide=ctrue'")
        tab.ask(f"{TOGGLE.format('b&hide=c')}.click()")
        tab.send("Page.reload")
        tab.wait_for(f"{PRESSED} === 'atrue,b&hide=cfalse'")
        tab.ask(f"{TOGGLE.format('b&hide=c')}.click()")
        assert "hide" not in tab.ask("location.hash")


def test_a_toggle_keeps_the_focus_while_data_arrives(browser: Chromium, page: Page) -> None:
    push(page, a=2, b=1)
    focused = "document.activeElement.textContent + document.activeElement.ariaPressed"
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{PRESSED} === 'atrue,btrue'")
        tab.ask(f"{TOGGLE.format('b')}.focus()")
        tab.press(" ", text=" ")
        tab.wait_for(f"{focused} === 'bfalse'")
        push(page, "two", a=4)
        tab.wait_for(f"{CALLS} === '7'")
        assert tab.ask(focused) == "bfalse"
        push(page, "three", c=9)  # another line
        tab.wait_for(f"{PRESSED} === 'ctrue,atrue,bfalse'")
        assert tab.ask(focused) == "bfalse"


def test_estimated_percentiles_are_marked_in_the_table_and_in_the_charts(browser: Chromium, page: Page) -> None:
    stored, lost = full_record(id="s"), full_record(id="l", request_model="lost")
    page.push_process(metrics_of(stored, lost), "p")
    page.log(json.loads(log_entry(stored, redact=None, max_bytes=10**5).line))
    cells = "Object.fromEntries([...document.querySelectorAll('#groups tbody tr')].map(row => [row.children[0].textContent, row.children[6].textContent]))"
    with browser.tab(page.server.url) as tab:
        tab.wait_for("document.querySelectorAll('#groups tbody tr').length === 2")
        marks = tab.ask(cells)
        assert marks["gpt-4o"] == "0.50 s"
        assert marks["lost"].startswith("≈ ")
        assert not tab.ask("document.querySelector('#estimates').hidden")
        chart = CHART.format("Whole answer")
        heading = tab.ask(f"{chart}.querySelector('figcaption').innerText")
        assert "lines estimated from buckets" in heading
        assert "p95 ≈ " in heading
        assert "estimated from buckets" in tab.ask(f"{chart}.querySelector('.area').ariaLabel")
        assert all("≈" in row for row in point(tab, "Whole answer"))

        page.log(json.loads(log_entry(lost, redact=None, max_bytes=10**5).line))
        tab.wait_for(f"({cells}).lost === '0.50 s'")
        assert tab.ask("document.querySelector('#estimates').hidden")
        assert "≈" not in tab.ask(f"{chart}.querySelector('.total').textContent")

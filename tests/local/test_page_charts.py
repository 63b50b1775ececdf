"""The charts and the table of groups in a real headless Chromium."""

from __future__ import annotations

import json
import time

import pytest

from monitored_openai._log_entry import log_entry
from tests.support.chromium import Chromium, Tab
from tests.support.local_page import Page, metrics_of
from tests.support.records import full_record

pytestmark = pytest.mark.once

CHART = "[...document.querySelectorAll('.chart')].find(one => one.textContent.startsWith({!r}))"
TIP = CHART + ".querySelectorAll('.tip:not([hidden]) li')"
TOGGLE = "[...document.querySelectorAll('#key button')].find(one => one.textContent === {!r})"
PRESSED = "[...document.querySelectorAll('#key button')].map(one => one.textContent + one.ariaPressed).join()"
COUNTER = "gen_ai_client_operation_duration_seconds_count"
CALLS = "document.querySelector('.tile:nth-child(2) dd')?.textContent"


def push(page: Page, numbers: dict[str, int], instance: str = "one") -> None:
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
    push(page, {"a": 5, "b": 3, "c": 2})
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
    push(page, {"a": 2, "b&hide=c": 1})
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{PRESSED} === 'atrue,b&hide=ctrue'")
        tab.ask(f"{TOGGLE.format('b&hide=c')}.click()")
        tab.send("Page.reload")
        tab.wait_for(f"{PRESSED} === 'atrue,b&hide=cfalse'")
        tab.ask(f"{TOGGLE.format('b&hide=c')}.click()")
        assert "hide" not in tab.ask("location.hash")


def test_a_toggle_keeps_the_focus_while_data_arrives(browser: Chromium, page: Page) -> None:
    push(page, {"a": 2, "b": 1})
    focused = "document.activeElement.textContent + document.activeElement.ariaPressed"
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{PRESSED} === 'atrue,btrue'")
        tab.ask(f"{TOGGLE.format('b')}.focus()")
        tab.press(" ", text=" ")
        tab.wait_for(f"{focused} === 'bfalse'")
        push(page, {"a": 4}, "two")
        tab.wait_for(f"{CALLS} === '7'")
        assert tab.ask(focused) == "bfalse"
        push(page, {"c": 9}, "three")  # another line
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


@pytest.mark.parametrize(
    ("ago", "length", "rows"),
    [(1800, 600, ["now5", "before6"]), (6000, 2400, ["now5", "before, mean of 2 min3"])],
)
def test_a_dashed_line_shows_the_period_before(
    browser: Chromium, page: Page, ago: int, length: int, rows: list[str]
) -> None:
    start = (int(time.time()) - ago) // 120 * 120
    for name, at, number in (
        ("old", start - 2 * length, 1.0),
        ("was", start - 3, 6.0),
        ("now", start + length - 3, 5.0),
    ):
        page.push([(COUNTER, {"gen_ai_request_model": name, "instance": name}, number)], at_ms=at * 1000)
    with browser.tab(f"{page.server.url}/#from={start}&to={start + length}") as tab:
        label = f"{CHART.format('Calls')}?.querySelector('.area').ariaLabel"
        tab.wait_for(f"{label} === 'Calls: 5 in all; dashed: the period before'")
        assert point(tab, "Calls") == rows

        tab.ask("document.querySelector('#compare').click()")
        tab.wait_for(f"{label} === 'Calls: 5 in all'")
        assert point(tab, "Calls") == rows[:1]
        assert tab.ask("document.querySelector('.tile:nth-child(2) .before').textContent") == ""
        tab.send("Page.reload")
        tab.wait_for(f"{label} === 'Calls: 5 in all' && !document.querySelector('#compare').checked")
        assert tab.complaints() == []


def test_buttons_move_the_range_and_widen_it(browser: Chromium, page: Page) -> None:
    push(page, {"a": 1})
    start = (int(time.time()) - 7200) // 120 * 120
    moved = "Object.fromEntries(new URLSearchParams(location.hash.slice(1)))"
    names = "[...document.querySelectorAll('#shifts button')].map(one => one.ariaLabel + ' ' + one.ariaDisabled)"
    with browser.tab(f"{page.server.url}/#from={start}&to={start + 3600}") as tab:
        tab.wait_for("document.querySelector('#earlier')?.ariaLabel === 'Earlier by 1 h'")
        for key, shift in (("earlier", -3600), ("wider", -5400), ("earlier", -12600), ("later", -5400)):
            tab.ask(f"document.querySelector('#{key}').focus()")
            tab.press("Enter", text="\r")
            tab.wait_for(f"{moved}.from === '{start + shift}'")
            assert tab.ask("document.activeElement.id") == key
        tab.ask("document.querySelector('#ranges input').click()")  # 15 min, live
        tab.wait_for(f"{names}.join() === 'Earlier by 15 min false,Later by 15 min true,Twice as long false'")
        tab.ask("document.querySelector('#earlier').click()")
        tab.wait_for(
            "!document.querySelector('#zoomed').hidden && document.querySelector('#later').ariaDisabled === 'false'"
        )
        tab.ask("document.querySelector('#later').click()")
        tab.wait_for("document.querySelector('#zoomed').hidden")  # live again
        assert tab.complaints() == []


DAY = 86_400


def test_a_range_stays_within_the_history(browser: Chromium, page: Page) -> None:
    now = 100 * DAY
    first = now - 32 * DAY + 3 * 3600
    cases = {
        (now - DAY, now): ((now - 2 * DAY, now - DAY), None, (now - 2 * DAY, now)),
        (now - 3 * DAY, now - DAY): ((now - 5 * DAY, now - 3 * DAY), (now - 2 * DAY, now), (now - 4 * DAY, now)),
        (first + 60, first + 660): ((first, first + 600), (first + 660, first + 1260), (first, first + 960)),
        (first, now): (None, None, None),
        (first + DAY, now): ((5_965_763, 8_633_363), None, None),
    }
    with browser.tab(page.server.url) as tab:
        for (start, end), expected in cases.items():
            asked = f"import('./shifts.js').then(one => one.shifts({{from: {start}, to: {end}}}, {now}))"
            found = tab.ask(asked)
            pairs = [found[name] and (found[name]["from"], found[name]["to"]) for name in ("earlier", "later", "wider")]
            assert tuple(pairs) == expected


@pytest.mark.parametrize("length", [60, 3600, 5 * DAY, 16 * DAY, 30 * DAY])
def test_the_server_has_each_range_that_the_buttons_reach(browser: Chromium, page: Page, length: int) -> None:
    with browser.tab(page.server.url) as tab:
        found = {"from": int(time.time()) - length, "to": int(time.time())}
        for name in ("earlier", "wider") * 6:
            asked = f"import('./shifts.js').then(one => one.shifts({json.dumps(found)}, {time.time()})['{name}'])"
            found = tab.ask(asked) or found
            assert page.get("/api/overview", **found).status_code == 200

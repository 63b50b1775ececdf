"""The local page shows no unknown number, only calls of the chosen range, and its own errors."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitored_openai._local.history import History
from monitored_openai._local.server import LocalServer
from monitored_openai._log_entry import log_entry
from tests.support.chromium import Chromium, Tab
from tests.support.local_page import CALL, Page, metrics_of
from tests.support.records import COST, full_record, record

pytestmark = pytest.mark.once

NONE = "\N{EN DASH}"
HOUR_NS = 3600 * 10**9
LISTED = "document.querySelectorAll('#list > li').length"
IDS = "[...document.querySelectorAll('#list > li')].map(item => item.dataset.id)"
TILES = "Object.fromEntries([...document.querySelectorAll('.tile')].map(one => [...one.children].slice(0, 2).map(part => part.textContent)))"
MORE = "Object.fromEntries([...document.querySelectorAll('.tile')].map(one => [one.children[0].textContent, one.children[2].textContent]))"
ROWS = "[...document.querySelectorAll('#groups tbody tr')].map(row => [...row.children].map(cell => cell.textContent))"
FAULT = "document.querySelector('#fault:not([hidden])')?.textContent"
UNPRICED: dict[str, Any] = {"cost": None, "unpriced": "model_unknown"}
INCOMPLETE = replace(COST, incomplete=("tool_fee", "residency"))
UNCOUNTED: dict[str, Any] = {"usage": None, "usage_unknown": "no_usage", **UNPRICED}


def choose(tab: Tab, seconds: int) -> None:
    tab.ask(f"document.querySelector('#ranges input[value=\"{seconds}\"]').click()")


def test_spend_is_unknown_if_no_call_has_a_price_and_a_lower_bound_if_some_have_none(
    browser: Chromium, page: Page
) -> None:
    page.push_process(metrics_of(full_record(**UNPRICED)), "one")
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"({TILES}).Spend === 'unknown'")
        assert tab.ask(f"({MORE}).Spend") == "1 call without a price"
        assert tab.ask(f"({ROWS})[0][5]") == "unknown"
        assert tab.ask("document.querySelector('.area').getAttribute('aria-label')") == "Spend: unknown in all"
        shown = "getComputedStyle(document.querySelector('.blank .area'), '::after').content"
        assert tab.ask(shown) == '"unknown for all calls in this time range"'

        page.push_process(metrics_of(full_record()), "two")
        tab.wait_for(f"({TILES}).Spend === '≥ $0.000260'")
        assert tab.ask(f"({ROWS})[0][5]") == "≥ $0.000260"


def test_spend_is_a_lower_bound_if_a_cost_is_incomplete(browser: Chromium, page: Page) -> None:
    page.push_process(metrics_of(full_record()), "one")
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"({TILES}).Spend === '$0.000260'")
        assert tab.ask(f"({MORE}).Spend") == "$0.000260 a call"

        page.push_process(metrics_of(full_record(cost=INCOMPLETE)), "two")
        tab.wait_for(f"({TILES}).Spend === '≥ $0.000520'")
        assert tab.ask(f"({MORE}).Spend") == "1 call with a part without a price"
        assert tab.ask(f"({ROWS})[0][5]") == "≥ $0.000520"

        page.push_process(metrics_of(full_record(**UNPRICED)), "three")
        tab.wait_for(f"({MORE}).Spend === '1 call without a price, 1 call with a part without a price'")


def test_a_call_shows_that_its_cost_is_a_lower_bound_and_why(browser: Chromium, page: Page) -> None:
    complete = full_record(id="complete", cost=replace(INCOMPLETE, source="settings", incomplete=()))
    for one in (full_record(id="incomplete", cost=INCOMPLETE), complete):
        page.log(json.loads(log_entry(one, redact=None, max_bytes=10**6).line))
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{LISTED} === 2")
        costs = "Object.fromEntries([...document.querySelectorAll('#list > li')].map(item => [item.dataset.id, item.querySelector('.cost').textContent]))"
        assert tab.ask(costs) == {"incomplete": "≥ $0.000260", "complete": "$0.000260"}
        pairs = "Object.fromEntries([...document.querySelectorAll('.opened .pair')].map(one => [...one.children].map(part => part.textContent)))"
        expected = {
            "incomplete": {"total": "≥ $0.000260", "source": "published prices", "incomplete": "tool fee, residency"},
            "complete": {"total": "$0.000260", "source": "your own prices"},
        }
        for identity, facts in expected.items():
            tab.ask(f"document.querySelector('#list > li[data-id={identity}] button').click()")
            tab.wait_for("document.querySelectorAll('.opened .pair').length > 0")
            shown = tab.ask(pairs)
            assert {name: shown[name] for name in ("total", "source", "incomplete") if name in shown} == facts
            tab.ask(f"document.querySelector('#list > li[data-id={identity}] button').click()")


def test_tokens_are_unknown_if_no_reply_has_them_and_a_lower_bound_if_some_have_none(
    browser: Chromium, page: Page
) -> None:
    page.push_process(metrics_of(full_record(**UNCOUNTED)), "one")
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"({TILES}).Tokens === 'unknown'")
        assert tab.ask(f"({MORE}).Tokens") == "unknown for 1 call"
        assert tab.ask(f"({ROWS})[0].slice(3, 5)") == ["unknown", "unknown"]

        page.push_process(metrics_of(full_record()), "two")
        tab.wait_for(f"({TILES}).Tokens === '≥ 50'")


def test_a_call_that_is_free_costs_nothing_which_is_known(browser: Chromium, page: Page) -> None:
    page.push_process(metrics_of(record(request_model="omni-moderation-latest")), "one")
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"({TILES}).Calls === '1'")
        assert tab.ask(f"({TILES}).Spend") == "$0"
        assert tab.ask(f"({TILES}).Tokens") == "0"
        assert tab.ask(f"({TILES}).Errors") == "0"


def test_calls_in_the_log_without_metrics_are_not_counted_as_none(browser: Chromium, page: Page) -> None:
    page.log(CALL)
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{LISTED} === 1")
        tiles = tab.ask(TILES)
        assert [tiles[name] for name in ("Spend", "Calls", "Errors", "Tokens")] == [NONE] * 4
        assert tab.ask(f"({MORE}).Calls") == "the calls below have no metrics"


def test_the_list_has_the_calls_of_the_chosen_range_page_by_page(browser: Chromium, page: Page) -> None:
    old = time.time_ns() - 2 * HOUR_NS
    page.log(*({**CALL, "id": f"old{number:02}"} for number in range(60)), at_ns=old)
    page.log(*({**CALL, "id": f"new{number:02}"} for number in range(55)))
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{LISTED} === 50")
        tab.ask("document.querySelector('#more').click()")
        tab.wait_for(f"{LISTED} === 55 && document.querySelector('#more').hidden")
        assert all(identity.startswith("new") for identity in tab.ask(IDS))

        choose(tab, 21_600)
        tab.wait_for(f"{LISTED} === 50 && !document.querySelector('#more').hidden")
        tab.ask("document.querySelector('#more').click()")
        tab.wait_for(f"{LISTED} === 100")
        tab.ask("document.querySelector('#more').click()")
        tab.wait_for(f"{LISTED} === 115")

        choose(tab, 3600)
        tab.wait_for(f"{LISTED} === 50")
        assert all(identity.startswith("new") for identity in tab.ask(IDS))


def test_a_history_without_calls_in_the_range_is_not_an_empty_history(browser: Chromium, page: Page) -> None:
    page.log(CALL, at_ns=time.time_ns() - 2 * HOUR_NS)
    with browser.tab(page.server.url) as tab:
        tab.wait_for("!document.querySelector('#content').hidden && !document.querySelector('#none').hidden")
        assert tab.ask("document.querySelector('#empty').hidden")
        assert tab.ask("document.querySelector('#none').textContent") == "No call was logged in this time range."
        tiles = tab.ask(TILES)
        assert (tiles["Spend"], tiles["Calls"], tiles["Tokens"]) == (NONE, "0", NONE)

        choose(tab, 21_600)
        tab.wait_for(f"{LISTED} === 1")
        assert tab.complaints() == []


ODD_NAMES = ("constructor", "__proto__", "toString", "hasOwnProperty", "limit", "q", "seconds")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_label_with_any_name_is_grouped_by_and_filtered_by(browser: Chromium, page: Page, name: str) -> None:
    calls = [full_record(id=f"c{value}", attributes={name: value}) for value in ("constructor", "__proto__", "7")]
    page.push_process(metrics_of(*calls, label_names=(name,)), "one")
    page.log(*({**CALL, "id": f"c{number}", "attributes": one.attributes} for number, one in enumerate(calls)))
    with browser.tab(f"{page.server.url}/#by={name}") as tab:
        tab.wait_for(f"{LISTED} === 3 && ({ROWS}).length === 3")
        assert {row[0] for row in tab.ask(ROWS)} == {"constructor", "__proto__", "7"}

        tab.ask(
            "[...document.querySelectorAll('#groups button')].find(one => one.dataset.group === '__proto__').click()"
        )
        tab.wait_for(f"({TILES}).Calls === '1' && {LISTED} === 1")
        tab.send("Page.reload")
        tab.wait_for(f"document.querySelector('.filter')?.textContent.includes('__proto__') && ({TILES}).Calls === '1'")
        assert tab.ask(FAULT) is None
        assert tab.complaints() == []


def test_a_label_without_a_name_and_an_odd_address_leave_the_page_as_it_is(browser: Chromium, page: Page) -> None:
    labels = {"gen_ai_request_model": "m", "": "x", "constructor": "v", "a b": "y", "instance": "i"}
    page.push([("gen_ai_client_operation_duration_seconds_count", labels, 3)])
    address = "#constructor=1&__proto__=2&by=&is.=x&is.a%20b=y&share=constructor&seconds=__proto__&where=1"
    with browser.tab(f"{page.server.url}/{address}") as tab:
        tab.wait_for(f"({TILES}).Calls === '3'")
        assert tab.ask("[...document.querySelector('#by').options].map(one => one.value)") == ["model", "constructor"]
        assert tab.ask("document.querySelector('#status').textContent") == "Live"
        assert tab.ask(FAULT) is None
        assert tab.complaints() == []


def test_sums_past_all_numbers_are_unknown_and_everything_else_is_drawn(browser: Chromium, page: Page) -> None:
    model = {"gen_ai_request_model": "m"}
    page.push_process(metrics_of(full_record()), "fine")
    for instance in ("one", "two"):
        labels = {**model, "instance": instance}
        tokens = {**labels, "gen_ai_token_type": "input"}
        page.keep([("gen_ai_client_cost_usd_total", labels, 1.7e308), ("gen_ai_client_tokens_total", tokens, 1.7e308)])
        page.push([("gen_ai_client_retries_total", labels, -5.0), ("gen_ai_client_unpriced_total", labels, -1e308)])
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"({TILES}).Calls === '1'")
        tiles = tab.ask(TILES)
        assert (tiles["Spend"], tiles["Tokens"], tiles["Errors"]) == (NONE, NONE, "0")
        assert tab.ask("document.querySelectorAll('.chart canvas').length") == 6
        assert tab.ask("document.querySelector('#status').textContent") == "Live"
        assert tab.complaints() == []


def test_numbers_are_written_so_that_none_is_taken_for_another(browser: Chromium, page: Page) -> None:
    ask = "import('./format.js').then(format => [{}].map({}))"
    odd = "NaN, Infinity, -Infinity, null, undefined, '1'"
    with browser.tab(page.server.url) as tab:
        for name in ("money", "count", "compact", "seconds"):
            assert tab.ask(ask.format(odd, f"format.{name}")) == [NONE] * 6
        money = tab.ask(ask.format("-2, -0.5, 0, 1e-12, 1e-7", "format.money"))
        assert money == ["-$2.00", "-$0.500", "$0", "<$0.00000001", "$0.000000100"]
        assert tab.ask(ask.format("0, 0.00001, 0.0002, -1", "format.seconds"))[:3] == ["0.0 ms", "<0.1 ms", "0.2 ms"]
        assert tab.ask(ask.format("0, 1, 500", "one => format.percent(one, 10000)")) == ["0.0 %", "<0.1 %", "5.0 %"]


def test_what_could_not_be_drawn_is_said_and_drawn_as_soon_as_it_can_be(browser: Chromium, page: Page) -> None:
    with browser.tab(page.server.url) as tab:
        tab.wait_for("!document.querySelector('#empty').hidden")
        tab.ask("(window.kept = window.uPlot, window.uPlot = undefined)")
        page.push_process(metrics_of(full_record()), "one")
        assert "undefined" in tab.wait_for(FAULT)
        assert tab.ask("document.querySelector('#status').textContent") == "Not up to date"

        tab.ask("void (window.uPlot = window.kept)")
        tab.wait_for("document.querySelectorAll('.chart canvas').length === 6")
        tab.wait_for("document.querySelector('#status').textContent === 'Live'")
        assert tab.ask(FAULT) is None


def test_an_error_outside_of_an_update_stays_on_the_page(browser: Chromium, page: Page) -> None:
    with browser.tab(page.server.url) as tab:
        tab.wait_for("document.querySelector('#status').textContent === 'Live'")
        tab.ask("void setTimeout(() => { throw new Error('out of order') })")
        tab.wait_for(f"({FAULT} ?? '').includes('out of order')")
        page.push_process(metrics_of(full_record()), "one")
        tab.wait_for(f"({TILES}).Calls === '1'")
        assert "out of order" in tab.ask(FAULT)


def test_a_call_that_cannot_be_fetched_says_so(browser: Chromium, tmp_path: Path) -> None:
    history = History(tmp_path / "history.sqlite3", say=print)
    with LocalServer(history) as server:
        here = Page(server, history, [])
        here.log(CALL)
        here.close()
        tab = browser.tab(server.url)
        tab.wait_for(f"{LISTED} === 1")
    history.close()
    with tab:
        tab.ask("document.querySelector('.call').click()")
        tab.wait_for("document.querySelector('.opened').textContent === 'This call cannot be shown: Not connected'")

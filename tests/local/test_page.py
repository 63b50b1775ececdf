"""The local page in a real headless Chromium: it shows correct, current data, and pushed data cannot run code."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from monitored_openai._local.history import History
from monitored_openai._local.server import LocalServer
from monitored_openai._log_entry import log_entry
from tests.support.chromium import Chromium
from tests.support.local_page import CALL, Page, metrics_of
from tests.support.records import full_record, record

pytestmark = pytest.mark.once

LISTED = "document.querySelectorAll('#list > li').length"
TILES = "Object.fromEntries([...document.querySelectorAll('.tile')].map(one => [...one.children].slice(0, 2).map(part => part.textContent)))"
ROWS = "[...document.querySelectorAll('#groups tbody tr')].map(row => [...row.children].map(cell => cell.textContent))"
DRAWN = """[...document.querySelectorAll('.chart')].map(chart => {
    const canvas = chart.querySelector('canvas');
    const own = chart.querySelectorAll('.key i');
    const inks = [...(own.length ? own : document.querySelectorAll('#key i'))]
        .map(mark => getComputedStyle(mark).backgroundColor.match(/\\d+/g));
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let found = 0;
    for (let at = 0; at < pixels.length; at += 4)
        if (pixels[at + 3] > 200 && inks.some(ink => [0, 1, 2].every(part => Math.abs(pixels[at + part] - ink[part]) < 3))) found++;
    return found;
})"""
CONTRASTS = """['--text', '--quiet', '--faint', '--alert', '--accent'].map(name => {
    const probe = document.body.appendChild(document.createElement('p'));
    probe.style.color = `var(${name})`;
    const light = colour => colour.match(/\\d+/g).slice(0, 3).map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    const pair = [getComputedStyle(probe).color, getComputedStyle(document.body).backgroundColor].map(light).sort((a, b) => b - a);
    probe.remove();
    return (pair[0] + 0.05) / (pair[1] + 0.05);
})"""
FOCUSED = "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"


def call_of(one: Any) -> Any:
    return json.loads(log_entry(one, redact=None, max_bytes=240 * 1024).line)


def fill(page: Page) -> None:
    """Two processes' calls: eight fine ones of two features, and a failed one."""
    good = [full_record(id=f"g{number}", attributes={"feature": f"f{number % 2}"}) for number in range(8)]
    bad = record(
        id="bad",
        request_model="gpt-5",
        error_type="timeout",
        error_message="too slow",
        usage_unknown="timeout",
        unpriced="usage_unknown",
    )
    page.push_process(metrics_of(*good[:5], label_names=("feature",)), "one")
    page.push_process(metrics_of(*good[5:], bad, label_names=("feature",)), "two")
    page.log(*map(call_of, [*good, bad]), stream={"environment": "test"})


def test_calls_appear_on_the_open_page_by_themselves(browser: Chromium, page: Page) -> None:
    with browser.tab(page.server.url) as tab:
        tab.wait_for("!document.querySelector('#empty').hidden")
        assert f'MonitoringSettings.local("{page.server.url}")' in tab.ask("document.body.innerText")

        fill(page)
        tab.wait_for(f"{LISTED} === 9 && ({TILES}).Calls === '9'")
        page.log({**CALL, "id": "new"})
        tab.wait_for(f"{LISTED} === 10")

        assert tab.ask("document.querySelector('#list .asked').textContent") == "Wo ist die Straße?"
        assert tab.complaints() == []


def test_figures_are_the_truth_and_every_chart_is_drawn(browser: Chromium, page: Page) -> None:
    fill(page)
    cost = full_record().cost
    assert cost is not None
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{LISTED} === 9")

        assert tab.ask(TILES) == {
            "Spend": f"≥ ${8 * cost.total_usd:.5f}".rstrip("0"),
            "Calls": "9",
            "Errors": "1",
            "Tokens": "≥ 400",
            "Whole answer, p95": "0.50 s",  # of the stored calls; the buckets end at 0.32 and 0.64
            "First chunk, p95": "0.20 s",
        }
        rows = tab.ask(ROWS)
        assert [row[:5] for row in rows] == [
            ["gpt-4o", "8", "0", "240", "160"],
            ["gpt-5", "1", "1", "unknown", "unknown"],
        ]
        assert rows[1][5] == "unknown"
        tab.wait_for(f"{DRAWN}.filter(pixels => pixels > 5).length === 6")
        assert tab.ask("document.querySelector('.area').getAttribute('aria-label')").startswith("Spend: ≥ $")


def test_without_a_log_the_figures_are_there_all_the_same(browser: Chromium, page: Page) -> None:
    page.push_process(metrics_of(full_record()), "p")
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"({TILES}).Calls === '1'")
        assert tab.ask("document.querySelector('#none').innerText") == "No call was logged in this time range."
        assert "nothing in this time range" in tab.ask(
            "getComputedStyle(document.querySelector('.blank .area'), '::after').content"
        )


def test_one_can_group_by_an_attribute_and_look_at_one_group(browser: Chromium, page: Page) -> None:
    fill(page)
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{LISTED} === 9")
        tab.ask(
            "(by => (by.value = 'feature', by.dispatchEvent(new Event('change', {bubbles: true}))))(document.querySelector('#by'))"
        )
        tab.wait_for(f"({ROWS}).map(row => row.slice(0, 2).join()).join() === 'f0,4,f1,4,none,1'")

        tab.ask("document.querySelector('#groups tbody button').click()")
        tab.wait_for(f"{LISTED} === 4 && ({TILES}).Calls === '4'")
        tab.send("Page.reload")
        tab.wait_for(f"document.querySelector('.filter')?.textContent.startsWith('Feature: f0') && {LISTED} === 4")

        tab.ask("document.querySelector('.filter').click()")
        tab.wait_for(f"{LISTED} === 9 && ({TILES}).Calls === '9'")


def test_calls_are_searched_opened_and_paged(browser: Chromium, page: Page) -> None:
    fill(page)
    page.log(*({**CALL, "id": f"c{number}"} for number in range(60)))
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{LISTED} === 50")
        tab.ask("document.querySelector('#more').click()")
        tab.wait_for(f"{LISTED} === 69")

        tab.ask("document.querySelector('#search').focus()")
        tab.type("TOO slow")
        tab.wait_for(f"{LISTED} === 1")
        tab.ask("document.querySelector('.call').click()")
        opened = tab.wait_for("document.querySelector('.facts')?.innerText")
        assert "timeout" in opened
        assert "too slow" in opened
        page.log({**CALL, "id": "later"})
        tab.wait_for("document.querySelector('#totals') !== null")
        assert tab.ask("document.querySelector('.facts') !== null")  # what comes later does not close it

        tab.type(" nothing has that")
        tab.wait_for("!document.querySelector('#none').hidden")


def test_an_opened_call_shows_tokens_cost_and_what_was_said(browser: Chromium, page: Page) -> None:
    page.log(call_of(full_record()))
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{LISTED} === 1")
        tab.ask("document.querySelector('.call').click()")
        said = tab.wait_for("document.querySelector('.said')?.innerText")
        facts = dict(
            tab.ask(
                "[...document.querySelectorAll('.pair')].map(one => [...one.children].map(part => part.textContent))"
            )
        )
        tab.ask("document.querySelector('.raw').open = true")

        assert list(filter(None, said.split("\n"))) == ["user", "What is a bucket?", "assistant", "An upper bound."]
        assert facts["total"] == "$0.000260"
        assert (facts["feature"], facts["retries"], facts["whole answer"]) == ("search", "1", "0.50 s")
        assert tab.wait_for("document.querySelector('.raw .json')?.innerText").split("\n")[1].startswith('id: "')


def test_more_calls_than_the_list_takes_at_once_leave_an_opened_one_open(browser: Chromium, page: Page) -> None:
    page.log(CALL)
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{LISTED} === 1")
        tab.ask("document.querySelector('.call').click()")
        tab.wait_for("document.querySelector('.facts') !== null")
        page.log(*({**CALL, "id": f"n{number:03}"} for number in range(120)))
        tab.wait_for(f"{LISTED} === 51")
        tab.ask("document.querySelector('#more').click()")
        tab.wait_for(f"{LISTED} === 101")
        tab.ask("document.querySelector('#more').click()")
        tab.wait_for(f"{LISTED} === 121 && document.querySelector('#more').hidden")

        ids = tab.ask("[...document.querySelectorAll('#list > li')].map(item => item.dataset.id)")
        assert ids == [*(f"n{number:03}" for number in reversed(range(120))), "c1"]
        assert tab.ask("document.querySelector('.facts') !== null")


HOSTILE = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "</pre></p><svg onload=window.hacked=1><style>body{display:none}</style>",
    "\x1b[31mred\x1b[2J\x1b]8;;http://evil.example\x07link\x9b1m",
    "\u202etxt.exe\u202c \u2066x\u2069",
    "{{constructor.constructor('window.hacked = 1')()}} ${window.hacked = 1} javascript:window.hacked=1",
)


def test_hostile_content_is_shown_and_does_nothing(browser: Chromium, page: Page) -> None:
    text = "\n".join(HOSTILE)
    names = {f"x{number}": hostile for number, hostile in enumerate(HOSTILE)}
    tool = {"id": text, "type": "function", "function": {"name": text, "arguments": text}}
    message = {"role": text, "content": [{"type": "text", "text": text}], "tool_calls": [tool], "refusal": text}
    hostile = {
        **call_of(full_record()),
        **dict.fromkeys(("request_model", "response_model", "operation", "provider", "server", "error_type"), text),
        **dict.fromkeys(("error_message", "request_id", "trace_id", "service_tier", "usage_unknown", "unpriced"), text),
        "id": text,
        "attributes": names | {text: text},
        "finish_reasons": [text],
        "started": text,
        "request": {"messages": [message]},
        "response": {"choices": [{"message": message}]},
    }
    metrics = metrics_of(*(record(request_model=one, error_type=one, attributes={"feature": one}) for one in HOSTILE))
    page.push_process(metrics, "p")
    page.push([("monitored_openai_dropped_total", {"reason": text, "instance": "p"}, 1.0)])
    page.log(hostile, stream={text: text})
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{LISTED} === 1 && document.querySelectorAll('#groups tbody tr').length === 6")
        tab.ask("document.querySelector('.call').click()")
        tab.wait_for("document.querySelector('.facts') !== null")
        tab.ask("document.querySelector('.raw').open = true")
        tab.ask("document.querySelector('#groups tbody button').click()")
        tab.wait_for("document.querySelector('.filter') !== null")

        shown = tab.ask("document.body.textContent")
        assert all(one in shown for one in (*HOSTILE[:3], HOSTILE[5]))
        assert "␛[31mred␛[2J␛]8;;http://evil.example␇link<9b>1m" in shown
        assert "<U+202E>txt.exe<U+202C>" in shown
        assert [sign for sign in shown if not sign.isprintable() and sign != "\n"] == []
        assert tab.ask("[window.hacked, document.querySelectorAll('img, svg, script:not([src])').length]") == [None, 0]
        assert tab.ask("getComputedStyle(document.body).display") == "block"
        assert tab.complaints() == []


def test_a_text_of_ten_megabytes_is_cut_on_its_way_and_does_not_stall_the_page(browser: Chromium, page: Page) -> None:
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "<b>" * 3_500_000}]}
    page.log(call_of(full_record(request=request)))
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{LISTED} === 1")
        tab.ask("document.querySelector('.call').click()")
        length = tab.wait_for("document.querySelector('.turn .text')?.textContent.length")
        tab.ask("document.querySelector('.turn .quiet').click()")

        assert length == 20_000
        assert tab.ask("document.querySelector('.turn .text').textContent.length") > 60_000
        assert "10500000 characters in all" in tab.ask("document.querySelector('.turn .text').textContent")
        assert tab.ask("document.documentElement.scrollWidth <= innerWidth")


def test_the_page_may_run_nothing_else_and_loads_nothing_from_elsewhere(browser: Chromium, page: Page) -> None:
    fill(page)
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{LISTED} === 9")
        assert {url for url in tab.requested() if not url.startswith(page.server.url)} <= {"about:blank"}
        assert tab.complaints() == []

        kind = "error => error.constructor.name"
        assert tab.ask(f"new Promise(done => done(eval('1'))).catch({kind})") == "EvalError"
        assert tab.ask(f"new Promise(done => done(document.body.innerHTML = '<b>')).catch({kind})") == "TypeError"
        tab.ask(
            "document.body.append(Object.assign(document.createElement('style'), {textContent: 'body{color:red}'}))"
        )
        assert tab.ask("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"


def test_light_and_dark_follow_the_system_or_ones_choice_and_are_readable(browser: Chromium, page: Page) -> None:
    fill(page)
    ground = "getComputedStyle(document.body).backgroundColor"
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{LISTED} === 9")
        assert tab.ask(ground) == "rgb(255, 255, 255)"
        assert min(tab.ask(CONTRASTS)) >= 4.5
        tab.prefer("dark")
        tab.wait_for(f"{ground} === 'rgb(19, 21, 23)'")
        assert min(tab.ask(CONTRASTS)) >= 4.5
        tab.wait_for(f"{DRAWN}.filter(pixels => pixels > 5).length === 6")

        tab.ask(
            "(one => (one.value = 'light', one.dispatchEvent(new Event('change'))))(document.querySelector('#theme'))"
        )
        assert tab.ask(ground) == "rgb(255, 255, 255)"
        tab.send("Page.reload")
        tab.wait_for(f"{LISTED} === 9")
        assert tab.ask(ground) == "rgb(255, 255, 255)"


def test_it_fits_a_screen_of_400_pixels(browser: Chromium, page: Page) -> None:
    fill(page)
    page.log({**CALL, "id": "wide", "request": {"messages": [{"role": "user", "content": "x" * 3000}]}})
    with browser.tab(page.server.url, width=400, height=800) as tab:
        tab.wait_for(f"{LISTED} === 10")
        tab.ask("document.querySelector('.call').click()")
        tab.wait_for("document.querySelector('.facts') !== null")

        assert tab.ask("document.documentElement.scrollWidth") == 400
        assert tab.ask(
            "[...document.querySelectorAll('canvas')].every(one => one.getBoundingClientRect().right <= 400)"
        )


def test_everything_is_reached_by_keyboard(browser: Chromium, page: Page) -> None:
    fill(page)
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{LISTED} === 9")
        reached: list[str] = []
        while "call" not in reached and len(reached) < 40:
            tab.press("Tab")
            reached.append(tab.ask(FOCUSED))
        tab.press("Enter", text="\r")
        tab.wait_for("document.querySelector('.facts') !== null")

        areas = ["area", "area", "area", "BUTTON", "area", "area", "area"]  # the errors have a legend of their own
        charts = [
            "skip",
            "INPUT",
            "earlier",
            "later",
            "wider",
            "SUMMARY",
            "by",
            "share",
            "compare",
            "BUTTON",
            "BUTTON",
            *areas,
            "scrolls",
            "link",
            "link",
        ]
        orders = ["when", "number duration", "number tokens", "number cost"]
        assert reached == [*charts, "search", "failed", "grouping", "save-csv", "save-json", *orders, "call"]
        assert tab.ask("document.activeElement.getAttribute('aria-expanded')") == "true"

        tab.ask("document.querySelector('.area').focus()")
        tab.press("ArrowLeft")
        assert "gpt-4o" in tab.wait_for("document.querySelector('.tip:not([hidden])')?.textContent")
        tab.press("Escape")
        assert tab.ask("document.querySelector('.tip:not([hidden])')") is None
        tab.ask("document.activeElement.blur()")
        tab.press("/", text="/")
        assert tab.ask(FOCUSED) == "search"
        assert tab.ask("document.querySelector('#search').value") == ""


def test_a_server_that_went_away_is_said_and_found_again(browser: Chromium, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    history = History(tmp_path / "history.sqlite3", say=print)
    said = "document.querySelector('#status').textContent"
    with LocalServer(history, port=port) as server:
        tab = browser.tab(server.url)
        tab.wait_for(f"{said} === 'Live'")
    with tab:
        tab.wait_for(f"{said} === 'Not connected'")
        with LocalServer(history, port=port):
            tab.wait_for(f"{said} === 'Live'")
    history.close()


def test_with_a_token_the_page_is_for_those_who_have_it(browser: Chromium, tmp_path: Path) -> None:
    history = History(tmp_path / "history.sqlite3", say=print)
    with LocalServer(history, token="secret") as server:
        with browser.tab(server.url) as tab:
            assert "token" in tab.ask("document.body.innerText")
        with browser.tab(server.url.replace("//", "//anybody:secret@")) as tab:
            tab.wait_for("document.querySelector('#status')?.textContent === 'Live'")
    history.close()

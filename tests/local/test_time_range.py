"""The ranges of the page: each fits the time slots that the history keeps, and holds what was asked for."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitored_openai._local.history import RESOLUTIONS
from monitored_openai._local.time_range import PRESETS, between, until_now
from tests.support.chromium import Chromium
from tests.support.local_page import Page, metrics_of
from tests.support.records import full_record

NOW = 1_800_000_123.4
TILES = "[...document.querySelectorAll('.tile')].map(tile => [...tile.children].map(part => part.textContent))"


@pytest.mark.parametrize("seconds", PRESETS)
def test_a_preset_ends_with_the_step_of_now(seconds: int) -> None:
    over = until_now(NOW, seconds)

    assert over.end - over.step <= NOW < over.end
    assert seconds - over.step < NOW - over.start <= seconds
    assert len(over.times) in (seconds // over.step, seconds // over.step + 1)


@example(ago=7190, length=3000)
@given(ago=st.floats(1, 31 * 86400), length=st.floats(1, 31 * 86400))
@settings(max_examples=300, deadline=None)
def test_a_range_holds_the_times_in_few_steps_of_kept_slots(ago: float, length: float) -> None:
    start, end = NOW - ago, NOW - ago + length
    over = between(NOW, start, end)

    assert over is not None
    assert over.start <= start
    assert end <= over.end
    assert over.end - over.start < length + 2 * over.step
    assert len(over.times) <= 66
    assert any(over.step % slot == 0 and NOW - over.start < kept - slot for slot, kept in RESOLUTIONS.items())


@pytest.mark.parametrize(("start", "end"), [(NOW - 40 * 86400, NOW), (NOW, NOW), (NOW, NOW - 1), (NOW + 9, NOW + 99)])
def test_a_range_without_slots_is_refused(start: float, end: float) -> None:
    assert between(NOW, start, end) is None


@pytest.mark.parametrize("asked", ["from=1&to=2", "from=5", "to=5", "from=x&to=y", "from=9&to=8", "seconds=5"])
def test_a_wrong_range_is_refused_with_a_reason(page: Page, asked: str) -> None:
    reply = page.get(f"/api/overview?{asked}")

    assert reply.status_code == 400
    assert reply.text


def test_a_range_counts_only_what_is_inside(page: Page) -> None:
    now = int(time.time())
    for number, ago in enumerate((600, 300, 10)):
        samples = [("gen_ai_client_operation_duration_seconds_count", {"instance": f"i{number}"}, 1.0)]
        page.push(samples, at_ms=(now - ago) * 1000)

    def calls(start: int, end: int) -> float:
        told = page.get("/api/overview", **{"from": now - start, "to": now - end}).json()
        assert told["times"][0] <= now - start
        return float(told["total"]["calls"])

    assert [calls(700, 500), calls(400, 200), calls(700, 200), calls(100, 0)] == [1, 1, 2, 1]


def test_the_history_reaches_back_to_its_first_growth_and_not_to_the_hour_before(page: Page) -> None:
    assert page.overview()["oldest"] is None
    now = int(time.time())
    name = "gen_ai_client_operation_duration_seconds_count"
    page.push([(name, {"instance": "one"}, 1.0)], at_ms=(now - 600) * 1000)

    assert page.overview()["oldest"] == (now - 600) // 5 * 5

    with page.history.writing() as connection:  # as after two hours
        connection.execute("DELETE FROM point WHERE resolution = 5")
    assert page.overview()["oldest"] == (now - 600) // 120 * 120 + 120


@pytest.mark.once
def test_a_zoom_filters_charts_totals_and_list_and_can_be_left(browser: Chromium, page: Page) -> None:
    now = time.time_ns()
    page.push_process(metrics_of(full_record()), "p")
    page.log({"id": "old", "operation": "chat"}, at_ns=now - 1800 * 10**9)
    page.log({"id": "new", "operation": "chat"})
    ids = "[...document.querySelectorAll('#list > li')].map(item => item.dataset.id).join()"
    with browser.tab(page.server.url) as tab:
        tab.wait_for(f"{ids} === 'new,old'")
        box = tab.ask(
            "(r => [r.left, r.top, r.width, r.height])(document.querySelector('.u-over').getBoundingClientRect())"
        )
        left, top, width, height = box
        for kind, share in (("mousePressed", 0.3), ("mouseMoved", 0.5), ("mouseMoved", 0.7), ("mouseReleased", 0.7)):
            where = {"x": left + share * width, "y": top + height / 2, "button": "left", "clickCount": 1, "buttons": 1}
            tab.send("Input.dispatchMouseEvent", {"type": kind, **where})
        tab.wait_for(f"{ids} === 'old' && !document.querySelector('#zoomed').hidden")
        assert tab.ask(TILES)[1][1] == "\u2013"  # the call of this half hour has no metrics
        assert "from=" in tab.ask("location.hash")
        tab.ask("document.querySelector('#zoomed').click()")
        tab.wait_for(f"{ids} === 'new,old'")
        assert tab.complaints() == []


@pytest.mark.once
def test_totals_are_compared_with_the_period_before(browser: Chromium, page: Page) -> None:
    now = int(time.time())
    name = "gen_ai_client_operation_duration_seconds_count"
    page.push([(name, {"instance": "old"}, 1.0)], at_ms=(now - 3600) * 1000)
    page.push([(name, {"instance": "before"}, 4.0)], at_ms=(now - 1200) * 1000)
    with browser.tab(f"{page.server.url}#seconds=900") as tab:
        page.push([(name, {"instance": "now"}, 8.0)], at_ms=now * 1000)
        tab.wait_for(f"({TILES})[1]?.[1] === '8'")
        text = tab.wait_for(f"({TILES})[1][3]")
        assert (
            95 <= int(text.removeprefix("+").partition(" ")[0]) <= 108
        )  # twice as many in periods of nearly the same length
        tab.ask("document.querySelector('#ranges input[value=\"2592000\"]').click()")
        tab.wait_for(f"({TILES})[1]?.[1] === '13'")
        assert tab.ask(f"({TILES})[1][3]") == ""  # the history does not reach back


@pytest.mark.once
def test_the_legend_hides_a_line_and_the_empty_page_copies_its_snippet(browser: Chromium, page: Page) -> None:
    with browser.tab(page.server.url) as tab:
        tab.wait_for("!document.querySelector('#empty').hidden")
        tab.ask("document.querySelector('#empty button').click()")
        tab.wait_for(
            "['Copied'].includes(document.querySelector('#empty button').textContent) || document.querySelector('.copied') !== null"
        )
        page.push_process(metrics_of(full_record(), full_record(request_model="gpt-5")), "p")
        tab.wait_for("document.querySelectorAll('#key button').length === 2")
        tab.ask("document.querySelector('#key button').click()")
        assert tab.ask("[...document.querySelectorAll('#key button')].map(one => one.ariaPressed)") == ["false", "true"]
        assert tab.complaints() == []

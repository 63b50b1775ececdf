"""The list and an opened call in a real headless Chromium."""

from __future__ import annotations

import csv
import io
import json
import time
from typing import Any

import pytest

from tests.support.chromium import Chromium, Tab
from tests.support.local_page import CALL, Page, metrics_of
from tests.support.records import full_record

pytestmark = pytest.mark.once

IDS = "[...document.querySelectorAll('#list > li')].map(item => item.dataset.id)"
CHIP = "[...document.querySelectorAll('#list button.chip')].find(chip => chip.textContent === {!r}).click()"
CAUGHT = """(async () => {
    const blobs = [];
    URL.createObjectURL = blob => (blobs.push(blob), '#');
    HTMLAnchorElement.prototype.click = () => {};
    for (const [at, name] of ['save-csv', 'save-json'].entries()) {
        document.getElementById(name).click();
        while (blobs.length <= at) await new Promise(done => setTimeout(done, 20));
    }
    window.saved = await Promise.all(blobs.map(blob => blob.text()));
})()"""
ANSWER = """# Head

Some **bold**, _plain_ and `code` with a [link](https://example.com/x?a=1).

1. one
2. two
   - inner

```js
alert(1)
```

| a | b |
|---|---|
| 1 | **2** |

> quoted
"""
HOSTILE = """<img src=x onerror="window.hacked = 1"> <script>window.hacked = 1</script>
[bad](javascript:window.hacked=1) [data](data:text/html,x) ![picture](https://evil.test/x.png)
[**x**](//evil.test) `<b>` **<svg onload=window.hacked=1>**
"""


def call(number: int, **more: Any) -> Any:
    return {
        **CALL,
        "id": f"c{number}",
        "duration_seconds": number % 3,
        "cost": {"total_usd": 0.01 * (number % 5)},
        **more,
    }


def answered(text: str) -> Any:
    return call(1, response={"choices": [{"message": {"role": "assistant", "content": text}}]})


def listed(tab: Tab, number: int) -> list[str]:
    tab.wait_for(f"{IDS}.length === {number}")
    found: list[str] = tab.ask(IDS)
    return found


def opened(tab: Tab) -> None:
    tab.ask("document.querySelector('.call').click()")
    tab.wait_for("document.querySelector('.facts') !== null")


def test_headings_sort_all_calls_and_the_address_remembers_it(browser: Chromium, page: Page) -> None:
    page.log(*(call(number) for number in range(120)))
    with browser.tab(page.server.url) as tab:
        listed(tab, 50)
        tab.ask("document.querySelector('[data-order=cost]').click()")
        tab.wait_for(f"{IDS}[1] === 'c114'")
        first = listed(tab, 50)
        assert [int(name[1:]) % 5 for name in first] == [4] * 24 + [3] * 24 + [2] * 2
        tab.ask("document.querySelector('#more').click()")
        listed(tab, 100)
        page.log(call(999, cost={"total_usd": 7}))
        tab.wait_for(f"{IDS}[0] === 'c999'")
        assert "order=cost" in tab.ask("location.hash")
        assert tab.ask("document.querySelector('[data-order=cost]').getAttribute('aria-pressed')") == "true"
        tab.ask("document.querySelector('[data-order=time]').click()")
        tab.wait_for(f"{IDS}[2] === 'c118'")
        assert tab.complaints() == []


def test_a_late_call_appears_between_calls_that_the_page_already_shows(browser: Chromium, page: Page) -> None:
    now = time.time_ns()
    page.log(*(call(number) for number in range(120)), at_ns=now - 10**9)
    with browser.tab(page.server.url) as tab:
        listed(tab, 50)
        tab.ask("document.querySelector('#more').click()")
        listed(tab, 100)
        page.log(call(999), at_ns=now - 10**9 + 30)
        tab.wait_for(f"Math.abs({IDS}.indexOf('c999') - {IDS}.indexOf('c30')) === 1")
        assert len(listed(tab, 101)) == len(set(listed(tab, 101)))


def test_a_deep_list_does_not_widen_a_phone_s_page(browser: Chromium, page: Page) -> None:
    page.log(answered("\n".join(f"{' ' * depth}- x" for depth in range(60))))
    with browser.tab(page.server.url, width=400) as tab:
        listed(tab, 1)
        opened(tab)
        assert tab.ask("document.documentElement.scrollWidth") == 400


def test_a_chip_filters_by_its_attribute_and_says_if_only_the_list_follows(browser: Chromium, page: Page) -> None:
    page.push_process(metrics_of(full_record(attributes={"feature": "search"}), label_names=("feature",)), "p")
    page.log(*(call(number, attributes={"feature": "search", "customer": f"k{number}"}) for number in range(3)))
    with browser.tab(page.server.url) as tab:
        listed(tab, 3)
        tab.ask(CHIP.format("customer k1"))
        assert listed(tab, 1) == ["c1"]
        assert "Only this list is filtered by Customer" in tab.ask("document.querySelector('#list-only').innerText")
        assert tab.ask("document.querySelector('.tile:nth-child(2) dd').textContent") == "1"
        tab.ask("document.querySelector('.filter').click()")
        listed(tab, 3)
        tab.ask(CHIP.format("feature search"))
        tab.wait_for("location.hash.includes('is.feature=search')")
        assert tab.ask("document.querySelector('#list-only').hidden")


def test_calls_are_grouped_by_session_with_sums(browser: Chromium, page: Page) -> None:
    page.log(*(call(number, attributes={"session_id": f"s{number % 2}"}) for number in range(6)))
    with browser.tab(f"{page.server.url}#grouping=session") as tab:
        tab.wait_for("document.querySelectorAll('#list > .grouped').length === 2")
        assert tab.ask("document.querySelector('.group .asked').textContent") == "s1"
        assert tab.ask("document.querySelector('.group .model').textContent") == "3 calls"
        assert tab.ask("document.querySelector('.group .cost').textContent") == "$0.0400"
        tab.ask("document.querySelector('.group').click()")
        tab.wait_for("document.querySelectorAll('.inside > li[data-id]').length === 3")
        tab.ask("document.querySelector('.inside .call').click()")
        tab.wait_for("document.querySelector('.inside .facts') !== null")
        assert tab.complaints() == []


GROUPS = "[...document.querySelectorAll('#list > .grouped > .call')].map(one => [...one.children].map(part => part.textContent).join('|'))"


def test_a_group_without_failed_calls_shows_only_its_sums(browser: Chromium, page: Page) -> None:
    page.log(*(call(number, attributes={"session_id": "s"}) for number in range(2)))
    with browser.tab(f"{page.server.url}#grouping=session") as tab:
        tab.wait_for("document.querySelectorAll('#list > .grouped').length === 1")
        shown = tab.ask("[...document.querySelector('.group').childNodes].map(part => part.textContent).slice(1)")
        assert shown == ["2 calls", "s", "1.00 s", "unknown", "$0.0100"]


def test_groups_keep_the_focus_and_follow_new_calls_and_filters(browser: Chromium, page: Page) -> None:
    page.log(*(call(number, attributes={"session_id": f"s{number % 2}"}) for number in range(4)))
    with browser.tab(f"{page.server.url}#grouping=session") as tab:
        tab.wait_for("document.querySelectorAll('#list > .grouped').length === 2")
        tab.ask("document.querySelector('.group[data-key=s0]').focus()")
        page.log(call(5, attributes={"session_id": "s1"}))
        tab.wait_for(f"{GROUPS}.some(text => text.includes('3 calls|s1'))")
        assert tab.ask("document.activeElement.dataset.key") == "s0"

        tab.ask("document.activeElement.click()")
        tab.wait_for("document.querySelectorAll('.inside > li[data-id]').length === 2")
        page.log(call(6, attributes={"session_id": "s1"}, error_type="timeout"))
        tab.wait_for(f"{GROUPS}.some(text => text.includes('4 calls|s1|1 failed'))")
        assert tab.ask("document.querySelectorAll('.inside > li[data-id]').length") == 2
        page.log(call(7, attributes={"session_id": "s2"}))
        tab.wait_for(f"{GROUPS}.length === 3 && {GROUPS}[2].includes('1 call|s2')")
        assert tab.ask("document.activeElement.dataset.key") == "s0"

        tab.ask("document.getElementById('failed').click()")
        tab.wait_for(f"{GROUPS}.length === 1 && {GROUPS}[0].includes('1 call|s1|1 failed')")
        assert tab.complaints() == []


INSIDE = "[...document.querySelectorAll('.inside > li')].map(one => one.dataset.id ?? one.textContent)"


def test_an_open_group_follows_its_calls_and_keeps_focus_and_scroll(browser: Chromium, page: Page) -> None:
    session = {"attributes": {"session_id": "s"}}
    page.log(*(call(number, **session) for number in range(190)), call(500, attributes={"session_id": "other"}))
    with browser.tab(f"{page.server.url}#grouping=session", height=600) as tab:
        tab.wait_for("document.querySelectorAll('#list > .grouped').length === 2")
        tab.ask("document.querySelector('.group[data-key=s]').click()")
        tab.wait_for(f"{INSIDE}.length === 190")
        tab.ask("document.querySelector('.inside > li[data-id=c100] .call').click()")
        tab.wait_for("document.querySelector('.inside .facts') !== null")
        tab.ask("(button => (button.focus(), button.scrollIntoView()))(document.querySelector('[data-id=c100] .call'))")
        before = tab.ask("document.querySelector('[data-id=c100]').getBoundingClientRect().top")

        page.log(call(190, **session), call(191, **session, error_type="timeout"))
        tab.wait_for(f"{INSIDE}.length === 192")
        assert tab.ask(INSIDE) == [f"c{number}" for number in reversed(range(192))]
        assert any("192 calls|s|1 failed" in text for text in tab.ask(GROUPS))
        assert tab.ask("document.activeElement.closest('li').dataset.id") == "c100"
        assert tab.ask("document.querySelector('[data-id=c100] .facts') !== null")
        assert abs(tab.ask("document.querySelector('[data-id=c100]').getBoundingClientRect().top") - before) <= 1

        page.log(*(call(number, **session) for number in range(192, 210)))
        tab.wait_for(f"{INSIDE}.at(-1) === 'and 10 earlier calls'")
        assert tab.ask(INSIDE)[:-1] == [f"c{number}" for number in reversed(range(10, 210))]
        page.log(call(210, **session))
        tab.wait_for(f"{INSIDE}.at(-1) === 'and 11 earlier calls'")
        assert tab.ask(f"{INSIDE}.length") == 201
        assert tab.complaints() == []


def test_an_attribute_whose_name_is_no_label_does_not_filter(browser: Chromium, page: Page) -> None:
    page.log(call(1, attributes={"user.id": "u1"}))
    with browser.tab(page.server.url) as tab:
        listed(tab, 1)
        assert tab.ask("document.querySelector('#list .chip').textContent") == "user.id u1"
        assert tab.ask("document.querySelector('#list button.chip')") is None


def test_a_group_with_a_long_name_filters_the_calls(browser: Chromium, page: Page) -> None:
    values = ["L" * 500, "L" * 499 + "é" * 400]
    for number, value in enumerate(values):
        page.push_process(metrics_of(full_record(attributes={"long": value}), label_names=("long",)), f"p{number}")
        page.log(call(number, attributes={"long": value}))
    with browser.tab(f"{page.server.url}#by=long") as tab:
        listed(tab, 2)
        tab.wait_for("document.querySelectorAll('#groups button').length === 2")
        tab.ask("[...document.querySelectorAll('#groups button')].find(one => one.dataset.group.includes('é')).click()")
        assert listed(tab, 1) == ["c1"]
        assert tab.ask("document.querySelector('.tile:nth-child(2) dd').textContent") == "1"


def test_a_link_opens_its_call_even_outside_of_the_range(browser: Chromium, page: Page) -> None:
    page.log(call(1), at_ns=page_time(days=20))
    page.log(call(2), call(3))
    with browser.tab(f"{page.server.url}#call=c1") as tab:
        tab.wait_for("document.querySelector('#linked .facts') !== null")
    with browser.tab(f"{page.server.url}#call=c2") as tab:
        tab.wait_for("document.querySelector('#list [data-id=c2] .facts') !== null")
        tab.ask("[...document.querySelectorAll('.actions button')].find(one => one.textContent === 'Previous').click()")
        tab.wait_for("document.querySelector('#list [data-id=c3] .facts') !== null")
        assert tab.ask("document.querySelectorAll('.facts').length") == 1
        assert "call=c3" in tab.ask("location.hash")
        assert tab.ask("document.querySelector('.actions button').disabled")
    with browser.tab(f"{page.server.url}#call=gone") as tab:
        tab.wait_for("document.querySelector('#linked').innerText.includes('does not have')")


def test_arrow_keys_move_between_calls_and_escape_closes_one(browser: Chromium, page: Page) -> None:
    page.log(call(1), call(2), call(3))
    focused = "document.activeElement.closest('li').dataset.id"
    press = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {{key: {!r}, bubbles: true}}))"
    with browser.tab(page.server.url) as tab:
        listed(tab, 3)
        tab.ask("document.querySelector('.call').focus()")
        for key, expected in (("ArrowDown", "c2"), ("ArrowDown", "c1"), ("ArrowDown", "c1"), ("ArrowUp", "c2")):
            tab.ask(press.format(key))
            assert tab.ask(focused) == expected
        tab.ask("document.activeElement.click()")
        tab.wait_for("document.querySelector('#list [data-id=c2] .facts') !== null")
        tab.ask("document.querySelector('.actions button').focus()")
        tab.ask(press.format("Escape"))
        assert tab.ask("document.querySelector('.opened') === null")
        assert tab.ask(focused) == "c2"
        assert "call=c" not in tab.ask("location.hash")


def page_time(*, days: int) -> int:
    return time.time_ns() - days * 86400 * 10**9


def test_the_filtered_calls_are_saved_as_csv_and_json(browser: Chromium, page: Page) -> None:
    odd = {"asked": '=1+1 "x", y'}
    messages = [{"role": "user", "content": odd["asked"]}]
    page.log(*(call(number) for number in range(230)), call(777, request={"messages": messages}, cost=None))
    page.log(call(900, request_model="other"))
    with browser.tab(f"{page.server.url}#is.model=gpt-4o") as tab:
        listed(tab, 50)
        tab.ask(CAUGHT)
        text, document = tab.wait_for("window.saved")

    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in rows] == ["c777", *(f"c{number}" for number in reversed(range(230)))]
    assert rows[0]["asked"] == f"'{odd['asked']}"
    assert (rows[0]["cost_usd"], rows[1]["cost_usd"], rows[1]["model"]) == ("", "0.04", "gpt-4o")
    assert json.loads(rows[1]["attributes"]) == {"feature": "search"}
    saved = json.loads(document)
    assert [one["id"] for one in saved] == [row["id"] for row in rows]
    assert (saved[0]["cost_usd"], saved[0]["asked"]) == (None, odd["asked"])
    assert saved[1]["attributes"] == {"feature": "search"}
    assert saved[0]["entry"]["request"] == {"messages": messages}
    assert saved[1]["entry"].keys() >= {"request", "response", "attributes"}


def test_an_export_keeps_each_digit_and_says_what_it_leaves_out(browser: Chromium, page: Page) -> None:
    digits = 12345678901234567890
    page.log(*(call(number, request={"seed": digits, "text": "x" * 900}) for number in range(250)), call(250))
    collected = "import('./export.js').then(async one => {{ const {{parts, ...more}} = await one.collect({{}}, 'json', {{most: {}}}); return [parts.join(''), more]; }})"
    with browser.tab(page.server.url) as tab:
        listed(tab, 50)
        for most, number in (("{calls: 201, characters: 1e9}", 201), ("{calls: 1000, characters: 60000}", None)):
            document, counted = tab.ask(collected.format(most))
            saved = json.loads(document)
            assert len(saved) == counted["number"] == (number or len(saved))
            assert len(document) < 60_100 or number
            assert counted["number"] + counted["left"] == 251
            assert saved[1]["entry"]["request"]["seed"] == digits
        assert tab.ask(collected.format("{calls: 251, characters: 1e9}"))[1] == {"number": 251, "left": 0}

        text = tab.ask("import('./export.js').then(one => one.said(10000, 1234))")
        assert text.startswith("The file contains the newest 10,000 calls. It leaves out 1,234 older matching calls. ")
        tab.ask(CAUGHT)
        tab.wait_for("document.querySelector('#saved').innerText === 'The file contains 251 calls.'")
        assert tab.complaints() == []


def test_an_answer_is_shown_as_markdown_or_as_it_is(browser: Chromium, page: Page) -> None:
    page.log(answered(ANSWER))
    with browser.tab(page.server.url) as tab:
        listed(tab, 1)
        opened(tab)
        tags = tab.ask("[...document.querySelector('.markdown').querySelectorAll('*')].map(one => one.tagName)")
        for tag in ("STRONG", "EM", "CODE", "A", "OL", "UL", "PRE", "TABLE", "BLOCKQUOTE"):
            assert tag in tags, tag
        assert tab.ask("document.querySelector('.markdown a').textContent") == "link (example.com)"
        assert tab.ask("document.querySelector('.markdown a').rel") == "noopener noreferrer nofollow"
        tab.ask("document.querySelector('.answered .quiet').click()")
        assert tab.ask("document.querySelector('.answered .text').innerText").startswith("# Head")
        assert tab.ask("document.querySelector('.markdown').hidden")


def test_markup_in_an_answer_does_not_run_and_loads_nothing(browser: Chromium, page: Page) -> None:
    deep = ">" * 3000 + "x\n" + "\n".join(" " * number + "- x" for number in range(90))
    page.log(answered(HOSTILE + deep))
    with browser.tab(page.server.url) as tab:
        listed(tab, 1)
        opened(tab)
        links = tab.ask("[...document.querySelectorAll('.markdown a')].map(one => one.href)")
        assert links == ["https://evil.test/x.png"]  # a picture is only a link
        assert tab.ask("[window.hacked, document.querySelectorAll('.markdown :is(img, svg, script)').length]") == [
            None,
            0,
        ]
        assert "<script>" in tab.ask("document.querySelector('.markdown').textContent")
        assert {url for url in tab.requested() if not url.startswith(page.server.url)} == set()
        assert tab.complaints() == []


def test_an_opened_call_shows_parameters_tools_and_a_way_to_a_price(browser: Chromium, page: Page) -> None:
    tools = [{"type": "function", "function": {"name": "weather", "description": "Of a city"}}]
    arguments = {"tool_calls": [{"function": {"name": "weather", "arguments": '{"city":"Bonn"}'}}]}
    request = {**CALL["request"], "temperature": 0.5, "tools": tools}  # type: ignore[dict-item]  # a mapping
    page.log(
        call(1, request=request, response={"choices": [{"message": arguments}]}, cost=None, unpriced="unknown_model")
    )
    with browser.tab(page.server.url) as tab:
        listed(tab, 1)
        opened(tab)
        text = tab.ask("document.querySelector('.facts').innerText")
        assert "temperature\n0.5" in text
        assert "weather\nOf a city" in text
        assert "set prices in the settings" in text
        assert tab.ask("document.querySelector('.turn .code').textContent") == '{\n  "city": "Bonn"\n}'

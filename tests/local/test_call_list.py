"""The list of calls behind the page: its order, its filters, its groups and its marks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitored_openai._local.calls import CallFilter, keep, search
from monitored_openai._local.calls import groups as stored_groups
from monitored_openai._local.conversation import turns
from monitored_openai._local.history import History
from monitored_openai._local.ingest import ReceivedEntry
from monitored_openai._local.media import Media
from tests.support.local_page import CALL, Page, open_page

NUMBERS = st.one_of(st.none(), st.integers(0, 5), st.floats(0, 5, width=32))


def call(
    number: int, *, cost: Any = None, duration: Any = None, tokens: tuple[Any, Any] = (None, None), **more: Any
) -> Any:
    usage = {
        name: value for name, value in zip(("input_tokens", "output_tokens"), tokens, strict=True) if value is not None
    }
    facts = {
        "cost": None if cost is None else {"total_usd": cost},
        "usage": usage or None,
        "duration_seconds": duration,
    }
    known = {name: value for name, value in facts.items() if value is not None}
    return {**CALL, "id": f"c{number:03}", **known, **more}


def pages(page: Page, **asked: Any) -> list[str]:
    """The ids of all calls, page by page."""
    ids: list[str] = []
    before: dict[str, Any] = {}
    while found := page.get("/api/calls", limit=3, **asked, **before).json():
        ids += [one["id"] for one in found]
        before = {"before": found[-1]["at_ns"], "before_id": found[-1]["id"]}
    return ids


@given(values=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=12))
@settings(max_examples=15, deadline=None)
def test_pages_in_any_order_contain_each_call_once(tmp_path_factory: pytest.TempPathFactory, values: list[Any]) -> None:
    made = open_page(tmp_path_factory.mktemp("page") / "history.sqlite3")
    page = next(made)
    entries = [
        call(number, cost=cost, duration=duration, tokens=(one, other))
        for number, (cost, duration, one, other) in enumerate(values)
    ]
    page.log(*entries)

    def known(number: int, place: int) -> Any:
        return -1 if values[number][place] is None else values[number][place]

    def tokens(number: int) -> Any:
        given = [one for one in values[number][2:] if one is not None]
        return sum(given) if given else -1

    keys: dict[str, Callable[[int], Any]] = {
        "time": lambda number: 0,
        "cost": lambda number: known(number, 0),
        "duration": lambda number: known(number, 1),
        "tokens": tokens,
    }
    for order, key in keys.items():
        expected = sorted(range(len(values)), key=lambda number: (key(number), number), reverse=True)
        assert pages(page, order=order) == [f"c{number:03}" for number in expected], order
    assert list(made) == []


def test_calls_end_at_an_instant_too(page: Page) -> None:
    now = time.time_ns()
    page.log(*(call(number) for number in range(4)), at_ns=now)

    assert pages(page, since_ns=str(now + 1), until_ns=str(now + 3)) == ["c002", "c001"]


def test_an_attribute_that_is_no_label_of_a_metric_filters_the_list(page: Page) -> None:
    page.log(call(1, attributes={"customer": "a"}), call(2, attributes={"customer": "b"}), call(3))

    assert pages(page, **{"is.customer": "a"}) == ["c001"]
    assert pages(page, **{"is.customer": ""}) == ["c003"]


def test_sessions_conversations_and_traces_have_sums(page: Page) -> None:
    page.log(
        call(1, cost=0.5, tokens=(1, 2), duration=1, attributes={"session_id": "s"}, trace_id="t"),
        call(2, cost=0.25, tokens=(3, None), duration=2, attributes={"session": "s"}, cost_incomplete=["tool_fee"]),
        call(3, attributes={"session_id": "other"}, error_type="timeout", request={"conversation": {"id": "conv"}}),
        call(4, trace_id="t", request={"conversation": "conv"}),
    )

    sums = {one["key"]: one for one in page.get("/api/groups", by="session").json()}
    assert sums.keys() == {"s", "other"}
    assert sums["s"] | {"first_ns": 0, "last_ns": 0} == {
        "key": "s", "calls": 2, "errors": 0, "cost": 0.75, "cost_incomplete": 1, "input_tokens": 4, "output_tokens": 2,
        "usage_unknown": 0, "duration": 3, "first_ns": 0, "last_ns": 0,
    }  # fmt: skip
    assert (sums["other"]["errors"], sums["other"]["cost_incomplete"]) == (1, 0)
    assert [(one["key"], one["calls"]) for one in page.get("/api/groups", by="conversation").json()] == [("conv", 2)]
    assert [(one["key"], one["calls"]) for one in page.get("/api/groups", by="trace").json()] == [("t", 2)]
    assert page.get("/api/groups", by="trace", failed="1").json() == []
    assert pages(page, **{"group.conversation": "conv"}) == ["c004", "c003"]


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_chains_of_responses_are_conversations_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, 7))
    parents = [
        data.draw(st.one_of(st.none(), st.integers(0, number - 1))) if number else None for number in range(size)
    ]
    order = data.draw(st.permutations(range(size)))
    lost = data.draw(st.sets(st.integers(0, size - 1), max_size=2))
    stored = [number for number in order if number not in lost]
    with closing(History(tmp_path_factory.mktemp("chains") / "history.sqlite3", say=print)) as history:
        while stored:
            batch, stored = stored[: (cut := data.draw(st.integers(1, len(stored))))], stored[cut:]
            keep(history, [received(continued(number, parents[number])) for number in batch])
        groups = {one["key"]: one["calls"] for one in stored_groups(history, CallFilter(where={}), "conversation")}
        found = {key: {json.loads(one)["id"] for one in search(history, of_conversation(key))} for key in groups}

    def root(number: int) -> int:
        parent = parents[number]
        return number if parent is None or number in lost else root(parent)

    trees: dict[str, set[str]] = {}
    for number in set(range(size)) - lost:
        children = [one for one in range(size) if parents[one] == number and one not in lost]
        if children or parents[number] is not None:
            trees.setdefault(f"resp_{root(number):04}", set()).add(f"c{number:03}")
    assert found == trees
    assert groups == {key: len(calls) for key, calls in trees.items()}


def received(entry: Any) -> ReceivedEntry:
    return ReceivedEntry(timestamp_ns=time.time_ns(), call=entry, metadata={})


def of_conversation(key: str) -> CallFilter:
    return CallFilter(where={}, group=("conversation", key))


def continued(number: int, previous: int | None, **more: Any) -> Any:
    """A call with a response of this number, which continues another response."""
    named = {} if previous is None else {"previous_response_id": f"resp_{previous:04}"}
    return call(number, response_id=f"resp_{number:04}", identifiers=named, **more)


def test_a_chain_belongs_to_the_conversation_that_its_call_names(page: Page) -> None:
    named = {"attributes": {"conversation_id": "shop"}}
    page.log(continued(2, 1), continued(3, 2), continued(5, None))
    page.log(continued(1, 0, **named), continued(4, 3))
    page.log(call(6, identifiers={"conversation": "conv", "previous_response_id": "[redacted]"}))
    page.log(*(call(number, identifiers={"previous_response_id": "[redacted]"}) for number in (7, 8)))

    groups = {one["key"]: one["calls"] for one in page.get("/api/groups", by="conversation").json()}
    assert groups == {"shop": 4, "conv": 1}


@pytest.mark.parametrize("path", ["/api/calls?order=id", "/api/groups", "/api/groups?by=row", "/api/calls?group.row=x"])
def test_unknown_orders_and_groups_are_refused(page: Page, path: str) -> None:
    assert page.get(path).status_code == 400


def test_a_row_tells_what_is_special_about_a_call(page: Page) -> None:
    request = {
        "stream": True,
        "tools": [{"type": "function", "function": {"name": "f"}}, {"type": "web_search"}],
        "text": {"format": {"type": "json_schema"}},
        "input": [{"role": "user", "content": [{"type": "input_image", "image_url": "u"}, {"type": "input_image"}]}],
    }
    page.log(call(1, request=request), call(2))

    plain, special = page.get("/api/calls").json()

    assert [special[name] for name in ("streamed", "tools", "structured", "media")] == [True, 2, True, {"image": 2}]
    assert [plain[name] for name in ("streamed", "tools", "structured", "media")] == [False, 0, False, {}]


SUMMARY = "[image/png, 9 bytes, sha256 of the base64 ab]"
PARTS: list[tuple[Any, list[Media]]] = [
    ({"type": "image_url", "image_url": {"url": SUMMARY}}, [Media(kind="image", detail=SUMMARY)]),
    ({"type": "input_image", "file_id": "file-1"}, [Media(kind="image", detail="file-1")]),
    (
        {"type": "input_audio", "input_audio": {"data": "[base64]", "format": "wav"}},
        [Media(kind="audio", detail="[base64]")],
    ),
    ({"type": "file", "file": {"filename": "a.pdf", "file_data": "x"}}, [Media(kind="file", detail="a.pdf")]),
    ({"type": "input_file", "file_url": "https://x.test/a"}, [Media(kind="file", detail="https://x.test/a")]),
    ({"type": "input_image", "image_url": 5}, [Media(kind="image")]),
    ({"type": "text", "text": "t"}, []),
    ({"type": ["image"]}, []),
]


@pytest.mark.parametrize(("part", "media"), PARTS)
def test_media_in_a_question_are_marks(part: Any, media: list[Media]) -> None:
    (turn,) = turns({"request": {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}, part]}]}})

    assert list(turn.media) == media
    assert turn.text.startswith("q")
    assert "image_url" not in str(turn)


def test_media_in_an_answer_are_marks() -> None:
    answers: list[tuple[Any, str]] = [
        ({"content_type": "audio/mpeg", "bytes": 12345}, "[audio: audio/mpeg, 12,345 bytes]"),
        ({"data": [{"b64_json": SUMMARY, "revised_prompt": "a cat"}]}, f"a cat\n[image: {SUMMARY}]"),
        ({"output": [{"type": "image_generation_call", "result": SUMMARY}]}, f"[image: {SUMMARY}]"),
        ({"choices": [{"message": {"audio": {"transcript": "hi", "data": "[x]"}}}]}, "hi\n[audio: [x]]"),
        ({"data": [{"embedding": [0.5]}]}, ""),
    ]
    for response, expected in answers:
        assert "".join(map(str, turns({"response": response}))) == expected

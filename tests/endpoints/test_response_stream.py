"""The body merged from the events of a response's stream that ended early, or whose events lack fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from monitored_openai._endpoints.base import parse_body
from monitored_openai._endpoints.responses import RESPONSES

MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
TEXT = "response.output_text.delta"


def output_of(*events: dict[str, Any]) -> Any:
    """The output of a stream that ended after these events."""
    started = {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "output": []}}
    lines = "".join(f"data: {json.dumps(event)}\n\n" for event in (started, *events))
    body = parse_body(RESPONSES, lines.encode()).body
    assert isinstance(body, dict)
    return body["output"]


def added(item: dict[str, Any] = MESSAGE, **fields: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": 0, "item": item, **fields}


def delta(text: str, kind: str = TEXT, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "delta": text, **fields}


AT: dict[str, Any] = {"output_index": 0, "content_index": 0}


@pytest.mark.parametrize(
    ("events", "content"),
    [
        # without an index, a delta belongs to the item with the same id, else to the last one
        ((added(), delta("a", **AT), delta("b")), [{"type": "output_text", "text": "ab"}]),
        ((added(), delta("a", content_index=0, item_id="msg_1")), [{"type": "output_text", "text": "a"}]),
        # a part that the server sent before its deltas is the same part
        (
            (added({**MESSAGE, "content": [{"type": "output_text", "text": ""}]}), delta("a", **AT)),
            [{"type": "output_text", "text": "a"}],
        ),
        (
            (
                added(),
                {"type": "response.content_part.added", **AT, "part": {"type": "output_text", "text": "a"}},
                delta("b", **AT),
            ),
            [{"type": "output_text", "text": "ab"}],
        ),
        # parts lie at their index, not in the order of arrival
        (
            (added(), delta("b", output_index=0, content_index=1), delta("a", **AT)),
            [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}],
        ),
        # a whole text without deltas
        ((added(), {"type": "response.output_text.done", **AT, "text": "a"}), [{"type": "output_text", "text": "a"}]),
        (
            (added(), delta("a", **AT), {"type": "response.output_text.done", **AT, "text": "ab"}),
            [{"type": "output_text", "text": "ab"}],
        ),
        # deltas that other servers send, and annotations
        (
            (added(), delta("a", "response.reasoning.delta", output_index=0)),
            [{"type": "reasoning", "text": "a"}],
        ),
        (
            (
                added(),
                delta("a", **AT),
                {"type": "response.output_text.annotation.added", **AT, "annotation": {"type": "url_citation"}},
            ),
            [{"type": "output_text", "text": "a", "annotations": [{"type": "url_citation"}]}],
        ),
        (
            (added(), delta("a", **AT, logprobs=[{"token": "a", "logprob": -1.0}])),
            [{"type": "output_text", "text": "a", "logprobs": [{"token": "a", "logprob": -1.0}]}],
        ),
    ],
)
def test_an_interrupted_stream_keeps_all_that_the_server_sent(
    events: tuple[dict[str, Any], ...], content: list[dict[str, Any]]
) -> None:
    (item,) = output_of(*events)
    assert item == {**MESSAGE, "content": content}


def test_a_delta_without_an_index_costs_no_other_text() -> None:
    first, second = output_of(
        added(), delta("a", **AT), added({"id": "fc_1", "type": "function_call"}, output_index=1), delta("b")
    )
    assert first["content"] == [{"type": "output_text", "text": "a"}]
    assert second["content"] == [{"type": "output_text", "text": "b"}]


def test_a_finished_item_does_not_change() -> None:
    whole = {**MESSAGE, "content": [{"type": "output_text", "text": "ab", "annotations": []}]}
    done = {"type": "response.output_item.done", "output_index": 0, "item": whole}
    text_done = {"type": "response.output_text.done", **AT, "text": "ab"}
    assert output_of(added(), delta("a", **AT), delta("b", **AT), text_done, done) == [whole]


@pytest.mark.parametrize("index", [-1, 10**9, "x", 1.5])
def test_an_absurd_index_costs_nothing(index: object) -> None:
    items = output_of(added(), delta("a", **AT), delta("b", output_index=0, content_index=index))
    assert "".join(part["text"] for part in items[0]["content"]) == "ab"
    assert any("a" in str(item) for item in output_of(added(), delta("a", output_index=index, content_index=0)))

"""Streams that break the API's rules: the same chunks as on the bare SDK, and the known facts are recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.conformance._odd import CHOICE, USAGE, Odd, assert_known, cases, play
from tests.conformance._stage import Stage
from tests.support.servers.openai_api import Behaviour

EVENTS = "text/event-stream"


def stream(*events: Any, tokens: tuple[int | None, int | None] | str = "not_reported", done: bool = True) -> Odd:
    """A stream of these events: text as it is, all else as JSON."""
    texts = [event if isinstance(event, str) else f"data: {json.dumps(event)}\n\n" for event in events]
    body = "".join(texts) + ("data: [DONE]\n\n" if done else "")
    return Odd(behaviour=Behaviour(body=body, content_type=EVENTS), tokens=tokens)


def chunk(*choices: Any, **more: Any) -> dict[str, Any]:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024-08-06"}
    return {**head, "choices": list(choices), **more}


def delta(content: Any, index: Any = 0, **more: Any) -> dict[str, Any]:
    return {"index": index, "delta": {"content": content}, "finish_reason": None, **more}


END = chunk({"index": 0, "delta": {}, "finish_reason": "stop"})
COUNTED = chunk(usage=USAGE)

STREAMS: Mapping[str, Odd] = {
    "no-done": stream(chunk(delta("hi")), END, done=False),
    "usage-at-the-end": stream(chunk(delta("hi")), END, COUNTED, tokens=(5, 7)),
    "usage-at-the-end-without-done": stream(chunk(delta("hi")), END, COUNTED, tokens=(5, 7), done=False),
    "usage-in-every-chunk": stream(
        chunk(delta("h"), usage={**USAGE, "completion_tokens": 1}), chunk(delta("i"), usage=USAGE), tokens=(5, 7)
    ),
    "usage-twice": stream(
        END, chunk(usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}), COUNTED, tokens=(5, 7)
    ),
    "usage-with-the-last-choice": stream(chunk(delta("hi"), usage=USAGE), tokens=(5, 7)),
    "usage-odd": stream(chunk(delta("hi")), chunk(usage={"prompt_tokens": "x"}), tokens="invalid"),
    "usage-text": stream(chunk(delta("hi")), chunk(usage="many"), tokens="invalid"),
    "usage-details-null": stream(chunk(usage={**USAGE, "prompt_tokens_details": None}), tokens=(5, 7)),
    "choices-missing": stream({"id": "c", "model": "gpt-4o-2024-08-06"}, END),
    "choices-null": stream({**chunk(), "choices": None}, END),
    "choices-of-null": stream({**chunk(), "choices": [None]}, END),
    "choices-text": stream({**chunk(), "choices": "hi"}, END),
    "choice-empty": stream(chunk({}), END),
    "delta-null": stream(chunk({"index": 0, "delta": None}), END),
    "delta-text": stream(chunk({"index": 0, "delta": "hi"}), END),
    "content-null": stream(chunk(delta(None)), END),
    "content-number": stream(chunk(delta(7)), chunk(delta("x")), END),
    "content-list": stream(chunk(delta([{"type": "text", "text": "x"}])), END),
    "content-surrogate": stream(chunk(delta("a\ud800b")), END),
    "content-nul": stream(chunk(delta("a\0b")), END),
    "index-same": stream(chunk(delta("a"), delta("b")), END),
    "index-out-of-order": stream(chunk(delta("b", 1)), chunk(delta("a", 0)), END),
    "index-null": stream(chunk(delta("b", None)), END),
    "index-list": stream(chunk(delta("b", [])), END),
    "finish-unknown": stream(chunk(delta("b", finish_reason="tired"))),
    "logprobs": stream(chunk(delta("b", logprobs={"content": [{"token": "b", "logprob": -1}]})), END),
    "tool-calls-null": stream(chunk({"index": 0, "delta": {"tool_calls": None}}), END),
    "tool-calls-odd": stream(chunk({"index": 0, "delta": {"tool_calls": [{"function": None}, {"index": 9}, 5]}}), END),
    "tool-arguments-grow-odd": stream(
        *(
            chunk({"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}})
            for part in ("{", 7, None, "}")
        ),
        END,
    ),
    "reasoning": stream(chunk({"index": 0, "delta": {"reasoning_content": "hm", "content": "a"}}), END),
    "more-fields": stream(chunk(delta("a"), x_more={"a": 1}), END),
    "comments": stream(": OPENROUTER PROCESSING\n\n", chunk(delta("a")), ": again\n\n", END),
    "crlf": stream(f"data: {json.dumps(END)}\r\n\r\n"),
    "only-done": replace(stream(), model=None),
    "event-object-empty": stream({}, END),
}
BAD_STREAMS: Mapping[str, Odd] = {
    "named-events": stream(f"event: chunk\nid: 7\nretry: 10\ndata: {json.dumps(END)}\n\n"),
    "empty": stream(done=False),
    "event-after-done": stream(END, "data: [DONE]\n\n", COUNTED),
    "event-null": stream(None, END),
    "event-number": stream(7, END),
    "event-text": stream('data: "hi"\n\n', END),
    "event-list": stream([], END),
    "error-text": stream({"error": "busy"}, END),
    "error-with-code": stream(chunk(delta("a")), {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}),
    "html": Odd(behaviour=Behaviour(body="<html>busy</html>", content_type="text/html")),
    "plain-answer": Odd(behaviour=Behaviour(body=json.dumps({"choices": [CHOICE], "usage": USAGE}))),
    "no-utf-8": Odd(behaviour=Behaviour(body=b"data: \xff\xfe\n\n", content_type=EVENTS)),
}
"""For some of these the SDK raises, and which ones depends on its version."""


@pytest.mark.parametrize(
    ("odd", "name", "is_async"), list(cases(STREAMS, "stream-asked", "raw-stream-asked", "body-events"))
)
def test_an_odd_stream_reaches_the_caller_and_is_recorded(stage: Stage, odd: Odd, name: str, is_async: bool) -> None:
    record = play(stage, odd, name, is_async)

    assert record.error_type is None
    assert_known(stage, odd, record)


@pytest.mark.parametrize(
    ("odd", "name", "is_async"),
    [
        *cases({name: odd for name, odd in STREAMS.items() if "usage" not in name}, "stream", "helper"),
        *cases(BAD_STREAMS, "stream", "stream-asked", "raw-stream", "helper", "body-events"),
    ],
)
def test_the_oddest_stream_is_no_different_from_the_bare_sdk(stage: Stage, odd: Odd, name: str, is_async: bool) -> None:
    record = play(stage, odd, name, is_async)

    assert (record.http_status, record.streamed) == (200, True)
    assert record.usage is None or (record.usage.input_tokens, record.usage.output_tokens) == (5, 7)

"""Requesting the usage adds at most one chunk without choices per server; the chunks are those of the bare SDK."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import openai
import pytest

from monitored_openai import AsyncMonitoredOpenAI, MonitoredOpenAI, Monitoring
from tests.conformance._odd import USAGE
from tests.conformance._stage import KEEPING, records_of
from tests.support.handles import http

Server = Callable[[bool], list[dict[str, Any]]]
"""Returns the chunks of a stream, by whether the request has `stream_options`."""

HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
MODERATION = {"input": {"type": "moderation_results", "model": "m", "results": []}}
TIMINGS = {"predicted_n": 7}


def text(**more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "delta": {"content": "hi"}, "text": "hi", "finish_reason": None}], **more}


def last(**more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "delta": {}, "text": "", "finish_reason": "stop"}], **more}


def llama_cpp(requested: bool) -> list[dict[str, Any]]:
    if requested:
        return [text(), last(), {**HEAD, "choices": [], "usage": USAGE, "timings": TIMINGS}]
    return [text(), last(timings=TIMINGS)]


def usual(requested: bool) -> list[dict[str, Any]]:
    return [text(), last(), *([{**HEAD, "choices": [], "usage": USAGE}] if requested else [])]


def moderating(requested: bool) -> list[dict[str, Any]]:
    return [
        text(),
        last(),
        {**HEAD, "choices": [], "moderation": MODERATION, **({"usage": USAGE} if requested else {})},
    ]


class Caller:
    """Streams by the bare SDK and by our client from the same server."""

    def __init__(self, monitoring: Monitoring, *, is_async: bool, legacy: bool) -> None:
        self.monitoring, self.is_async, self.legacy = monitoring, is_async, legacy
        self.requested: list[bool] = []

    def stream(self, server: Server, *, host: str = "api.test", bare: bool = False, **more: Any) -> list[Any]:
        def reply(request: Any) -> Any:
            requested = "stream_options" in json.loads(request.content)
            self.requested.append(requested)
            events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in server(requested))
            return http.Response(200, text=events + "data: [DONE]\n\n", headers={"content-type": "text/event-stream"})

        options: dict[str, Any] = {
            "api_key": "k",
            "base_url": f"https://{host}/v1",
            **({} if bare else {"monitoring": self.monitoring}),
        }
        asked: dict[str, Any] = {
            "model": "m",
            "stream": True,
            **({"prompt": ""} if self.legacy else {"messages": []}),
            **more,
        }
        transport = http.MockTransport(reply)
        if self.is_async:
            return asyncio.run(self._stream_async(transport, options, asked, bare=bare))
        with http.Client(transport=transport) as sends:
            kind = openai.OpenAI if bare else MonitoredOpenAI
            return [
                chunk.to_dict(warnings=False) for chunk in self._create(kind(**options, http_client=sends))(**asked)
            ]

    async def _stream_async(self, transport: Any, options: Any, asked: Any, *, bare: bool) -> list[Any]:
        async with http.AsyncClient(transport=transport) as sends:
            kind = openai.AsyncOpenAI if bare else AsyncMonitoredOpenAI
            create = self._create(kind(**options, http_client=sends))
            return [chunk.to_dict(warnings=False) async for chunk in await create(**asked)]

    def _create(self, client: Any) -> Any:
        return client.completions.create if self.legacy else client.chat.completions.create


@pytest.fixture
def forgotten_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each warning be logged again, whatever an earlier test has logged within the minute."""
    monkeypatch.setattr("monitored_openai._logging._said", {})


@pytest.fixture
def monitoring() -> Iterator[Monitoring]:
    with closing(Monitoring(KEEPING)) as handle:
        yield handle


@pytest.fixture(params=["chat-sync", "chat-async", "legacy-sync", "legacy-async"])
def caller(request: pytest.FixtureRequest, monitoring: Monitoring) -> Caller:
    return Caller(monitoring, is_async="async" in request.param, legacy="legacy" in request.param)


def test_after_a_chunk_that_cannot_be_hidden_all_streams_are_those_of_the_bare_sdk(
    caller: Caller, caplog: pytest.LogCaptureFixture, forgotten_warnings: None
) -> None:
    bare = caller.stream(llama_cpp, bare=True)
    caller.requested.clear()
    with caplog.at_level(logging.WARNING, "monitored_openai"):
        streams = [caller.stream(llama_cpp) for _ in range(4)]

    assert caller.requested == [True, False, False, False]
    assert [chunk["choices"] for chunk in streams[0]][-1] == [], "only the first stream has a chunk without choices"
    assert streams[1:] == [bare] * 3
    (warning,) = [line.getMessage() for line in caplog.records]
    assert warning.startswith("api.test sends other data in the chunk with the usage.")
    records = records_of(caller.monitoring)
    assert [record.usage is not None for record in records] == [True, False, False, False]
    assert {record.usage_unknown for record in records[1:]} == {"not_reported"}
    assert caller.stream(usual, host="other.test") == caller.stream(usual, host="other.test", bare=True)
    assert caller.requested[-2] is True, "another server gets the request"
    records_of(caller.monitoring)


@pytest.mark.parametrize(
    ("host", "more"),
    [("api.openai.com", {}), ("eu.api.openai.com", {}), ("api.test", {"extra_body": {"moderation": {"model": "m"}}})],
)
def test_results_that_the_caller_requested_do_not_stop_the_request(
    caller: Caller, host: str, more: dict[str, Any]
) -> None:
    bare = caller.stream(moderating, host=host, bare=True, **more)
    caller.requested.clear()
    streams = [caller.stream(moderating, host=host, **more) for _ in range(3)]

    assert caller.requested == [True] * 3
    for stream in streams:
        assert [chunk["choices"] for chunk in stream] == [chunk["choices"] for chunk in bare]
        assert stream[:-1] == bare[:-1]
        assert stream[-1] == {**bare[-1], "usage": USAGE}
    assert all(record.usage is not None for record in records_of(caller.monitoring))


def test_chunks_without_choices_and_without_usage_do_not_stop_the_request(caller: Caller) -> None:
    def azure(requested: bool) -> list[dict[str, Any]]:
        return [{**HEAD, "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}, *usual(requested)]

    bare = caller.stream(azure, bare=True)
    caller.requested.clear()

    assert [caller.stream(azure) for _ in range(3)] == [bare] * 3
    assert caller.requested == [True] * 3
    records_of(caller.monitoring)


ODD: dict[str, dict[str, Any]] = {
    "null-choices": {**HEAD, "choices": None},
    "no-choices-field": HEAD,
    "null-choice": {**HEAD, "choices": [None]},
    "choices-of-another-type": {**HEAD, "choices": {}},
    "null-delta": {**HEAD, "choices": [{"index": 0, "delta": None, "text": None, "finish_reason": None}]},
    "choice-without-fields": {**HEAD, "choices": [{}]},
    "delta-of-another-type": {**HEAD, "choices": [{"index": 0, "delta": "x", "text": 1}]},
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_chunk_is_passed_on_and_read_without_a_warning(
    caller: Caller, name: str, caplog: pytest.LogCaptureFixture, forgotten_warnings: None
) -> None:
    def server(requested: bool) -> list[dict[str, Any]]:
        return [ODD[name], text(), ODD[name], *usual(requested)]

    bare = caller.stream(server, bare=True)
    with caplog.at_level(logging.WARNING, "monitored_openai"):
        ours = caller.stream(server)
        (record,) = records_of(caller.monitoring)

    assert ours == bare
    assert [line.getMessage() for line in caplog.records if "chunk" in line.getMessage()] == []
    assert record.usage is not None
    assert (record.usage.input_tokens, record.finish_reasons, record.chunks) == (5, ("stop",), len(bare))


@pytest.mark.parametrize("choices", [{}, {"choices": None}, {"choices": []}])
def test_a_chunk_of_usage_is_hidden_if_its_choices_are_null_or_missing(caller: Caller, choices: dict[str, Any]) -> None:
    def server(requested: bool) -> list[dict[str, Any]]:
        return [text(), last(), *([{**HEAD, **choices, "usage": USAGE}] if requested else [])]

    assert [caller.stream(server) for _ in range(2)] == [caller.stream(server, bare=True)] * 2
    assert caller.requested[:2] == [True, True]
    assert all(record.usage is not None for record in records_of(caller.monitoring))

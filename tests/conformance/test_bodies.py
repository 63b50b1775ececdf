"""Ways to a response's body that bypass the SDK: those of the HTTP library, and those that the caller added."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import openai
import pytest
from openai import Stream
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.conformance._paths import ASKED, CHAT, STREAMED
from tests.conformance._readings import VALUE
from tests.conformance._stage import Cell, Stage, records_of
from tests.conformance.test_post import PATH
from tests.support.servers.openai_api import Behaviour

GZIPPED = Behaviour(gzip=True).header()
JSON = {"headers": {"content-type": "application/json"}}


@pytest.fixture(autouse=True)
def plain_answers(stage: Stage) -> None:
    stage.server.begin(Behaviour())


def opened(stage: Stage, *, is_async: bool) -> tuple[Any, Any]:
    cell = Cell(path=PATH, reading=VALUE[""], is_async=is_async)
    client = stage.ours(cell)
    records_of(client.monitoring)
    return client, stage.way(cell)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("how", ["iter_bytes", "iter_lines", "iter_raw"])
def test_the_bytes_of_a_response_that_nobody_holds_any_more_can_be_read(stage: Stage, how: str, is_async: bool) -> None:
    client, way = opened(stage, is_async=is_async)
    pieces: list[Any] = []

    async def read() -> None:
        raw = await way.get(client.chat.completions.with_raw_response.create(**CHAT, **ASKED))
        box = [getattr(raw.http_response, f"a{how}" if is_async else how)]
        del raw
        await way.each(box.pop()(), pieces.append)

    way.run(read())
    (record,) = records_of(client.monitoring)
    assert len(pieces) > 0
    assert (record.error_type, record.usage is not None) == (None, True)


@pytest.mark.parametrize("is_async", [False, True])
def test_bytes_that_are_read_compressed_tell_their_usage(stage: Stage, is_async: bool) -> None:
    client, way = opened(stage, is_async=is_async)
    packed: list[bytes] = []

    async def read() -> None:
        asked = client.chat.completions.with_streaming_response.create(**CHAT, extra_headers=GZIPPED)
        async with AsyncExitStack() as stack:
            response = (await way.enter(stack, asked)).http_response
            await way.each(response.aiter_raw() if is_async else response.iter_raw(), packed.append)

    way.run(read())
    (record,) = records_of(client.monitoring)
    answer = json.loads(gzip.decompress(b"".join(packed)))
    assert (record.error_type, record.response) == (None, answer)
    assert record.usage is not None


@pytest.mark.parametrize("is_async", [False, True])
def test_a_streams_response_read_as_bytes_is_a_call_read_to_its_end(stage: Stage, is_async: bool) -> None:
    client, way = opened(stage, is_async=is_async)
    lines: list[str] = []

    async def read() -> None:
        response = (await way.get(client.chat.completions.create(**CHAT, **ASKED))).response
        await way.each(response.aiter_lines() if is_async else response.iter_lines(), lines.append)

    way.run(read())
    (record,) = records_of(client.monitoring)
    assert "data: [DONE]" in lines
    assert (record.error_type, record.usage is not None) == (None, True)


READ_BY_A_HOOK: dict[str, tuple[Callable[[Any], Any], int | None]] = {
    "body": (lambda chat: chat.with_streaming_response.create(**CHAT), None),
    "raw stream": (lambda chat: chat.with_raw_response.create(**CHAT, **ASKED), None),
    "stream": (lambda chat: chat.create(**CHAT, **STREAMED), 5),
}
"""How the call is made, and how many chunks are known to have been waited for."""


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("path", READ_BY_A_HOOK)
def test_a_body_that_a_hook_of_the_http_client_has_read_is_seen(stage: Stage, path: str, is_async: bool) -> None:
    def hook(response: Any) -> None:
        response.read()

    async def async_hook(response: Any) -> None:
        await response.aread()

    client, way = opened(stage, is_async=is_async)
    make, chunks = READ_BY_A_HOOK[path]
    kind = openai.DefaultAsyncHttpxClient if is_async else openai.DefaultHttpxClient
    client = client.copy(http_client=kind(event_hooks={"response": [async_hook if is_async else hook]}))

    async def read() -> None:
        async with AsyncExitStack() as stack:
            made = make(client.chat.completions)
            got = await (way.enter(stack, made) if path == "body" else way.get(made))
            if path == "stream":
                await way.each(got, lambda chunk: None)
            else:
                assert got.http_response.content
        await way.get(client.close())

    way.run(read())
    (record,) = records_of(client.monitoring)
    assert (record.error_type, record.chunks, record.usage is not None) == (None, chunks, True)


@pytest.mark.skipif("content" not in inspect.signature(openai.OpenAI.post).parameters, reason="the SDK posts JSON only")
@pytest.mark.parametrize("streams", [False, True])
def test_a_request_whose_body_comes_from_an_iterator_is_seen_to_its_end(stage: Stage, streams: bool) -> None:
    client, _ = opened(stage, is_async=False)
    content = iter([json.dumps({**CHAT, **(ASKED if streams else {})}).encode()])
    if streams:
        kind = Stream[ChatCompletionChunk]
        list(
            client.post(
                "/chat/completions",
                cast_to=ChatCompletionChunk,
                content=content,
                options=JSON,
                stream=True,
                stream_cls=kind,
            )
        )
    else:
        client.post("/chat/completions", cast_to=ChatCompletion, content=content, options=JSON)
    (record,) = records_of(client.monitoring)
    assert (record.error_type, record.http_status, record.usage is not None) == (None, 200, True)


@pytest.mark.parametrize("how", ["stream", "raw stream"])
def test_the_event_loop_has_nothing_to_complain_of_when_streams_are_broken_off_and_let_go(
    stage: Stage, how: str
) -> None:
    client, way = opened(stage, is_async=True)
    complaints: list[Any] = []
    rounds = 2

    async def break_off() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        try:
            for _ in range(rounds):
                chat = client.chat.completions
                made = await (chat if how == "stream" else chat.with_raw_response).create(**CHAT, **ASKED)
                await way.each(made if how == "stream" else made.parse(), lambda chunk: None, 1)
                del made
                await way.collect()
        finally:
            loop.set_exception_handler(None)

    way.run(break_off())
    assert complaints == []
    assert [record.error_type for record in records_of(client.monitoring)] == ["abandoned"] * rounds

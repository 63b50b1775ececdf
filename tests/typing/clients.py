"""For the type checkers, never run: our clients keep every type of the official ones, and wrong use is an error.

A wrong use carries an ignore, and both checkers report an ignore that ignores nothing, so that each of them
shows that there is an error.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

from typing import assert_type

from openai import AsyncAzureOpenAI, AsyncOpenAI, AsyncStream, AzureOpenAI, OpenAI, Stream
from openai._legacy_response import LegacyAPIResponse
from openai._response import APIResponse, AsyncAPIResponse
from openai.lib.streaming.chat import AsyncChatCompletionStream, ChatCompletionStream
from openai.types import Completion
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessageParam,
    ParsedChatCompletion,
)
from pydantic import BaseModel

from monitored_openai import (
    AsyncMonitoredAzureOpenAI,
    AsyncMonitoredOpenAI,
    MonitoredAzureOpenAI,
    MonitoredOpenAI,
    Monitoring,
    MonitoringSettings,
    attributes,
    monitor,
    no_content,
)


class Verdict(BaseModel):
    text: str


MODEL = "gpt-4o"
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Why?"}]


def chat(client: MonitoredOpenAI, *, maybe: bool) -> None:
    create = client.chat.completions.create
    assert_type(create(model=MODEL, messages=MESSAGES), ChatCompletion)
    assert_type(create(model=MODEL, messages=MESSAGES, stream=False), ChatCompletion)
    assert_type(create(model=MODEL, messages=MESSAGES, stream=True), Stream[ChatCompletionChunk])
    assert_type(create(model=MODEL, messages=MESSAGES, stream=maybe), ChatCompletion | Stream[ChatCompletionChunk])
    for chunk in create(model=MODEL, messages=MESSAGES, stream=True):
        assert_type(chunk, ChatCompletionChunk)


def other_ways(client: MonitoredOpenAI) -> None:
    completions = client.chat.completions
    parsed = completions.parse(model=MODEL, messages=MESSAGES, response_format=Verdict)
    assert_type(parsed, ParsedChatCompletion[Verdict])
    assert_type(parsed.choices[0].message.parsed, Verdict | None)
    raw = completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
    assert_type(raw, LegacyAPIResponse[ChatCompletion])
    assert_type(raw.parse(), ChatCompletion)
    assert_type(
        completions.with_raw_response.create(model=MODEL, messages=MESSAGES, stream=True),
        LegacyAPIResponse[Stream[ChatCompletionChunk]],
    )
    assert_type(
        client.with_raw_response.chat.completions.create(model=MODEL, messages=MESSAGES),
        LegacyAPIResponse[ChatCompletion],
    )
    with completions.with_streaming_response.create(model=MODEL, messages=MESSAGES) as response:
        assert_type(response, APIResponse[ChatCompletion])
    with completions.stream(model=MODEL, messages=MESSAGES, response_format=Verdict) as stream:
        assert_type(stream, ChatCompletionStream[Verdict])
    assert_type(client.beta.chat.completions.create(model=MODEL, messages=MESSAGES), ChatCompletion)


def legacy(client: MonitoredOpenAI) -> None:
    assert_type(client.completions.create(model=MODEL, prompt="Why?"), Completion)
    assert_type(client.completions.create(model=MODEL, prompt="Why?", stream=True), Stream[Completion])


async def in_async(client: AsyncMonitoredOpenAI, *, maybe: bool) -> None:
    completions = client.chat.completions
    assert_type(await completions.create(model=MODEL, messages=MESSAGES), ChatCompletion)
    chunks = await completions.create(model=MODEL, messages=MESSAGES, stream=True)
    assert_type(chunks, AsyncStream[ChatCompletionChunk])
    async for chunk in chunks:
        assert_type(chunk, ChatCompletionChunk)
    assert_type(
        await completions.create(model=MODEL, messages=MESSAGES, stream=maybe),
        ChatCompletion | AsyncStream[ChatCompletionChunk],
    )
    assert_type(
        await completions.parse(model=MODEL, messages=MESSAGES, response_format=Verdict),
        ParsedChatCompletion[Verdict],
    )
    assert_type(
        await completions.with_raw_response.create(model=MODEL, messages=MESSAGES),
        LegacyAPIResponse[ChatCompletion],
    )
    async with completions.with_streaming_response.create(model=MODEL, messages=MESSAGES) as response:
        assert_type(response, AsyncAPIResponse[ChatCompletion])
    async with completions.stream(model=MODEL, messages=MESSAGES, response_format=Verdict) as stream:
        assert_type(stream, AsyncChatCompletionStream[Verdict])
    assert_type(await client.completions.create(model=MODEL, prompt="Why?", stream=True), AsyncStream[Completion])
    assert_type(client.with_options(timeout=3), AsyncMonitoredOpenAI)
    assert_type(client.with_attributes(team="x"), AsyncMonitoredOpenAI)
    assert_type(client.monitoring, Monitoring)
    async with client as entered:
        assert_type(entered, AsyncMonitoredOpenAI)


def construction(settings: MonitoringSettings) -> None:
    client = MonitoredOpenAI(api_key="sk-test", timeout=3, monitoring=settings)
    assert_type(client.monitoring, Monitoring)
    MonitoredOpenAI(monitoring=client.monitoring)
    MonitoredOpenAI(monitoring=None)
    azure = MonitoredAzureOpenAI(azure_endpoint="https://x", api_version="1", monitoring=settings)
    assert_type(azure.with_options(api_version="2"), MonitoredAzureOpenAI)
    assert_type(azure.copy(azure_ad_token="t"), MonitoredAzureOpenAI)
    assert_type(azure.chat.completions.create(model=MODEL, messages=MESSAGES), ChatCompletion)
    AsyncMonitoredAzureOpenAI(azure_endpoint="https://x", api_version="1", monitoring=settings)
    assert_type(client.with_options(timeout=3).copy(max_retries=1), MonitoredOpenAI)
    assert_type(
        client.with_attributes(team="x").chat.completions.create(model=MODEL, messages=MESSAGES), ChatCompletion
    )
    assert_type(azure.with_attributes(team="x").copy(), MonitoredAzureOpenAI)
    with client as entered:
        assert_type(entered, MonitoredOpenAI)


class Mine(MonitoredOpenAI):
    """A client of the user's own."""


async def attributed(mine: Mine) -> None:
    assert_type(mine.with_attributes(team="x"), Mine)
    mine.with_attributes(team=1, user=None)
    attributes(team=1, user=None)

    @attributes(feature="search")
    def plain(number: int) -> str:
        return str(number)

    @attributes(feature="search")
    @no_content()
    async def in_async(number: int) -> str:
        return str(number)

    assert_type(plain(1), str)
    plain("1")  # type: ignore[arg-type]
    await in_async("1")  # type: ignore[arg-type]


def wrong_use(client: MonitoredOpenAI, asynchronous: AsyncMonitoredOpenAI) -> None:
    MonitoredOpenAI(monitoring="url")  # type: ignore[arg-type]
    AsyncMonitoredOpenAI(monitoring=1)  # type: ignore[arg-type]
    MonitoredOpenAI(max_retries="many")  # type: ignore[arg-type]
    client.with_options(nonsense=1)  # type: ignore[call-arg]
    client.chat.completions.create(model=MODEL)  # type: ignore[call-overload]
    client.nonsense  # type: ignore[attr-defined]  # noqa: B018
    asynchronous.copy(timeout="soon")  # type: ignore[arg-type]


def twins(
    plain: OpenAI, later: AsyncOpenAI, azure: AzureOpenAI, azure_later: AsyncAzureOpenAI, settings: MonitoringSettings
) -> None:
    assert_type(monitor(plain, settings), MonitoredOpenAI)
    assert_type(monitor(later, settings), AsyncMonitoredOpenAI)
    assert_type(monitor(azure), MonitoredAzureOpenAI)
    assert_type(monitor(azure_later, monitor(plain).monitoring), AsyncMonitoredAzureOpenAI)
    monitor("client")  # type: ignore[call-overload]

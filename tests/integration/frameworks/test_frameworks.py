"""Each call that a framework makes through our client is observed once: plain, streamed, structured, sync and async.

The test runs the framework's file in `examples/` as a program for the first call.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

from monitored_openai import AsyncMonitoredOpenAI, carry, monitor
from tests.integration.frameworks.conftest import QUESTION, City, Stage

pytestmark = pytest.mark.timeout(240)  # each framework is imported twice, and some take long

MESSAGES = [{"role": "user", "content": QUESTION}]
LIMA = City(name="text")
"""What the loopback API answers in whatever schema it is asked for."""


def needs(module: str) -> pytest.MarkDecorator:
    missing = "FRAMEWORK" not in os.environ and find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"{module} has a session of its own in noxfile.py")


def in_pools(call: Callable[[str], Any], *pools: Executor) -> None:
    """Two calls in each pool of threads; `Stage.seen` checks that the attributes reach them."""
    for pool in (carry(ThreadPoolExecutor(2)), *pools):
        with pool:
            assert all(list(pool.map(call, [QUESTION] * 2)))


@needs("langchain_openai")
def test_langchain(stage: Stage) -> None:
    made = stage.run("langchain")
    llm: Any = made["llm"]

    async def in_async() -> None:
        assert (await llm.ainvoke(QUESTION)).content
        assert [chunk async for chunk in llm.astream(QUESTION)]
        assert await llm.with_structured_output(City).ainvoke(QUESTION) == LIMA
        await made["async_client"].close()

    answer = llm.invoke(QUESTION)
    assert (bool(answer.content), answer.usage_metadata["input_tokens"] > 0) == (True, True)
    assert len(list(llm.stream(QUESTION))) > 2
    assert llm.with_structured_output(City).invoke(QUESTION) == LIMA
    assert llm.with_structured_output(City, method="function_calling").invoke(QUESTION) == LIMA
    assert llm.bind_tools([City]).invoke(QUESTION).tool_calls
    assert all(answer.content for answer in llm.batch([QUESTION] * 3, {"max_concurrency": 2}))
    runnables: Any = import_module("langchain_core.runnables")
    assert len(runnables.RunnableParallel(one=llm, two=llm).invoke(QUESTION)) == 2
    in_pools(llm.invoke, runnables.config.ContextThreadPoolExecutor(2))
    asyncio.run(in_async())
    by_responses = llm.model_copy(update={"use_responses_api": True})
    assert by_responses.invoke(QUESTION).text
    assert len(list(by_responses.stream(QUESTION))) > 2
    assert by_responses.with_structured_output(City).invoke(QUESTION) == LIMA
    made["client"].close()
    assert stage.seen(made["client"].monitoring) == [
        "chat",
        *("chat", "chat streamed", "chat", "chat", "chat"),
        *["chat"] * (3 + 2 + 4),
        *("chat", "chat streamed", "chat"),
        *("chat", "chat streamed", "chat"),
    ]


@needs("pydantic_ai")
def test_pydantic_ai(stage: Stage) -> None:
    made = stage.run("pydantic_ai")
    pydantic_ai: Any = import_module("pydantic_ai")
    models: Any = import_module("pydantic_ai.models.openai")

    async def in_async() -> None:
        by_responses = models.OpenAIResponsesModel("gpt-4o-mini", provider=made["model"]._provider)
        for model in (made["model"], by_responses):
            agent = pydantic_ai.Agent(model)
            assert (await agent.run(QUESTION)).output
            async with agent.run_stream(QUESTION) as streamed:
                assert [text async for text in streamed.stream_text()]
            for kind in (City, pydantic_ai.NativeOutput(City)):
                assert (await pydantic_ai.Agent(model, output_type=kind).run(QUESTION)).output == LIMA
        await made["client"].close()

    asyncio.run(in_async())
    assert stage.seen(made["client"].monitoring) == ["chat", *["chat", "chat streamed", "chat", "chat"] * 2]


@needs("instructor")
def test_instructor(stage: Stage) -> None:
    made = stage.run("instructor")
    asked = {"model": "gpt-4o-mini", "messages": MESSAGES, "response_model": City}

    async def in_async() -> None:
        assert (await made["asking_async"].chat.completions.create(**asked)).name == "text"
        await made["async_client"].close()

    asking = made["asking"].chat.completions
    assert asking.create(**asked).name == "text"
    city, answer = asking.create_with_completion(**asked)
    assert (city.name, answer.usage.prompt_tokens > 0) == ("text", True)
    assert list(asking.create_partial(**asked))[-1].name == "text"
    asyncio.run(in_async())
    made["client"].close()
    assert stage.seen(made["client"].monitoring) == ["chat", "chat", "chat", "chat streamed", "chat"]


@needs("haystack")
def test_haystack(stage: Stage) -> None:
    generator: Any = stage.run("haystack")["generator"]
    asked = [import_module("haystack.dataclasses").ChatMessage.from_user(QUESTION)]
    chunks: list[Any] = []

    async def in_async() -> None:
        await generator.warm_up_async()
        generator.async_client = monitor(generator.async_client)
        assert (await generator.run_async(asked))["replies"][0].text
        await generator.close_async()

    assert generator.run(asked)["replies"][0].text
    assert generator.run(asked, streaming_callback=chunks.append)["replies"][0].text
    assert len(chunks) > 2
    structured = generator.run(asked, generation_kwargs={"response_format": City})
    assert City.model_validate_json(structured["replies"][0].text) == LIMA
    monitoring = generator.client.monitoring
    asyncio.run(in_async())
    generator.close()
    assert stage.seen(monitoring) == ["chat", "chat", "chat streamed", "chat", "chat"]


@needs("agents")
def test_agents(stage: Stage) -> None:
    made = stage.run("agents")
    agents: Any = import_module("agents")

    async def in_async() -> None:
        for api in ("responses", "chat_completions"):
            agents.set_default_openai_api(api)
            agent = agents.Agent(name="plain", model="gpt-4o-mini")
            assert (await agents.Runner.run(agent, QUESTION)).final_output
            streamed = agents.Runner.run_streamed(agent, QUESTION)
            assert [event async for event in streamed.stream_events()]
            assert streamed.final_output
            structured = agents.Agent(name="structured", model="gpt-4o-mini", output_type=City)
            assert (await agents.Runner.run(structured, QUESTION)).final_output == LIMA
        await made["client"].close()

    asyncio.run(in_async())
    assert stage.seen(made["client"].monitoring) == ["chat", *["chat", "chat streamed", "chat"] * 2]


@needs("llama_index")
def test_llama_index(stage: Stage) -> None:
    made = stage.run("llama_index")
    llm: Any = made["llm"]

    async def in_async() -> None:
        assert (await llm.acomplete(QUESTION)).text
        assert [part async for part in await llm.astream_complete(QUESTION)]
        await made["async_client"].close()
        assert import_module("llama_index.core.async_utils").asyncio_run(in_thread()).text

    async def in_thread() -> Any:
        return llm.complete(QUESTION)

    assert llm.complete(QUESTION).text
    assert len(list(llm.stream_complete(QUESTION))) > 2
    assert llm.as_structured_llm(City).complete(QUESTION).raw == LIMA
    in_pools(llm.complete)
    asyncio.run(in_async())
    by_responses = import_module("llama_index.llms.openai").OpenAIResponses(
        model="gpt-4o-mini", openai_client=made["client"], async_openai_client=made["async_client"]
    )
    assert by_responses.complete(QUESTION).text
    assert len(list(by_responses.stream_complete(QUESTION))) > 2
    made["client"].close()
    assert stage.seen(made["client"].monitoring) == [
        "chat",
        *("chat", "chat streamed", "chat", "chat", "chat", "chat", "chat streamed", "chat"),
        *("chat", "chat streamed"),
    ]


@needs("litellm")
def test_litellm(stage: Stage) -> None:
    made = stage.run("litellm")
    litellm, client = made["litellm"], made["client"]
    asked: dict[str, Any] = {"model": "openai/gpt-4o-mini", "messages": MESSAGES}
    streamed = {"stream": True, "stream_options": {"include_usage": True}, **asked}

    async def in_async() -> None:
        async with AsyncMonitoredOpenAI() as async_client:
            assert (await litellm.acompletion(client=async_client, **asked)).usage.prompt_tokens
            assert [chunk async for chunk in await litellm.acompletion(client=async_client, **streamed)]

    assert len(list(litellm.completion(client=client, **streamed))) > 2
    structured = litellm.completion(client=client, response_format=City, **asked)
    assert City.model_validate_json(structured.choices[0].message.content) == LIMA
    asyncio.run(in_async())
    client.close()
    litellm.litellm_core_utils.thread_pool_executor.executor.shutdown()
    assert stage.seen(client.monitoring) == ["chat", "chat streamed", "chat", "chat", "chat streamed"]

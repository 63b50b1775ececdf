"""The SDK's clients for other clouds, from `provider=` or their own classes: each call is observed once and named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from monitored_openai import AsyncMonitoredOpenAI, MonitoredOpenAI, Monitoring, monitor
from tests.support.handles import MODEL, ask, handle
from tests.support.servers.loki import FakeLoki
from tests.support.servers.openai_api import OpenAIServer

providers = pytest.importorskip("openai.providers", reason="this SDK has no provider= argument")

MADE: dict[str, Callable[[str], Any]] = {
    "bedrock": lambda url: providers.bedrock(base_url=url, api_key="k"),
    "vertex": lambda url: providers.vertex(base_url=url, token_provider=lambda: "t"),
}
NAMES = {"bedrock": "aws.bedrock", "vertex": "gcp.vertex_ai"}
names = pytest.mark.parametrize("name", [name for name in MADE if hasattr(providers, name)])


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def monitoring(loki: FakeLoki) -> Iterator[Monitoring]:
    with handle(logs_url=loki.push_url) as made:
        yield made


def seen(monitoring: Monitoring, loki: FakeLoki) -> list[tuple[str, bool, dict[str, str]]]:
    """Provider, whether streamed, and attributes of each call, all of which must have gone well."""
    assert monitoring.flush(20).complete
    lines = [json.loads(entry.line) for entry in loki.entries]
    assert all(line["usage"]["input_tokens"] and line["http_status"] == 200 for line in lines)
    return [(line["provider"], "chunks" in line, line.get("attributes", {})) for line in lines]


@names
def test_a_client_of_a_provider_is_seen_under_its_name_also_its_copies(
    name: str, server: OpenAIServer, monitoring: Monitoring, loki: FakeLoki
) -> None:
    with MonitoredOpenAI(provider=MADE[name](server.base_url), monitoring=monitoring) as client:
        ask(client)
        assert list(ask(client.with_options(timeout=9), stream=True))
        client.with_attributes(team="x").chat.completions.with_raw_response.create(model=MODEL, messages=[])
    assert seen(monitoring, loki) == [
        (NAMES[name], False, {}),
        (NAMES[name], True, {}),
        (NAMES[name], False, {"team": "x"}),
    ]
    assert server.truth.calls_by_outcome() == {"ok": 3}


@names
def test_an_async_client_of_a_provider_is_seen_too(
    name: str, server: OpenAIServer, monitoring: Monitoring, loki: FakeLoki
) -> None:
    async def work() -> None:
        async with AsyncMonitoredOpenAI(provider=MADE[name](server.base_url), monitoring=monitoring) as client:
            await ask(client.with_options(max_retries=0))  # type: ignore[arg-type]  # it makes the same call of either
            async for _ in await ask(client, stream=True):  # type: ignore[arg-type]  # as above
                pass

    asyncio.run(work())
    assert seen(monitoring, loki) == [(NAMES[name], False, {}), (NAMES[name], True, {})]


@pytest.mark.skipif(not hasattr(openai, "BedrockOpenAI"), reason="this SDK has no BedrockOpenAI")
def test_a_twin_of_the_bedrock_client_is_seen_under_its_name_also_its_copies(
    server: OpenAIServer, monitoring: Monitoring, loki: FakeLoki
) -> None:
    with monitor(openai.BedrockOpenAI(base_url=server.base_url, api_key="k"), monitoring) as client:
        ask(client)
        ask(client.with_options(timeout=9).with_attributes(team="x"))
    assert seen(monitoring, loki) == [("aws.bedrock", False, {}), ("aws.bedrock", False, {"team": "x"})]

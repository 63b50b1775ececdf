from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

import monitored_openai
from monitored_openai import Monitoring, MonitoringSettings, monitor
from tests.support.handles import MODEL, ask, handle, http, in_process_transport

MESSAGES: Any = [{"role": "user", "content": "Why?"}]
AZURE = {"azure_endpoint": "https://x.openai.azure.com", "api_version": "2024-10-21"}
KINDS: list[tuple[type[Any], dict[str, Any], type[Any]]] = [
    (openai.OpenAI, {}, monitored_openai.MonitoredOpenAI),
    (openai.AsyncOpenAI, {}, monitored_openai.AsyncMonitoredOpenAI),
    (openai.AzureOpenAI, AZURE, monitored_openai.MonitoredAzureOpenAI),
    (openai.AsyncAzureOpenAI, AZURE, monitored_openai.AsyncMonitoredAzureOpenAI),
]
kinds = pytest.mark.parametrize(("kind", "options", "ours"), KINDS, ids=[kind.__name__ for kind, _, _ in KINDS])
OFFERED = ("timeout", "max_retries", "organization", "project", "base_url", "default_query", "default_headers")


class Tenant(openai.OpenAI):
    """A class of a user's own, which its own `copy` and only that can make again."""

    def __init__(self, tenant: str, **options: Any) -> None:
        self.tenant = tenant
        super().__init__(**options)

    @property
    def user_agent(self) -> str:
        return "tenants/1"

    def copy(self, **options: Any) -> Any:
        return Tenant(self.tenant, api_key=self.api_key, http_client=self._client, **options)

    with_options = copy

    def greeting(self) -> str:
        return f"hello {self.tenant}"


@pytest.fixture
def monitoring() -> Iterator[Monitoring]:
    with handle() as made:
        yield made


@pytest.fixture
def agents() -> list[str]:
    """The User-Agent of each request."""
    return []


@pytest.fixture
def connections(agents: list[str]) -> Iterator[Any]:
    answers = in_process_transport()

    def answer(request: Any) -> Any:
        agents.append(request.headers["user-agent"])
        return answers.handle_request(request)

    with http.Client(transport=http.MockTransport(answer)) as made:
        yield made


@kinds
def test_a_twin_is_of_both_classes_and_has_the_options_and_the_connections(
    kind: type[Any], options: dict[str, Any], ours: type[Any], monitoring: Monitoring
) -> None:
    client = kind(
        api_key="sk-test",
        organization="org",
        project="project",
        timeout=3,
        max_retries=7,
        default_headers={"x-a": "b"},
        default_query={"c": "d"},
        websocket_base_url="wss://sockets.test",
        **options,
    )

    twin: Any = monitor(client, monitoring)

    assert isinstance(twin, kind)
    assert isinstance(twin, ours)
    assert twin.monitoring is monitoring
    assert twin._client is client._client
    assert [getattr(twin, name) for name in OFFERED] == [getattr(client, name) for name in OFFERED]
    assert twin.websocket_base_url == client.websocket_base_url
    assert twin.user_agent == client.user_agent
    assert twin.chat.completions._client is twin
    assert client.chat.completions._client is client
    assert not hasattr(client, "monitoring")


@kinds
def test_a_copy_of_a_twin_is_a_twin_of_the_copy(
    kind: type[Any], options: dict[str, Any], ours: type[Any], monitoring: Monitoring
) -> None:
    twin: Any = monitor(kind(api_key="sk-test", **options), monitoring)

    copied = twin.with_options(timeout=4)

    assert isinstance(copied, ours)
    assert (copied.timeout, copied._client is twin._client, copied.monitoring is monitoring) == (4, True, True)
    with handle(environment="other") as other:
        assert twin.copy(monitoring=other).monitoring is other


def test_a_twin_keeps_its_attributes_in_its_copies(monitoring: Monitoring) -> None:
    twin = monitor(openai.OpenAI(api_key="sk-test"), monitoring).with_attributes(team="x")

    assert twin.with_options(timeout=4)._attributes == twin._attributes == {"team": "x"}


def test_only_the_calls_of_the_twin_are_seen_and_each_once(
    monitoring: Monitoring, connections: Any, agents: list[str]
) -> None:
    client = openai.OpenAI(api_key="sk-test", http_client=connections)
    ask(client)  # its resources exist already
    twin = monitor(client, monitoring)

    ask(client)
    assert monitoring.stats().calls == 0
    ask(twin)
    ask(twin.with_options(timeout=4))
    assert ask(monitor(twin, monitoring)).choices[0].message.content == "fine"
    assert monitoring.stats().calls == 3
    assert set(agents) == {client.user_agent}


async def test_the_calls_of_an_async_twin_are_seen(monitoring: Monitoring) -> None:
    async with http.AsyncClient(transport=in_process_transport()) as connections:
        twin = monitor(openai.AsyncOpenAI(api_key="sk-test", http_client=connections), monitoring)
        await twin.chat.completions.create(model=MODEL, messages=MESSAGES)

    assert monitoring.stats().calls == 1


def test_a_class_of_ones_own_keeps_what_it_adds_and_overrides(
    monitoring: Monitoring, connections: Any, agents: list[str]
) -> None:
    twin: Any = monitor(Tenant("t", api_key="sk-test", http_client=connections), monitoring)

    ask(twin)
    copied = twin.with_options(timeout=4)
    ask(copied)

    assert isinstance(twin, Tenant)
    assert isinstance(copied, Tenant)
    assert (twin.greeting(), copied.greeting(), copied.timeout) == ("hello t", "hello t", 4)
    assert set(agents) == {"tenants/1"}
    assert monitoring.stats().calls == 2


def test_a_monitored_client_gets_a_twin_that_reports_elsewhere(monitoring: Monitoring, connections: Any) -> None:
    with handle(environment="first") as first:
        client = monitored_openai.MonitoredOpenAI(api_key="sk-test", http_client=connections, monitoring=first)
        ask(monitor(client, monitoring))
        assert (first.stats().calls, monitoring.stats().calls) == (0, 1)
        assert client.monitoring is first


@pytest.mark.skipif(not hasattr(openai.OpenAI, "_refresh_api_key"), reason="this SDK takes no callable as a key")
def test_a_key_that_is_asked_for_anew_each_time_still_is(monitoring: Monitoring) -> None:
    keys = iter(["sk-1", "sk-2"])
    seen: list[str] = []
    answers = in_process_transport()

    def answer(request: Any) -> Any:
        seen.append(request.headers["authorization"])
        return answers.handle_request(request)

    with openai.OpenAI(
        api_key=lambda: next(keys), http_client=http.Client(transport=http.MockTransport(answer))
    ) as client:
        twin = monitor(client, monitoring)
        ask(twin)
        ask(twin)
    assert seen == ["Bearer sk-1", "Bearer sk-2"]


def test_equal_settings_share_one_handle() -> None:
    settings = MonitoringSettings(environment="twins")
    client = openai.OpenAI(api_key="sk-test")

    assert monitor(client, settings).monitoring is monitor(client, settings).monitoring
    monitor(client, settings).monitoring.close(0)


@pytest.mark.parametrize("other", [None, "client", openai.OpenAI, openai])
def test_what_is_no_client_is_refused_by_its_type(other: Any) -> None:
    with pytest.raises(TypeError, match="client of the openai package"):
        monitor(other)

"""The overridden resources: other code sees the SDK's own, and each request is observed once."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import openai
import pytest
from openai.resources import beta, chat, completions, responses

from monitored_openai import (
    AsyncMonitoredAzureOpenAI,
    AsyncMonitoredOpenAI,
    MonitoredAzureOpenAI,
    MonitoredOpenAI,
    Monitoring,
    monitor,
)
from tests.support.handles import ask, handle, http, in_process, in_process_transport

AZURE = {"azure_endpoint": "https://azure.test", "api_version": "2024-10-21"}
CLIENTS: list[tuple[type[Any], dict[str, Any], str]] = [
    (MonitoredOpenAI, {}, ""),
    (MonitoredAzureOpenAI, AZURE, ""),
    (AsyncMonitoredOpenAI, {}, "Async"),
    (AsyncMonitoredAzureOpenAI, AZURE, "Async"),
]


@pytest.fixture
def monitoring() -> Iterator[Monitoring]:
    with handle() as made:
        yield made


def resources_of(client: Any) -> dict[str, Any]:
    return {
        "chat": client.chat,
        "chat.completions": client.chat.completions,
        "completions": client.completions,
        "responses": client.responses,
        "beta": client.beta,
        "beta.chat": client.beta.chat,
        "beta.chat.completions": client.beta.chat.completions,
    }


@pytest.mark.parametrize(("kind", "options", "prefix"), CLIENTS, ids=lambda value: getattr(value, "__name__", None))
def test_each_completions_resource_is_ours_and_an_instance_of_the_official_class(
    kind: type[Any], options: dict[str, Any], prefix: str, monitoring: Monitoring
) -> None:
    client = kind(api_key="sk-test", monitoring=monitoring, **options)
    official = {
        "chat": getattr(chat, f"{prefix}Chat"),
        "chat.completions": getattr(chat, f"{prefix}Completions"),
        "completions": getattr(completions, f"{prefix}Completions"),
        "responses": getattr(responses, f"{prefix}Responses"),
        "beta": getattr(beta, f"{prefix}Beta"),
    }
    official |= {f"beta.{name}": official[name] for name in ("chat", "chat.completions")}
    for made in (client, client.copy(), client.with_options(timeout=3)):
        found = resources_of(made)
        assert {name for name, one in found.items() if not isinstance(one, official[name])} == set()
        assert {name for name, one in found.items() if type(one).__module__.startswith("monitored_openai.")} == set(
            found
        )
        assert made.chat is made.chat


def test_a_client_imports_no_resource_before_its_first_access() -> None:
    program = (
        "import sys\n"
        "import openai\n"
        "before = {name for name in sys.modules if name.startswith('openai.resources.')}\n"
        "from monitored_openai import MonitoredOpenAI\n"
        "client = MonitoredOpenAI(api_key='sk-test')\n"
        "assert not any(name.startswith('monitored_openai._resources') for name in sys.modules)\n"
        "assert {name for name in sys.modules if name.startswith('openai.resources.')} == before\n"
        "client.chat\n"
        "assert 'monitored_openai._resources.responses' not in sys.modules\n"
        "assert 'monitored_openai._resources.beta' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_post_that_a_subclass_overrides_runs_once_with_the_plain_path(monitoring: Monitoring) -> None:
    seen: list[str] = []

    class Mine(MonitoredOpenAI):
        def post(self, path: str, **request: Any) -> Any:
            seen.append(path)
            return super().post(path, **request)

    with (
        http.Client(transport=in_process_transport()) as connection,
        Mine(base_url="http://api.test/v1", api_key="sk-test", http_client=connection, monitoring=monitoring) as client,
    ):
        ask(client)
        client.post("/chat/completions", cast_to=object, body={"model": "gpt-4o", "messages": []})
    assert seen == ["/chat/completions"] * 2
    assert isinstance(seen[0], str)
    assert monitoring.stats().calls == 2


def test_a_post_that_is_patched_on_the_client_runs_once_and_may_change_the_path(monitoring: Monitoring) -> None:
    with in_process(monitoring) as client:
        real, seen = client.post, []

        def patched(path: str, **request: Any) -> Any:
            seen.append(path)
            return real(path + "?trace=1", **request)

        client.post = patched  # type: ignore[method-assign]  # as an instrumentation does it
        ask(client)
        assert seen == ["/chat/completions"]
        assert monitoring.stats().calls == 1


def test_a_post_may_copy_and_pickle_its_arguments(monitoring: Monitoring) -> None:
    class Caching(openai.OpenAI):
        def post(self, path: str, **request: Any) -> Any:
            copies = [copy.copy(path), copy.deepcopy(path), pickle.loads(pickle.dumps(path))]  # noqa: S301  # our own bytes
            assert {type(one) for one in copies} == {str}
            assert set(copies) == {path}
            return super().post(copies[-1], **request)

    with (
        http.Client(transport=in_process_transport()) as connection,
        Caching(base_url="http://api.test/v1", api_key="sk-test", http_client=connection) as client,
    ):
        ask(monitor(client, monitoring))
    assert monitoring.stats().calls == 1


def test_a_request_to_another_path_of_a_resource_is_not_observed(monitoring: Monitoring) -> None:
    with in_process(monitoring) as client:
        client.chat.completions.update("chatcmpl-1", metadata={"a": "b"})
        assert monitoring.stats().calls == 0


def test_each_way_to_chat_completions_is_observed_once(monitoring: Monitoring) -> None:
    with in_process(monitoring) as client:
        asked: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
        client.chat.completions.create(**asked)
        client.beta.chat.completions.parse(**asked)
        client.with_raw_response.chat.completions.create(**asked)
        client.chat.with_raw_response.completions.create(**asked)
        client.chat.completions.with_raw_response.create(**asked)
        with client.chat.completions.with_streaming_response.create(**asked) as response:
            response.parse()
        client.copy().chat.completions.create(**asked)
        assert monitoring.stats().calls == 7


def test_a_twin_keeps_the_resources_that_its_class_overrides(monitoring: Monitoring) -> None:
    class Completions(chat.Completions):
        mine = True

    class Chat(chat.Chat):
        @cached_property
        def completions(self) -> Completions:
            return Completions(self._client)

    class Client(openai.OpenAI):
        @cached_property
        def chat(self) -> Chat:
            return Chat(self)

    with (
        http.Client(transport=in_process_transport()) as connection,
        Client(base_url="http://api.test/v1", api_key="sk-test", http_client=connection) as client,
    ):
        twin = monitor(client, monitoring)
        for made in (twin, twin.copy()):
            assert type(made.chat.completions) is Completions
            assert type(made.responses).__module__ == "monitored_openai._resources.responses"
        ask(twin)
        ask(twin.copy())
    assert monitoring.stats().calls == 2

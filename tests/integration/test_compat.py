"""The predecessor's API on plain clients, used as its README shows."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from monitored_openai import MonitoringSettings, SettingsError
from monitored_openai.compat import chat_v1, chat_v2
from tests.support.servers.influx import FakeInflux
from tests.support.servers.loki import FakeLoki
from tests.support.servers.openai_api import Behaviour, OpenAIServer

CHAT: dict[str, Any] = {
    "model": "gpt-4",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "What is Grafana?"}],
}
LEGACY: dict[str, Any] = {"model": "davinci", "max_tokens": 100, "prompt": "Isn't Grafana the best?"}
PLAIN = Behaviour(patch={"usage": {"prompt_tokens": 21, "completion_tokens": 9, "total_tokens": 30}}).header()
"""Without tokens of other kinds, which this model has no price for."""
FIVE = {
    f"openai_{name}" for name in ("promptTokens", "completionTokens", "totalTokens", "requestDuration", "usageCost")
}


class Stack:
    """The API, what takes lines and what takes log entries."""

    def __init__(self, api: OpenAIServer, influx: FakeInflux, loki: FakeLoki) -> None:
        self.api, self.influx, self.loki = api, influx, loki
        self.given: dict[str, Any] = {
            "metrics_url": f"{influx.url}/api/prom",
            "logs_url": f"{loki.push_url}/",
            "metrics_username": "123456",
            "logs_username": "987654",
            "access_token": "glc_example",
        }

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.api.base_url, api_key="sk-test", max_retries=0, timeout=20)

    def async_client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=self.api.base_url, api_key="sk-test", max_retries=0, timeout=20)

    def flushed(self, method: Callable[..., Any]) -> None:
        """Have everything delivered that a monitored method's calls have brought."""
        bound: Any = inspect.unwrap(method, stop=lambda each: hasattr(each, "__self__"))
        monitoring = bound.__self__._client.monitoring
        assert monitoring.flush(10).complete
        monitoring.close(0)

    def samples(self) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for series in (series for batch in self.influx.stored for series in batch if series.name in FIVE):
            found.setdefault(series.name, []).extend(value for _, value in series.samples)
        return found

    def entries(self) -> list[tuple[dict[str, Any], dict[str, str]]]:
        return [(json.loads(entry.line), dict(entry.metadata)) for entry in self.loki.entries]


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setenv("MONITORED_OPENAI_PROVIDER", "openai")  # whose prices count, as this host is nobody's
    with OpenAIServer() as api, FakeInflux() as influx, FakeLoki() as loki:
        yield Stack(api, influx, loki)


def test_the_chat_example_of_its_readme(stack: Stack) -> None:
    with stack.client() as client:
        client.chat.completions.create = chat_v2.monitor(client.chat.completions.create, **stack.given)  # type: ignore[method-assign]
        response = client.chat.completions.create(**CHAT, extra_headers=PLAIN)
        stack.flushed(client.chat.completions.create)

    assert response.choices[0].message.content
    found = stack.samples()
    assert response.usage is not None
    usage = response.usage
    assert found["openai_promptTokens"] == [usage.prompt_tokens]
    assert found["openai_completionTokens"] == [usage.completion_tokens]
    assert found["openai_totalTokens"] == [usage.total_tokens]
    assert found.keys() == FIVE
    assert found["openai_usageCost"] == [pytest.approx((21 * 0.03 + 9 * 0.06) / 1000)]
    [(line, metadata)] = stack.entries()
    assert (line["prompt"], metadata["role"]) == ("What is Grafana?", "assistant")
    assert line["response"]["choices"][0]["message"]["content"] == response.choices[0].message.content
    assert metadata["total_tokens"] == str(usage.total_tokens)


def test_the_completions_example_of_its_readme(stack: Stack) -> None:
    with stack.client() as client:
        client.completions.create = chat_v1.monitor(client.completions.create, **stack.given)  # type: ignore[method-assign]
        response = client.completions.create(**LEGACY)
        stack.flushed(client.completions.create)

    assert response.usage is not None
    assert stack.samples()["openai_totalTokens"] == [response.usage.total_tokens]
    sources = {dict(series.labels).get("source") for batch in stack.influx.stored for series in batch}
    assert sources == {None, "python_chatv1"}
    assert stack.entries()[0][0]["prompt"] == LEGACY["prompt"]


@pytest.mark.parametrize("use_async", [True, False])
async def test_an_async_client_is_awaited_with_use_async_and_without(stack: Stack, use_async: bool) -> None:
    async with stack.async_client() as client:
        create = chat_v2.monitor(client.chat.completions.create, **stack.given, use_async=use_async)
        response = await create(**CHAT)
        await client.completions.create(**LEGACY)  # not monitored
        legacy = chat_v1.monitor(client.completions.create, **stack.given)
        await legacy(**LEGACY)
        stack.flushed(legacy)

    assert response.choices[0].message.content
    assert len(stack.samples()["openai_totalTokens"]) == 2


async def test_use_async_makes_a_coroutine_function_of_a_plain_clients_method(stack: Stack) -> None:
    with stack.client() as client:
        create: Any = chat_v2.monitor(client.chat.completions.create, **stack.given, use_async=True)
        response = await create(**CHAT)
        stack.flushed(create)

    assert response.choices[0].message.content
    assert len(stack.samples()["openai_totalTokens"]) == 1


def test_everything_may_be_given_by_position(stack: Stack) -> None:
    required = list(stack.given.values())
    v1: Any = chat_v1
    v2: Any = chat_v2
    with stack.client() as client:
        chat = v2.monitor(client.chat.completions.create, *required, False, True, "staging")
        legacy = v1.monitor(client.completions.create, *required, True, "staging")
        chat(**CHAT)
        legacy(**LEGACY)
        stack.flushed(chat)

    environments = {dict(series.labels)["environment"] for batch in stack.influx.stored for series in batch}
    assert environments == {"staging"}
    assert len(stack.entries()) == 2


def test_its_parameters_are_the_predecessors() -> None:
    required = ["func", "metrics_url", "logs_url", "metrics_username", "logs_username", "access_token"]

    assert list(inspect.signature(chat_v1.monitor).parameters) == [*required, "disable_content", "environment"]
    assert list(inspect.signature(chat_v2.monitor).parameters) == [
        *required,
        "use_async",
        "disable_content",
        "environment",
    ]


def test_without_content_the_log_goes_on(stack: Stack) -> None:
    with stack.client() as client:
        create = chat_v2.monitor(client.chat.completions.create, **stack.given, disable_content=True)
        create(**CHAT)
        stack.flushed(create)

    [(line, metadata)] = stack.entries()
    assert not {"prompt", "request", "response"} & line.keys()
    assert metadata["model"]


def test_streams_several_answers_and_answers_without_content_do_not_break(stack: Stack) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    with stack.client() as client:
        create: Any = chat_v2.monitor(client.chat.completions.create, **stack.given)
        chunks = list(create(**CHAT, stream=True))
        several = create(**CHAT, n=2)
        tools = create(**CHAT, tools=[tool])
        stack.flushed(create)

    assert len(chunks) > 1
    assert len(several.choices) == 2
    assert tools.choices[0].message.content is None
    assert len(stack.samples()["openai_totalTokens"]) == 3


def test_errors_are_raised_and_recorded(stack: Stack) -> None:
    with stack.client() as client:
        create = chat_v2.monitor(client.chat.completions.create, **stack.given)
        with pytest.raises(openai.RateLimitError):
            create(**CHAT, extra_headers=Behaviour(status=429).header())
        stack.flushed(create)

    assert stack.samples() == {}
    assert stack.entries()[0][1]["error_type"] == "rate_limit"


def test_the_options_of_the_client_may_change_afterwards(stack: Stack) -> None:
    with stack.client() as client:
        client.chat.completions.create = chat_v2.monitor(client.chat.completions.create, **stack.given)  # type: ignore[method-assign]
        client.base_url = "http://127.0.0.1:9/v1"
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(**CHAT)
        stack.flushed(client.chat.completions.create)
        assert not hasattr(client, "monitoring")


@pytest.mark.parametrize("name", ["metrics_url", "logs_url", "metrics_username", "logs_username", "access_token"])
@pytest.mark.parametrize("module", [chat_v1, chat_v2])
def test_a_missing_parameter_is_a_value_error_that_names_it(stack: Stack, module: Any, name: str) -> None:
    for missing in ("", None):
        with pytest.raises(ValueError, match=f"^{name}: missing or empty"):
            module.monitor(print, **{**stack.given, name: missing})


@pytest.mark.parametrize("module", [chat_v1, chat_v2])
def test_a_metrics_url_without_api_prom_is_a_value_error(stack: Stack, module: Any) -> None:
    with pytest.raises(ValueError, match=r"metrics_url: does not contain api/prom"):
        module.monitor(print, **{**stack.given, "metrics_url": "https://prometheus.grafana.net/api/v1/write"})


def test_credentials_in_clear_to_another_machine_are_a_value_error(stack: Stack) -> None:
    with pytest.raises(SettingsError, match="allow_insecure"):
        chat_v2.monitor(print, **{**stack.given, "metrics_url": "http://prometheus.grafana.net/api/prom"})


@pytest.mark.parametrize("func", [print, lambda: None, None, "create"])
def test_what_is_no_method_of_a_client_is_a_type_error(stack: Stack, func: Any) -> None:
    with pytest.raises(TypeError, match=r"client\.chat\.completions\.create"):
        chat_v2.monitor(func, **stack.given)


def test_the_address_of_a_stack_leads_to_where_the_predecessor_pushes(stack: Stack) -> None:
    url = "https://prometheus-us-central1.grafana.net/api/prom"
    with stack.client() as client:
        create = chat_v2.monitor(client.chat.completions.create, **{**stack.given, "metrics_url": url})
        settings: MonitoringSettings = create.__self__._client.monitoring.settings  # type: ignore[attr-defined]

    assert settings.metrics_url == "https://influx-prod-06-prod-us-central-0.grafana.net/api/v1/push/influx/write"

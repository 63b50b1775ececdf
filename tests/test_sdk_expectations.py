"""Assumptions of the SDK and its users about a client hold for our clients."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.resources import chat as official_chat
from openai.resources import completions as official_completions
from openai.resources.beta import AsyncBeta, Beta

import monitored_openai
from monitored_openai import MonitoredOpenAI, MonitoringSettings
from tests.support.servers.openai_api import OpenAIServer

PAIRS = [
    (getattr(monitored_openai, f"{prefix}Monitored{name}"), getattr(openai, f"{prefix}{name}"))
    for name in ("OpenAI", "AzureOpenAI")
    for prefix in ("", "Async")
]
pairs = pytest.mark.parametrize(("ours", "official"), PAIRS, ids=[ours.__name__ for ours, _ in PAIRS])
MESSAGES: Any = [{"role": "user", "content": "Why?"}]
CUSTOM = MonitoringSettings(environment="custom")


def options(kind: type[Any]) -> dict[str, Any]:
    """What a client of this kind cannot do without."""
    azure = issubclass(kind, (openai.AzureOpenAI, openai.AsyncAzureOpenAI))
    where = {"azure_endpoint": "https://x.openai.azure.com", "api_version": "2024-10-21"} if azure else {}
    return {"api_key": "sk-test", **where}


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(keep_requests=True) as running:
        yield running


@pairs
def test_the_constructor_takes_what_the_official_one_takes_and_monitoring(ours: type[Any], official: type[Any]) -> None:
    taken = parameters(ours.__init__)
    monitoring = taken.pop("monitoring")

    assert taken == parameters(official.__init__)
    assert (monitoring.kind, monitoring.default) == (inspect.Parameter.KEYWORD_ONLY, None)
    assert "monitoring" in parameters(ours)


@pairs
@pytest.mark.parametrize("name", ["copy", "with_options"])
def test_copy_takes_what_the_official_one_takes_and_monitoring(ours: type[Any], official: type[Any], name: str) -> None:
    taken = parameters(getattr(ours, name))
    monitoring = taken.pop("monitoring")

    assert taken == parameters(getattr(official, name))
    assert (monitoring.kind, monitoring.default) == (inspect.Parameter.KEYWORD_ONLY, None)


@pairs
def test_copy_knows_every_parameter_of_the_constructor_that_the_official_one_knows(
    ours: type[Any], official: type[Any]
) -> None:
    unknown = set(parameters(ours.__init__)) - set(parameters(ours.copy))

    assert unknown == set(parameters(official.__init__)) - set(parameters(official.copy))


@pairs
def test_a_client_is_one_of_the_official_ones(ours: type[Any], official: type[Any]) -> None:
    client = ours(**options(ours))

    assert issubclass(ours, official)
    assert isinstance(client, official)
    assert isinstance(client.with_options(timeout=3), ours)
    assert (ours.__name__ in monitored_openai.__all__, ours.__module__.split(".")[0]) == (True, "monitored_openai")


@pairs
def test_the_resources_are_of_the_official_kinds(ours: type[Any], official: type[Any]) -> None:
    client = ours(**options(ours))
    prefix = "Async" if ours.__name__.startswith("Async") else ""

    assert isinstance(client.chat, getattr(official_chat, f"{prefix}Chat"))
    assert isinstance(client.chat.completions, getattr(official_chat, f"{prefix}Completions"))
    assert isinstance(client.completions, getattr(official_completions, f"{prefix}Completions"))
    assert isinstance(client.beta, AsyncBeta if prefix else Beta)
    assert isinstance(client.beta.chat.completions, getattr(official_chat, f"{prefix}Completions"))
    assert client.chat is client.chat
    assert client.chat.completions is client.chat.completions
    plain = official(**options(ours))
    assert type(client.with_raw_response) is type(plain.with_raw_response)
    assert type(client.chat.completions.with_streaming_response) is type(plain.chat.completions.with_streaming_response)
    assert type(client.embeddings) is type(plain.embeddings)


@pairs
def test_the_user_agent_is_the_official_one(ours: type[Any], official: type[Any]) -> None:
    assert ours(**options(ours)).user_agent == official(**options(ours)).user_agent


@pairs
def test_a_subclass_of_the_users_own_names_itself_as_it_would_on_the_bare_sdk(
    ours: type[Any], official: type[Any]
) -> None:
    mine, bare = (type("MyClient", (base,), {}) for base in (ours, official))

    assert mine(**options(ours)).user_agent == bare(**options(ours)).user_agent
    assert mine(**options(ours)).user_agent.startswith("MyClient/")


@pairs
def test_a_subclass_with_a_constructor_of_its_own_is_copied_as_ever(ours: type[Any], official: type[Any]) -> None:
    class Mine(ours):  # type: ignore[misc]
        def __init__(self, **given: Any) -> None:
            super().__init__(**{"max_retries": 7, **given})

    client = Mine(**options(ours), monitoring=CUSTOM)
    copied = client.with_options(timeout=3)

    assert (type(copied), copied.max_retries, copied.timeout) == (Mine, 7, 3)
    assert copied.monitoring is client.monitoring


@pairs
def test_copies_share_the_monitoring_and_keep_the_options(ours: type[Any], official: type[Any]) -> None:
    client = ours(**options(ours), monitoring=CUSTOM)
    copied = client.with_options(max_retries=5).copy(timeout=9)

    assert copied.monitoring is client.monitoring
    assert (copied.max_retries, copied.timeout, copied.api_key) == (5, 9, "sk-test")
    assert copied._client is client._client, "the connections are shared too"


@pairs
def test_a_copy_can_be_given_other_monitoring(ours: type[Any], official: type[Any]) -> None:
    client = ours(**options(ours))
    other = client.with_options(monitoring=CUSTOM)

    assert other.monitoring.settings == CUSTOM
    assert other.monitoring is not client.monitoring
    assert client.with_options(monitoring=other.monitoring).monitoring is other.monitoring


@pairs
def test_a_client_with_attributes_is_a_copy_and_its_copies_have_them_too(ours: type[Any], official: type[Any]) -> None:
    client = ours(**options(ours), max_retries=7, monitoring=CUSTOM)
    labelled = client.with_attributes(team="x")
    more = labelled.with_options(timeout=3).with_attributes(user="u-1", team="y").copy()

    assert (type(labelled), labelled.max_retries) == (ours, 7)
    assert labelled._client is client._client
    assert more.monitoring is labelled.monitoring is client.monitoring
    assert [made._attributes for made in (client, labelled, more)] == [{}, {"team": "x"}, {"team": "y", "user": "u-1"}]


@pairs
def test_a_wrong_name_of_a_clients_attribute_is_refused(ours: type[Any], official: type[Any]) -> None:
    with pytest.raises(ValueError, match=r"attribute 'job' has a label name that the library sets itself"):
        ours(**options(ours)).with_attributes(job="x")


@pairs
def test_a_value_of_a_clients_attribute_becomes_text_or_takes_the_attribute_away(
    ours: type[Any], official: type[Any]
) -> None:
    labelled = ours(**options(ours)).with_attributes(team="x", user=4711)
    assert labelled._attributes == {"team": "x", "user": "4711"}
    assert labelled.with_attributes(user=None)._attributes == {"team": "x"}


def test_equal_settings_share_one_handle_and_different_ones_do_not() -> None:
    def client(monitoring: Any = None) -> MonitoredOpenAI:
        return MonitoredOpenAI(api_key="sk-test", monitoring=monitoring)

    assert client().monitoring is client(MonitoringSettings()).monitoring
    assert client(CUSTOM).monitoring is client(MonitoringSettings(environment="custom")).monitoring
    assert client(CUSTOM).monitoring is client(client(CUSTOM).monitoring).monitoring
    assert client(CUSTOM).monitoring is not client().monitoring


@pairs
@pytest.mark.parametrize("wrong", [{}, {"environment": "x"}, "https://prometheus.example", True, MonitoringSettings])
def test_wrong_monitoring_is_a_type_error(ours: type[Any], official: type[Any], wrong: object) -> None:
    with pytest.raises(TypeError, match="monitoring must be"):
        ours(**options(ours), monitoring=wrong)


@pairs
def test_monitoring_is_by_name_only(ours: type[Any], official: type[Any]) -> None:
    with pytest.raises(TypeError, match="positional"):
        ours(CUSTOM)


@pairs
@pytest.mark.parametrize("wrong", [{}, {"nonsense": 1}, {"api_key": "sk-test", "max_retries": None}])
def test_what_the_official_constructor_refuses_is_refused_with_its_words(
    ours: type[Any], official: type[Any], wrong: dict[str, Any]
) -> None:
    where = {name: value for name, value in options(ours).items() if name != "api_key"}
    raised = []
    for kind in (ours, official):
        with pytest.raises((TypeError, openai.OpenAIError)) as caught:
            kind(**where, **wrong)
        raised.append((type(caught.value), str(caught.value)))
    assert raised[0] == raised[1]


def test_a_client_is_a_context_manager_that_closes_its_connections_and_not_the_monitoring(
    server: OpenAIServer,
) -> None:
    monitoring = MonitoringSettings(environment="closing")
    with MonitoredOpenAI(api_key="sk-test", base_url=server.base_url, monitoring=monitoring) as client:
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        assert not client.is_closed()
    assert client.is_closed()
    with pytest.raises((openai.APIConnectionError, RuntimeError)):  # 3.x lets the transport's own error through
        client.with_options(max_retries=0).chat.completions.create(model="gpt-4o", messages=MESSAGES)

    again = MonitoredOpenAI(api_key="sk-test", base_url=server.base_url, monitoring=monitoring)
    again.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    again.close()
    assert again.monitoring is client.monitoring
    assert again.monitoring.flush(10).complete
    assert again.monitoring.stats().folded == 3


def test_an_async_client_is_an_async_context_manager(server: OpenAIServer) -> None:
    async def use() -> None:
        async with monitored_openai.AsyncMonitoredOpenAI(api_key="sk-test", base_url=server.base_url) as client:
            await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        assert client.is_closed()

    with asyncio.Runner() as runner:
        runner.run(asyncio.wait_for(use(), 20))


def test_what_a_call_returns_can_be_pickled_and_copied(server: OpenAIServer) -> None:
    with MonitoredOpenAI(api_key="sk-test", base_url=server.base_url) as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        chunk = next(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))

    for value in (answer, chunk):
        assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301  # our own
        assert copy.deepcopy(value) == value
        assert type(value).__module__.startswith("openai.")


@pairs
def test_a_client_is_copied_and_pickled_as_well_or_badly_as_the_official_one(
    ours: type[Any], official: type[Any]
) -> None:
    assert copy.copy(ours(**options(ours))).chat is not None
    raised = []
    for kind in (ours, official):
        with pytest.raises(TypeError) as caught:
            pickle.dumps(kind(**options(kind)))
        raised.append(str(caught.value))
    assert raised[0] == raised[1]


def test_the_public_names_are_these() -> None:
    assert monitored_openai.__all__ == [
        "AsyncMonitoredAzureOpenAI",
        "AsyncMonitoredOpenAI",
        "BatchUsage",
        "CallRecord",
        "Cost",
        "FlushResult",
        "HostStats",
        "MonitoredAzureOpenAI",
        "MonitoredOpenAI",
        "Monitoring",
        "MonitoringSettings",
        "SampleStats",
        "SettingsError",
        "Stats",
        "Usage",
        "__version__",
        "abatch_usage",
        "attributes",
        "batch_usage",
        "carry",
        "monitor",
        "no_content",
    ]
    assert all(hasattr(monitored_openai, name) for name in monitored_openai.__all__)


def test_a_handle_has_these_public_members() -> None:
    handle = monitored_openai.Monitoring(monitored_openai.MonitoringSettings(enabled=False))

    found = [name for name in dir(handle) if not name.startswith("_")]
    assert found == ["aflush", "close", "collector", "flush", "purge", "settings", "stats"]


IMPORTING = """
import json, logging, sys, threading
import openai
happened = []
sys.addaudithook(lambda event, args: happened.append([event, str(args[0]) if args else ""]))
import monitored_openai
print(json.dumps({
    "happened": happened,
    "threads": [thread.name for thread in threading.enumerate()],
    "modules": sorted(sys.modules),
    "root": [logging.root.level, len(logging.root.handlers)],
    "own": [type(handler).__name__ for handler in logging.getLogger("monitored_openai").handlers],
}))
"""
WITHOUT_KEY = """
import threading
from monitored_openai import MonitoredOpenAI, MonitoringSettings
try:
    MonitoredOpenAI(monitoring=MonitoringSettings(metrics_url="http://127.0.0.1:9"))
except Exception as error:
    print(type(error).__module__, type(error).__name__, threading.active_count())
"""


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_import_starts_nothing_opens_nothing_and_configures_nothing() -> None:
    seen = json.loads(run(IMPORTING))

    assert seen["threads"] == ["MainThread"]
    assert seen["root"] == [30, 0]
    assert seen["own"] == []  # a NullHandler would keep warnings from stderr in a program without logging
    forbidden = ("socket.", "subprocess.", "os.fork", "os.exec", "_thread.start", "os.mkdir", "os.remove", "os.rename")
    assert [one for one in seen["happened"] if one[0].startswith(forbidden)] == []
    opened = [what for event, what in seen["happened"] if event == "open"]
    # METADATA is asked for its version by a library that is imported
    assert [what for what in opened if not what.endswith((".py", ".pyc", ".so", ".zip", "METADATA"))] == []


def test_the_import_leaves_to_the_exporter_what_only_that_needs() -> None:
    modules = json.loads(run(IMPORTING))["modules"]

    assert {"prometheus_client", "genai_prices", "cramjam", "monitored_openai._cli"}.isdisjoint(modules)
    assert "monitored_openai._exporter.exporter" not in modules


def test_the_import_loads_the_http_libraries_because_a_later_import_would_break_calls_in_other_threads() -> None:
    """The SDK reads `httpx` from `sys.modules` during each call, even while another thread is still importing it."""
    assert {"httpx", "openai"} <= set(json.loads(run(IMPORTING))["modules"])


def test_a_client_without_a_key_fails_as_ever_and_starts_no_thread() -> None:
    assert run(WITHOUT_KEY).split() == ["openai", "OpenAIError", "1"]

"""The provider by the host of the base URL. Prices depend on it, so another host has the provider `unknown`."""

from __future__ import annotations

import genai_prices.data
import pytest

from monitored_openai._providers import (
    PROVIDERS,
    UNKNOWN,
    no_price_reason,
    price_id_of,
    provider_named,
    provider_of,
    stream_usage_of,
    table_model,
)


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("mine.openai.azure.com", "azure.ai.openai"),
        ("mine.cognitiveservices.azure.com", "azure.ai.openai"),
        ("mine.services.ai.azure.com", "azure.ai.inference"),
        ("api.groq.com", "groq"),
        ("api.mistral.ai", "mistral_ai"),
        ("api.deepseek.com", "deepseek"),
        ("api.perplexity.ai", "perplexity"),
        ("api.x.ai", "x_ai"),
        ("us-east-1.api.x.ai", "x_ai"),
        ("api.anthropic.com", "anthropic"),
        ("api.moonshot.cn", "moonshot_ai"),
        ("openrouter.ai", "openrouter"),
        ("eu.openrouter.ai", "openrouter"),
        ("us.openrouter.ai", "openrouter"),
        ("www.openrouter.ai", "openrouter"),
        ("openrouter.ai.", "openrouter"),
        ("OpenRouter.AI", "openrouter"),
        ("EU.api.OpenAI.com.", "openai"),
        ("api.moonshot.ai", "moonshot_ai"),
        ("api.together.xyz", "together"),
        ("api.together.ai", "together"),
        ("api.fireworks.ai", "fireworks"),
        ("api.cerebras.ai", "cerebras"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("bedrock-runtime.us-west-2.amazonaws.com", "aws.bedrock"),
        ("bedrock-mantle.us-east-1.amazonaws.com", "aws.bedrock"),
        ("bedrock-mantle.us-east-1.api.aws", "aws.bedrock"),
        ("aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("europe-west1-aiplatform.googleapis.com", "gcp.vertex_ai"),
    ],
)
def test_a_known_host_has_its_provider(host: str, provider: str) -> None:
    assert provider_of(host, kind=None) == provider


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "127.0.0.1",
        "llm.example.com",
        "evilapi.openai.com",
        "api.openai.com.example.com",
        "openai.azure.com.example.com",
        "my-vllm-12345.us-east-1.elb.amazonaws.com",
        "ec2-1-2-3-4.compute-1.amazonaws.com",
        "abc123.execute-api.eu-west-1.amazonaws.com",
        "lambda.eu-west-1.api.aws",
        "evilaiplatform.googleapis.com",
        "evilopenrouter.ai",
        "openrouter.ai.example.com",
        ".",
        "api.openai.com..",
    ],
)
def test_a_server_of_ones_own_is_unknown_also_behind_a_load_balancer_of_a_cloud(host: str) -> None:
    assert provider_of(host, kind=None) == "unknown"


@pytest.mark.parametrize("host", ["mine.openai.azure.com", "gateway.example.com", "api.openai.com"])
def test_the_azure_clients_talk_to_azure_whatever_the_host(host: str) -> None:
    assert provider_of(host, kind="azure") == "azure.ai.openai"


@pytest.mark.parametrize(("kind", "provider"), [("bedrock", "aws.bedrock"), ("vertex", "gcp.vertex_ai")])
def test_a_client_made_for_a_provider_talks_to_it_whatever_the_host(kind: str, provider: str) -> None:
    assert provider_of("gateway.example.com", kind=kind) == provider


def test_a_kind_that_is_not_known_yet_says_nothing() -> None:
    assert (provider_of("api.openai.com", kind="new"), provider_of("localhost", kind="new")) == ("openai", "unknown")


def test_each_host_pattern_belongs_to_one_provider() -> None:
    patterns = [pattern for provider in PROVIDERS for pattern in provider.hosts]
    assert len(patterns) == len(set(patterns))
    for provider in PROVIDERS:
        for pattern in provider.hosts:
            assert provider_of(pattern.replace("*", "x"), kind=None) == provider.name


@pytest.mark.parametrize("provider", sorted({p.name for p in PROVIDERS if p.name != UNKNOWN and p.no_price is None}))
def test_each_provider_has_an_entry_in_the_price_table(provider: str) -> None:
    assert price_id_of(provider) in {known.id for known in genai_prices.data.providers}


@pytest.mark.parametrize(
    ("host", "kind", "named", "usage"),
    [
        ("openrouter.ai", None, None, "unrequested"),
        ("openrouter.ai", None, "ours", "unrequested"),
        ("eu.openrouter.ai.", None, None, "unrequested"),
        ("api.eu.mistral.ai", None, None, "unrequested"),
        ("gateway.example.com", None, "unknown", "untried"),
        ("gateway.example.com", None, "openrouter", "unrequested"),
        ("gateway.example.com", None, "mistral", "unrequested"),
        ("eu.api.openai.com", None, None, "on_request"),
        ("gateway.example.com", None, "openai", "untried"),
        ("gateway.example.com", "azure", None, "untried"),
        ("gateway.example.com", None, None, "untried"),
        ("", None, "", "untried"),
    ],
)
def test_the_usage_of_streams_is_known_by_host_and_by_the_provider_that_the_user_names(
    host: str, kind: str | None, named: str | None, usage: str
) -> None:
    assert stream_usage_of(host, kind=kind, configured=named) == usage


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "host.docker.internal", "ollama", "gpu-box"])
def test_ollama_is_known_by_its_own_port_at_a_local_host(host: str) -> None:
    assert provider_of(host, kind=None, port=11434) == "ollama"
    assert provider_of(host, kind=None, port=8000) == "unknown"  # vLLM's port, and that of many others
    assert provider_of(host, kind=None) == "unknown"


@pytest.mark.parametrize(
    ("host", "provider"),
    [("llm.example.com", "unknown"), ("10.0.0.7", "unknown"), ("", "unknown"), ("api.x.ai", "x_ai")],
)
def test_the_port_of_a_host_with_a_domain_says_nothing(host: str, provider: str) -> None:
    assert provider_of(host, kind=None, port=11434) == provider


@pytest.mark.parametrize(
    ("provider", "host", "reason"),
    [
        ("ollama", "localhost:11434", "self_hosted"),
        ("vllm", "gpu.example.com", "self_hosted"),
        ("vllm", None, "self_hosted"),
        ("moonshot_ai", "api.moonshot.cn", "currency"),
        ("moonshot_ai", "api.moonshot.ai", None),
        ("moonshot_ai", "gateway.example.com", None),
        ("openai", "api.openai.com", None),
        ("openai", "api.moonshot.cn", None),
        ("mine", "localhost", None),
    ],
)
def test_a_provider_without_a_bill_in_dollars_has_a_reason(provider: str, host: str | None, reason: str | None) -> None:
    assert no_price_reason(provider, host) == reason


@pytest.mark.parametrize(
    ("provider", "model", "bare"),
    [
        ("gcp.vertex_ai", "google/gemini-2.5-flash", "gemini-2.5-flash"),
        ("gcp.vertex_ai", "publishers/google/models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("gcp.gemini", "models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("gcp.gemini", "gemini-2.5-flash", "gemini-2.5-flash"),
        ("google", "models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("openrouter", "google/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("mine", "models/x", "models/x"),
    ],
)
def test_the_price_table_has_googles_models_without_their_prefix(provider: str, model: str, bare: str) -> None:
    assert table_model(provider, model) == bare


@pytest.mark.parametrize(("name", "provider"), [("x-ai", "x_ai"), ("x_ai", "x_ai"), ("unknown", None), (None, None)])
def test_a_provider_has_two_names(name: str | None, provider: str | None) -> None:
    found = provider_named(name)
    assert (None if found is None else found.name) == provider


def test_a_regional_host_with_other_prices_has_no_price_rather_than_a_false_one() -> None:
    assert provider_of("api.eu.mistral.ai", kind=None) == "unknown"

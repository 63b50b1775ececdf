"""The provider by the host of the base URL; prices depend on it, so that a guess would be worse than none."""

from __future__ import annotations

import pytest

from monitored_openai._providers import provider_of


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
        ("openrouter.ai", "openrouter"),
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

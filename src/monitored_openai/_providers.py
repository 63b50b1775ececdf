"""Which provider answers at a host, in the names of OpenTelemetry's `gen_ai.provider.name`."""

from __future__ import annotations

UNKNOWN = "unknown"

_BY_SUFFIX = (
    ("api.openai.com", "openai"),
    (".api.openai.com", "openai"),
    (".openai.azure.com", "azure.ai.openai"),
    (".cognitiveservices.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
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
)


def provider_of(host: str, *, azure: bool) -> str:
    """The provider at a host; `unknown` for a proxy or a server of the user's own, whose prices nobody knows."""
    if azure:
        return "azure.ai.openai"
    for suffix, provider in _BY_SUFFIX:
        if host == suffix or (suffix.startswith(".") and host.endswith(suffix)):
            return provider
    # Anybody's load balancer is at amazonaws.com too.
    return "aws.bedrock" if host.startswith("bedrock") and host.endswith(".amazonaws.com") else UNKNOWN

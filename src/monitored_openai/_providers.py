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
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
)
_BY_KIND = {"azure": "azure.ai.openai", "bedrock": "aws.bedrock", "vertex": "gcp.vertex_ai"}


def provider_of(host: str, *, kind: str | None) -> str:
    """The provider at a host; `unknown` for a proxy or a server of the user's own, whose prices nobody knows.

    `kind` is what the client itself was made for, whatever its host: `azure`, or the name of the SDK's `provider=`.
    """
    if kind in _BY_KIND:
        return _BY_KIND[kind]
    for suffix, provider in _BY_SUFFIX:
        if host == suffix or (suffix.startswith(".") and host.endswith(suffix)):
            return provider
    # Anybody's load balancer is at amazonaws.com too.
    is_bedrock = host.startswith("bedrock") and host.endswith((".amazonaws.com", ".api.aws"))
    if is_bedrock:
        return "aws.bedrock"
    return "gcp.vertex_ai" if host.endswith("-aiplatform.googleapis.com") else UNKNOWN

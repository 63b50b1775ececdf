"""Known providers: their hosts, their ids in `genai-prices`, and how their streams report usage."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

UNKNOWN = "unknown"

StreamUsage = Literal["unrequested", "on_request", "untried"]
"""The streams for which a server reports usage.

- ``unrequested``: every stream, with any or no `stream_options`.
- ``on_request``: a stream with `stream_options.include_usage`, which the server accepts.
- ``untried``: unknown; the library adds `stream_options.include_usage` and learns from the response.
"""


class Provider(NamedTuple):
    """One provider and the facts about its API that do not depend on the model."""

    name: str
    """OpenTelemetry's `gen_ai.provider.name`."""
    hosts: tuple[str, ...] = ()
    """Patterns of its hosts, in lower case; `*` stands for any text."""
    kind: str | None = None
    """The kind of client that calls this provider at any host: `azure`, or the name of the SDK's `provider=`."""
    price_id: str | None = None
    """Its id in `genai-prices`, if that differs from its name."""
    stream_usage: StreamUsage = "untried"


# The patterns are as narrow as the providers' documentation allows, because other servers share a domain such as
# amazonaws.com.
PROVIDERS = (
    Provider("openai", ("api.openai.com", "*.api.openai.com"), stream_usage="on_request"),
    Provider(
        "azure.ai.openai", ("*.openai.azure.com", "*.cognitiveservices.azure.com"), kind="azure", price_id="azure"
    ),
    Provider("azure.ai.inference", ("*.services.ai.azure.com",), price_id="azure"),
    Provider("aws.bedrock", ("bedrock*.amazonaws.com", "bedrock*.api.aws"), kind="bedrock", price_id="aws"),
    Provider(
        "gcp.vertex_ai",
        ("aiplatform.googleapis.com", "*-aiplatform.googleapis.com"),
        kind="vertex",
        price_id="google",
    ),
    Provider("gcp.gemini", ("generativelanguage.googleapis.com",), price_id="google"),
    Provider("gcp.gen_ai", price_id="google"),
    Provider("groq", ("api.groq.com",)),
    Provider("mistral_ai", ("api.mistral.ai",), price_id="mistral", stream_usage="unrequested"),
    Provider("deepseek", ("api.deepseek.com",)),
    Provider("perplexity", ("api.perplexity.ai",), stream_usage="unrequested"),
    Provider("x_ai", ("api.x.ai",), price_id="x-ai"),
    Provider("openrouter", ("openrouter.ai", "*.openrouter.ai"), stream_usage="unrequested"),
    Provider("together", ("api.together.xyz", "api.together.ai")),
    Provider("fireworks", ("api.fireworks.ai",)),
    Provider("cerebras", ("api.cerebras.ai",)),
    Provider("moonshot_ai", ("api.moonshot.ai",), price_id="moonshotai"),
    # Mistral's regional hosts charge 10 % more than the price table lists; an unknown price is better than a false one.
    Provider(UNKNOWN, ("api.eu.mistral.ai", "api.us.mistral.ai"), stream_usage="unrequested"),
)
_PRICE_IDS = {provider.name: provider.price_id or provider.name for provider in PROVIDERS}


def provider_of(host: str, *, kind: str | None) -> str:
    """Return the provider at a host; `unknown` for any other host, such as a proxy, whose prices are unknown.

    `kind`: the kind of client, which takes precedence over the host: `azure`, or the name of the SDK's `provider=`.
    """
    found = _find(host, kind)
    return UNKNOWN if found is None else found.name


def stream_usage_of(host: str, *, kind: str | None, configured: str | None) -> StreamUsage:
    """Return the streams for which the server at a host reports usage.

    `configured`: the provider in the user's settings. Its name does not prove that the server accepts `stream_options`,
    because a gateway may be in front of it.
    """
    if any(
        p.stream_usage == "unrequested"
        for p in PROVIDERS
        if configured in (p.name, p.price_id) and configured not in (None, UNKNOWN)
    ):
        return "unrequested"
    found = _find(host, kind)
    return "untried" if found is None else found.stream_usage


def price_id_of(provider: str) -> str:
    """Return the id of a provider in `genai-prices`; return an unknown name unchanged."""
    return _PRICE_IDS.get(provider, provider)


def _find(host: str, kind: str | None) -> Provider | None:
    host = host.lower().removesuffix(".")  # a fully qualified name may end with a dot
    for provider in PROVIDERS:
        if kind is not None and provider.kind == kind:
            return provider
    for provider in PROVIDERS:
        if any(fnmatchcase(host, pattern) for pattern in provider.hosts):
            return provider
    return None

"""The table of known providers: where each answers, and the facts about its API on which the library depends."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

UNKNOWN = "unknown"

StreamUsage = Literal["unrequested", "on_request", "untried"]
"""When a provider reports the usage of a stream.

- ``unrequested``: in every stream, whatever the request has in `stream_options`.
- ``on_request``: only after `stream_options.include_usage`, which it is known to accept.
- ``untried``: the library sends the request and learns from the reply.
"""


class Provider(NamedTuple):
    """One provider and the facts about its API that do not depend on the model."""

    name: str
    """As OpenTelemetry's `gen_ai.provider.name` has it."""
    hosts: tuple[str, ...] = ()
    """Patterns of the hosts at which it answers, in lower case; `*` stands for any text."""
    kind: str | None = None
    """The kind of client that reaches it at any host: `azure`, or the name of the SDK's `provider=`."""
    price_id: str | None = None
    """Its id in `genai-prices`, if that is not its name."""
    stream_usage: StreamUsage = "untried"


# Anybody's load balancer is at amazonaws.com too: the patterns are as narrow as the providers' documentation allows.
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
    # Mistral's regional hosts charge 10 % more than the table of prices has: an unknown price, not a false one.
    Provider(UNKNOWN, ("api.eu.mistral.ai", "api.us.mistral.ai"), stream_usage="unrequested"),
)
_PRICE_IDS = {provider.name: provider.price_id or provider.name for provider in PROVIDERS}


def provider_of(host: str, *, kind: str | None) -> str:
    """The provider at a host; `unknown` for a proxy or a server of the user's own, whose prices nobody knows.

    `kind` is what the client itself was made for, whatever its host: `azure`, or the name of the SDK's `provider=`.
    """
    found = _find(host, kind)
    return UNKNOWN if found is None else found.name


def stream_usage_of(host: str, *, kind: str | None, configured: str | None) -> StreamUsage:
    """When the server at a host reports the usage of a stream.

    `configured` is the provider that the user's settings name. Its name alone does not prove that the server accepts
    `stream_options`: the user may have a gateway in front of it.
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
    """The id in `genai-prices` of a provider; a name that is not in the table is taken for such an id."""
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

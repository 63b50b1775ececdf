"""Known providers: their hosts, their ids in `genai-prices`, and how their responses report usage and charges."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal, NamedTuple

UNKNOWN = "unknown"

StreamUsage = Literal["unrequested", "on_request", "untried"]
"""The streams for which a server reports usage.

- ``unrequested``: every stream, with any or no `stream_options`.
- ``on_request``: a stream with `stream_options.include_usage`, which the server accepts.
- ``untried``: unknown; the library adds `stream_options.include_usage` and learns from the response.
"""

Charge = Literal["cost", "cost_object", "ticks"]
"""The form in which a provider reports its charge in US dollars, as its documentation states.

- ``cost``: OpenRouter's `usage.cost`, and `usage.cost_details` for requests with the user's own key.
- ``cost_object``: Perplexity's `usage.cost.total_cost`.
- ``ticks``: xAI's `usage.cost_in_usd_ticks`; a dollar has 10,000,000,000 ticks.
"""

NoPrice = Literal["self_hosted", "currency"]
"""The reasons why a provider has no price in US dollars.

- ``self_hosted``: the user runs the server, so its tokens have no price.
- ``currency``: the provider bills in another currency.
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
    charge: Charge | None = None
    """The form of the charge in its responses; `None` if they have none, or if its unit is not documented."""
    thinks_in_total: bool = False
    """True if only the `total_tokens` of its usage counts the model's thinking, which it bills as output."""
    audio_unsplit: bool = False
    """True if its usage does not separate the audio of the input, which has another price than text."""
    model_prefixes: tuple[str, ...] = ()
    """Prefixes of its models' names that the price table leaves out."""
    local_port: int | None = None
    """The default port of its server, if no other known server has the same one."""
    no_price: NoPrice | None = None


_GOOGLE_PREFIXES = ("models/", "publishers/google/models/", "google/")

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
        thinks_in_total=True,
        audio_unsplit=True,
        model_prefixes=_GOOGLE_PREFIXES,
    ),
    Provider(
        "gcp.gemini",
        ("generativelanguage.googleapis.com",),
        price_id="google",
        thinks_in_total=True,
        audio_unsplit=True,
        model_prefixes=_GOOGLE_PREFIXES,
    ),
    Provider(
        "gcp.gen_ai", price_id="google", thinks_in_total=True, audio_unsplit=True, model_prefixes=_GOOGLE_PREFIXES
    ),
    Provider("anthropic", ("api.anthropic.com",)),
    Provider("groq", ("api.groq.com",)),
    Provider("mistral_ai", ("api.mistral.ai",), price_id="mistral", stream_usage="unrequested"),
    Provider("deepseek", ("api.deepseek.com",)),
    Provider("perplexity", ("api.perplexity.ai",), stream_usage="unrequested", charge="cost_object"),
    Provider("x_ai", ("api.x.ai", "*.api.x.ai"), price_id="x-ai", charge="ticks"),
    Provider("openrouter", ("openrouter.ai", "*.openrouter.ai"), stream_usage="unrequested", charge="cost"),
    Provider("together", ("api.together.xyz", "api.together.ai")),
    Provider("fireworks", ("api.fireworks.ai",)),
    Provider("cerebras", ("api.cerebras.ai",)),
    Provider("moonshot_ai", ("api.moonshot.ai",), price_id="moonshotai"),
    # The price table has the prices in US dollars of api.moonshot.ai; this host bills in yuan.
    Provider("moonshot_ai", ("api.moonshot.cn",), price_id="moonshotai", no_price="currency"),
    # Only Ollama uses its port. Other servers use vLLM's port too, so only the setting can name vLLM.
    Provider("ollama", local_port=11434, no_price="self_hosted"),
    Provider("vllm", no_price="self_hosted"),
    # Mistral's regional hosts charge 10 % more than the price table lists; an unknown price is better than a false one.
    Provider(UNKNOWN, ("api.eu.mistral.ai", "api.us.mistral.ai"), stream_usage="unrequested"),
)
_PRICE_IDS = {provider.name: provider.price_id or provider.name for provider in PROVIDERS}
_LOCAL_HOSTS = frozenset({"127.0.0.1", "::1", "localhost", "host.docker.internal"})


def provider_of(host: str, *, kind: str | None, port: int | None = None) -> str:
    """Return the provider at a host; `unknown` for any other host, such as a proxy, whose prices are unknown.

    Args:
        host: the host of the base URL.
        kind: the kind of client, which takes precedence over the host: `azure`, or the name of the SDK's `provider=`.
        port: the port of the base URL, which identifies the server at a local host.
    """
    found = _find(host, kind)
    if found is None and port is not None and _is_local(host):
        found = next((provider for provider in PROVIDERS if provider.local_port == port), None)
    return UNKNOWN if found is None else found.name


def stream_usage_of(host: str, *, kind: str | None, configured: str | None) -> StreamUsage:
    """Return the streams for which the server at a host reports usage.

    `configured`: the provider in the user's settings. Its name does not prove that the server accepts `stream_options`,
    because a gateway may be in front of it.
    """
    named = provider_named(configured)
    if named is not None and named.stream_usage == "unrequested":
        return "unrequested"
    found = _find(host, kind)
    return "untried" if found is None else found.stream_usage


@lru_cache(maxsize=256)
def provider_named(name: str | None) -> Provider | None:
    """Return a known provider by its name or by its id in `genai-prices`; `None` for any other name."""
    return next((p for p in PROVIDERS if name in (p.name, p.price_id) and name not in (None, UNKNOWN)), None)


def price_id_of(provider: str) -> str:
    """Return the id of a provider in `genai-prices`; return an unknown name unchanged."""
    return _PRICE_IDS.get(provider, provider)


@lru_cache(maxsize=1024)
def table_model(provider: str, model: str) -> str:
    """Return the name of a model in the price table, which leaves out a prefix such as Google's `models/`."""
    known = provider_named(provider)
    for prefix in () if known is None else known.model_prefixes:
        model = model.removeprefix(prefix)
    return model


@lru_cache(maxsize=256)
def no_price_reason(provider: str, host: str | None) -> NoPrice | None:
    """Return the reason why a provider's tokens have no price in US dollars; `None` if they may have one."""
    at_host = None if host is None else _find(host, None)
    known = at_host if at_host is not None and at_host.name == provider else provider_named(provider)
    return None if known is None else known.no_price


def _is_local(host: str) -> bool:
    """Return whether a host is this machine, or has a name without a domain, as in a network of containers."""
    return host in _LOCAL_HOSTS or (host != "" and "." not in host and ":" not in host)


def _find(host: str, kind: str | None) -> Provider | None:
    host = host.lower().removesuffix(".")  # a fully qualified name may end with a dot
    for provider in PROVIDERS:
        if kind is not None and provider.kind == kind:
            return provider
    for provider in PROVIDERS:
        if any(fnmatchcase(host, pattern) for pattern in provider.hosts):
            return provider
    return None

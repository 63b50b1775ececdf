"""Factors on the published prices of tokens: data residency and the type of an Azure deployment."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from monitored_openai._record import CostIncomplete

AzureDeployment = Literal["global", "data_zone", "regional", "provisioned"]
"""Types of Azure deployments, by Azure's names. The type decides the price of a token."""


class Factor(NamedTuple):
    """A factor on the price of every token of a call, with the reason if the call may cost more."""

    value: float = 1.0
    gap: CostIncomplete | None = None


_WITH_UPLIFT = ("gpt-5.4", "gpt-5.5", "gpt-5.6", "gpt-6")
"""Prefixes of the names of models that OpenAI released since 2026-03-05."""
_WITHOUT_UPLIFT = (
    *("gpt-3.5", "gpt-4", "chatgpt-4o", "gpt-5", "o1", "o3", "o4", "codex-mini", "computer-use"),
    *("text-embedding", "text-moderation", "omni-moderation", "whisper", "tts", "dall-e", "babbage", "davinci"),
    *("gpt-image-1", "gpt-audio", "gpt-realtime-mini", "sora-2"),
)
"""Prefixes of the names of older models."""
RESIDENCY_UPLIFT = 1.1
"""10 % more at a regional host (https://developers.openai.com/api/docs/guides/data-residency, November 2026)."""
AZURE_UPLIFT = 1.1
"""A data zone costs 10 % more than a global deployment (https://prices.azure.com, by litellm 1.110.2, 2026-11-27)."""
_AZURE_DISPUTED = ("text-embedding", "ada", "gpt-4-turbo", "gpt-3.5-turbo-instruct")
"""Prefixes of the names of models whose prices differ by 10 % between the table and Azure's list (same source)."""
_AZURE_BY_ZONE = "gpt-6"
"""Prefix of the names of models that cost 10 % more in US zones, but 20 % more in others (same source).

The host of an Azure resource does not reveal its zone.
"""


@lru_cache(maxsize=1024)
def factor_of(provider: str, host: str | None, model: str, azure_deployment: AzureDeployment | None) -> Factor:
    """Return the factor on the published prices of a model's tokens at a host."""
    if provider == "openai":
        return _residency(host, model)
    if provider == "azure.ai.openai":
        return _azure(model.lower(), azure_deployment)
    return Factor()


def _azure(model: str, deployment: AzureDeployment | None) -> Factor:
    if deployment is None:
        return Factor(gap="deployment")
    uncertain = _AZURE_DISPUTED if deployment == "global" else (*_AZURE_DISPUTED, _AZURE_BY_ZONE)
    value = 1.0 if deployment == "global" else AZURE_UPLIFT
    return Factor(value, "deployment" if model.startswith(uncertain) else None)


def _residency(host: str | None, model: str) -> Factor:
    if host is None or not host.lower().rstrip(".").endswith(".api.openai.com"):
        return Factor()
    name = model.lower().removeprefix("ft:")
    if name.startswith(_WITH_UPLIFT):
        return Factor(RESIDENCY_UPLIFT)
    return Factor() if name.startswith(_WITHOUT_UPLIFT) else Factor(gap="residency")

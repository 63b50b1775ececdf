"""The user's own prices: which of them apply to a call, and their rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from monitored_openai._pricing.rates import Bands, Rates
from monitored_openai._settings.prices import ModelPrice, Prices

BATCH = "batch"
"""The name of the batch price among a price's tiers."""
_MOST_REMEMBERED = 1024
_STANDARD_TIERS = frozenset({None, "default", "standard", "on_demand", "auto"})  # servers without tiers return `auto`
_RATE_OF = {
    "input": "input",
    "cached_input": "input_cached",
    "cache_write": "input_cache_write",
    "cache_write_12h": "input_cache_write_12h",
    "audio_input": "input_audio",
    "image_input": "input_image",
    "output": "output",
    "reasoning_output": "output_reasoning",
    "audio_output": "output_audio",
    "image_output": "output_image",
}
"""The rate of each kind of tokens in a price, by its name in the settings."""
_UNITS_OF = {
    "web_search_per_call": ("web_searches", "web_searches_preview", "web_searches_preview_non_reasoning"),
    "file_search_per_call": ("file_searches",),
    "container_1g_per_session": ("container_sessions_1g",),
    "container_4g_per_session": ("container_sessions_4g",),
    "container_16g_per_session": ("container_sessions_16g",),
    "container_64g_per_session": ("container_sessions_64g",),
    "computer_per_action": ("computer_actions",),
    "mcp_per_call": ("mcp_calls",),
    "video_per_second": ("video_seconds", "video_seconds_720p", "video_seconds_1024p", "video_seconds_1080p"),
}
"""The billed units of each fee in a price, by its name in the settings."""


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """The user's price of a model in one service tier."""

    bands: Bands
    units: Mapping[str, float]
    """USD for each unit, by the name of the unit."""


class OwnPrices:
    """The user's own prices, with the most specific name first: provider and model, model, fine-tunes, pattern."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._found: dict[tuple[str, str, str | None, bool], OwnPrice | None] = {}
        self._patterns = sorted((name for name in prices if "*" in name), key=lambda name: (-len(name), name))

    def find(self, provider: str, model: str, service_tier: str | None, *, batch: bool) -> OwnPrice | None:
        """Return the price of a model in a tier; `None` if the user has none, so that the published price applies."""
        key = (provider, model, service_tier, batch)
        if key not in self._found:
            if len(self._found) >= _MOST_REMEMBERED:
                self._found.clear()
            self._found[key] = self._find(*key)
        return self._found[key]

    def _find(self, provider: str, model: str, service_tier: str | None, batch: bool) -> OwnPrice | None:
        price = self._price_of(provider, model)
        if price is None:
            return None
        tier = BATCH if batch else None if service_tier in _STANDARD_TIERS else service_tier
        if tier is not None:
            tiers: Mapping[str, ModelPrice] = price.get("tiers", {})
            if tier not in tiers:
                return None
            price = _tier_price(price, tiers[tier])
        return _own_price(price)

    def _price_of(self, provider: str, model: str) -> ModelPrice | None:
        base = ":".join(model.split(":")[:2]) if model.startswith("ft:") else model
        names = [f"{provider}/{model}", model, f"{provider}/{base}", base]
        found = next((name for name in names if name in self._prices), None) or next(
            (pattern for pattern in self._patterns if any(fnmatchcase(name, pattern) for name in names)), None
        )
        return None if found is None else self._prices[found]


def _tier_price(standard: ModelPrice, tier: ModelPrice) -> ModelPrice:
    """Return the price of a tier: its own kinds, or the standard price if it has only a multiplier."""
    if tier.keys() != {"multiplier"}:
        return tier
    return {**standard, "multiplier": tier["multiplier"] * standard.get("multiplier", 1.0)}


def _own_price(price: ModelPrice) -> OwnPrice:
    multiplier = float(price.get("multiplier", 1.0))
    steps: Mapping[str, ModelPrice] = price.get("longer_than", {})
    bands = [(int(tokens), _rates({**price, **step}, multiplier)) for tokens, step in steps.items()]
    bands.sort(key=lambda band: -band[0])
    units = {
        unit: float(price[name]) * multiplier for name, units in _UNITS_OF.items() if name in price for unit in units
    }
    return OwnPrice((*bands, (-1, _rates(price, multiplier))), units)


def _rates(price: Mapping[str, Any], multiplier: float) -> Rates:
    rates = Rates(input=None, output=None, input_cached=None, input_cache_write=None)
    per_token = {field: price[name] * multiplier / 1e6 for name, field in _RATE_OF.items() if name in price}
    minute, characters = price.get("minute"), price.get("characters")
    return replace(
        rates,
        **per_token,
        input_second=None if minute is None else minute * multiplier / 60,
        input_character=None if characters is None else characters * multiplier / 1e6,
    )

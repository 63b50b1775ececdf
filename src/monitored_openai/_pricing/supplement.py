"""Published prices of models that the table of `genai-prices` lacked at release, with source and date of each.

The table comes first: an entry here applies only while the table has none for the model. A test fails when the table
has gained an entry, so that this list stays short.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from genai_prices import types


@dataclass(frozen=True, slots=True)
class SupplementaryPrice:
    """The published price of one model."""

    model: types.ModelInfo
    source: str
    date: str
    """The day of the source, as YYYY-MM-DD."""


_LONG_PROMPT = 272_000
"""Tokens; longer prompts cost twice the input and cache rates and 1.5 times the output rate, in the whole call."""


def _text_model(name: str, *, input: str, cached: str, written: str, output: str, tiers: bool) -> types.ModelInfo:  # noqa: A002 - as the price list names it
    """Return a model with its prices in USD per million tokens; `tiers`: batch at half and fast at twice the price."""

    def prices(factor: str) -> types.ModelPrice:
        return types.ModelPrice(
            input_mtok=_long_priced(input, factor, "2"),
            cache_read_mtok=_long_priced(cached, factor, "2"),
            cache_write_mtok=_long_priced(written, factor, "2"),
            output_mtok=_long_priced(output, factor, "1.5"),
        )

    variants = [
        types.PriceVariant(when={"processing": "batch"}, prices=prices("0.5")),
        types.PriceVariant(when={"service_tier": "priority"}, prices=prices("2")),
        types.PriceVariant(when={"service_tier": "fast"}, prices=prices("2")),
    ]
    return types.ModelInfo(
        id=name, match=types.ClauseEquals(name), prices=prices("1"), price_variants=variants if tiers else None
    )


def _long_priced(usd: str, factor: str, long: str) -> types.TieredPrices:
    base = Decimal(usd) * Decimal(factor)
    return types.TieredPrices(base=base, tiers=[types.Tier(start=_LONG_PROMPT, price=base * Decimal(long))])


def _image_model(name: str) -> types.ModelInfo:
    """Return an image model with the rates that OpenAI's image models have had since gpt-image-2."""
    return types.ModelInfo(
        id=name,
        match=types.ClauseEquals(name),
        prices=types.ModelPrice(
            input_mtok=Decimal(5), cache_read_mtok=Decimal("1.25"), input_image_mtok=Decimal(8), output_mtok=Decimal(30)
        ),
    )


_PAGES = "https://developers.openai.com/api/docs/models/"
_LITELLM = "litellm 1.110.2, from "

OPENAI: tuple[SupplementaryPrice, ...] = (
    SupplementaryPrice(
        # No source gives the rate of cache writes; it is 1.25 times the input's, as at all OpenAI models that bill them.
        _text_model("gpt-6.2-astra", input="8", cached="0.4", written="10", output="40", tiers=False),
        "https://github.com/BerriAI/litellm/discussions/52347",
        "2026-11-18",
    ),
    SupplementaryPrice(
        _text_model("gpt-6.2-sol", input="2", cached="0.1", written="2.5", output="10", tiers=True),
        _PAGES + "gpt-6.2-sol",
        "2026-11-17",
    ),
    SupplementaryPrice(
        _text_model("gpt-daybreak-blue-latest", input="4", cached="0.4", written="5", output="20", tiers=False),
        _LITELLM + _PAGES + "gpt-daybreak-blue-latest",
        "2026-11-27",
    ),
    SupplementaryPrice(
        _text_model("gpt-daybreak-red-latest", input="12.5", cached="1.25", written="15.625", output="75", tiers=False),
        _LITELLM + _PAGES + "gpt-daybreak-red-latest",
        "2026-11-27",
    ),
    SupplementaryPrice(_image_model("gpt-image-2.6-flare"), _LITELLM + _PAGES + "gpt-image-2.6-flare", "2026-11-27"),
    SupplementaryPrice(_image_model("gpt-image-2.6-sunburst"), _PAGES + "gpt-image-2.6-sunburst", "2026-11-27"),
)
"""OpenAI's models; other sellers of these models may have other prices."""

SAME_PRICE = {
    "gpt-4o-mini-transcribe-2025-12-15": "gpt-4o-mini-transcribe",
    "gpt-4o-mini-tts-2025-12-15": "gpt-4o-mini-tts",
}
"""Dated names at OpenAI with the price of the undated name (litellm 1.110.2, 2026-11-27)."""

_BY_NAME = {price.model.id: price for price in OPENAI}


def find_supplementary(seller: types.Provider, model: str) -> types.ModelInfo | None:
    """Return the entry of a model of OpenAI that the table lacks, or `None`."""
    if seller.id != "openai":
        return None
    name = model.lower()
    if name in SAME_PRICE:
        return seller.find_model(SAME_PRICE[name])
    price = _BY_NAME.get(name)
    return None if price is None else price.model


def source_of(model: str) -> str | None:
    """Return the source and date of a model's price here, or `None`."""
    name = model.lower()
    if name in SAME_PRICE:
        return f"the price of {SAME_PRICE[name]}"
    price = _BY_NAME.get(name)
    return None if price is None else f"{price.source} ({price.date})"

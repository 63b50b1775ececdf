"""Published prices of models that the table of `genai-prices` lacked at release, with source and date of each.

The table comes first: an entry here applies only while the table has none for the model. A test fails when the table
has gained an entry, so that this list stays short.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """Return a model with its prices in USD per million tokens.

    `tiers`: it also has prices for batch, half the standard ones, and for priority and fast, twice the standard ones.
    """

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


def _fine_tune(name: str, *, standard: Sequence[str], batch: Sequence[str]) -> types.ModelInfo:
    """Return the fine-tunes of a model; the prices are those of input, cached input and output."""

    def prices(usd: Sequence[str]) -> types.ModelPrice:
        fresh, cached, output = map(Decimal, usd)
        return types.ModelPrice(input_mtok=fresh, cache_read_mtok=cached, output_mtok=output)

    variant = types.PriceVariant(when={"processing": "batch"}, prices=prices(batch))
    return types.ModelInfo(id=name, match=types.ClauseEquals(name), prices=prices(standard), price_variants=[variant])


def _embedding_batches(name: str, *, standard: str, batch: str) -> types.ModelInfo:
    """Return an embedding model of the table with the price in a batch, which the table lacks."""
    variant = types.PriceVariant(when={"processing": "batch"}, prices=types.ModelPrice(input_mtok=Decimal(batch)))
    return types.ModelInfo(
        id=name,
        match=types.ClauseEquals(name),
        prices=types.ModelPrice(input_mtok=Decimal(standard)),
        price_variants=[variant],
    )


_PAGES = "https://developers.openai.com/api/docs/models/"
_LITELLM = "litellm 1.110.2, from "
_PRICING_PAGE = _LITELLM + "https://developers.openai.com/api/docs/pricing"

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
    SupplementaryPrice(
        _fine_tune("ft:gpt-4.1-2025-04-14", standard=("3", "0.75", "12"), batch=("1.5", "0.5", "6")),
        _PRICING_PAGE,
        "2026-11-27",
    ),
    SupplementaryPrice(
        _fine_tune("ft:gpt-4.1-mini-2025-04-14", standard=("0.8", "0.2", "3.2"), batch=("0.4", "0.1", "1.6")),
        _PRICING_PAGE,
        "2026-11-27",
    ),
    SupplementaryPrice(
        _fine_tune("ft:gpt-4.1-nano-2025-04-14", standard=("0.2", "0.05", "0.8"), batch=("0.1", "0.025", "0.4")),
        _PRICING_PAGE,
        "2026-11-27",
    ),
    SupplementaryPrice(
        _fine_tune("ft:o4-mini-2025-04-16", standard=("4", "1", "16"), batch=("2", "0.5", "8")),
        _PRICING_PAGE,
        "2026-11-27",
    ),
    SupplementaryPrice(_image_model("gpt-image-2.6-flare"), _LITELLM + _PAGES + "gpt-image-2.6-flare", "2026-11-27"),
    SupplementaryPrice(_image_model("gpt-image-2.6-sunburst"), _PAGES + "gpt-image-2.6-sunburst", "2026-11-27"),
)
"""OpenAI's models; other sellers of these models may have other prices."""

EMBEDDING_BATCHES: tuple[SupplementaryPrice, ...] = (
    SupplementaryPrice(
        _embedding_batches("text-embedding-3-small", standard="0.02", batch="0.01"), _PRICING_PAGE, "2026-11-27"
    ),
    SupplementaryPrice(
        _embedding_batches("text-embedding-3-large", standard="0.13", batch="0.065"), _PRICING_PAGE, "2026-11-27"
    ),
    SupplementaryPrice(
        _embedding_batches("text-embedding-ada-002", standard="0.1", batch="0.05"), _PRICING_PAGE, "2026-11-27"
    ),
)
"""OpenAI's models whose price in a batch the table lacks."""

SAME_PRICE = {
    "gpt-4o-mini-transcribe-2025-12-15": "gpt-4o-mini-transcribe",
    "gpt-4o-mini-tts-2025-12-15": "gpt-4o-mini-tts",
    "gpt-5-search-api-2025-10-14": "gpt-5-search-api",
}
"""Dated names at OpenAI with the price of the undated name (litellm 1.110.2, 2026-11-27)."""

_BY_NAME = {price.model.id: price for price in OPENAI}
_BATCHES = {price.model.id: price.model for price in EMBEDDING_BATCHES}


def find_supplementary(seller: types.Provider, model: str) -> types.ModelInfo | None:
    """Return the entry of a model of OpenAI that the table lacks, or `None`."""
    if seller.id != "openai":
        return None
    name = _family(model)
    if name in SAME_PRICE:
        return seller.find_model(SAME_PRICE[name])
    price = _BY_NAME.get(name)
    return None if price is None else price.model


def find_batch_price(seller: types.Provider, model: str) -> types.ModelInfo | None:
    """Return an entry with OpenAI's batch price of a model, if the table lacks that price; otherwise `None`."""
    return _BATCHES.get(model) if seller.id == "openai" else None


def source_of(model: str) -> str | None:
    """Return the source and date of a model's price here, or `None`."""
    name = _family(model)
    if name in SAME_PRICE:
        return f"the price of {SAME_PRICE[name]}"
    price = _BY_NAME.get(name)
    return None if price is None else f"{price.source} ({price.date})"


def _family(model: str) -> str:
    """Return the name in lower case; of a fine-tune, only the part that all fine-tunes of a model have."""
    name = model.lower()
    return ":".join(name.split(":")[:2]) if name.startswith("ft:") else name

"""The prices that the package adds to the table of `genai-prices`."""

from __future__ import annotations

import importlib
import importlib.util
import re
from datetime import UTC, date, datetime
from typing import Any, get_args

import pytest
from genai_prices import types
from genai_prices.data_snapshot import get_snapshot
from openai.types.shared.all_models import AllModels

from monitored_openai._pricing.published import PriceTable
from monitored_openai._pricing.rates import Rates, Unpriced
from monitored_openai._pricing.supplement import (
    EMBEDDING_BATCHES,
    OPENAI,
    SAME_PRICE,
    SupplementaryPrice,
    find_supplementary,
    source_of,
)

AT_NS = int(datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()) * 10**9
NAMES = (*(price.model.id for price in OPENAI), *SAME_PRICE)


def openai() -> types.Provider:
    return next(provider for provider in get_snapshot().providers if provider.id == "openai")


def rates(model: str, tier: str | None = None, *, batch: bool = False, longer_than: int = -1) -> Rates | Unpriced:
    price = PriceTable().price("openai", model, tier, batch, AT_NS)
    return price if isinstance(price, Unpriced) else dict(price.bands)[longer_than]


def per_million(found: Rates | Unpriced) -> tuple[Any, ...]:
    assert isinstance(found, Rates), found
    kinds = (found.input, found.input_cached, found.input_cache_write, found.output)
    return tuple(None if rate is None else round(rate * 1e6, 6) for rate in kinds)


@pytest.mark.parametrize("model", NAMES)
def test_table_still_lacks_each_supplementary_model(model: str) -> None:
    found = openai().find_model(model, all_providers=get_snapshot().providers)
    assert found is None or (model.startswith("ft:") and not found.id.startswith("ft:")), (
        f"genai-prices now has a price of {model}: remove the entry in _pricing/supplement.py"
    )


@pytest.mark.parametrize("model", NAMES)
def test_each_supplementary_price_applies_and_has_a_source(model: str) -> None:
    assert per_million(rates(model))[0]
    source = source_of(model)
    assert source is not None
    if model not in SAME_PRICE:
        day = re.search(r"\((\d{4}-\d{2}-\d{2})\)$", source)
        assert day is not None
        assert "https://" in source
        assert date(2026, 1, 1) <= date.fromisoformat(day[1]) <= date(2026, 11, 27)


@pytest.mark.parametrize("price", EMBEDDING_BATCHES, ids=lambda price: price.model.id)
def test_table_still_lacks_each_supplementary_batch_price(price: SupplementaryPrice) -> None:
    entry = next(model for model in openai().models if model.id == price.model.id)
    assert not entry.price_variants, f"genai-prices now has a batch price of {entry.id}: remove it in supplement.py"
    assert rates(entry.id, batch=True) != rates(entry.id)
    assert per_million(rates(entry.id, batch=True))[0] == per_million(rates(entry.id))[0] / 2


def test_fine_tunes_of_a_supplementary_model_have_its_price() -> None:
    assert per_million(rates("ft:gpt-4.1-mini-2025-04-14:org::abc")) == (0.8, 0.2, 0.8, 3.2)
    assert per_million(rates("ft:gpt-4.1-mini-2025-04-14:org::abc", batch=True)) == (0.4, 0.1, 0.4, 1.6)
    assert rates("ft:gpt-4.1-mini-2031-01-01:org::abc") is Unpriced.UNKNOWN_MODEL


def test_gpt_6_2_sol_has_the_rates_of_its_page() -> None:
    assert per_million(rates("gpt-6.2-sol")) == (2.0, 0.1, 2.5, 10.0)
    assert per_million(rates("gpt-6.2-sol", longer_than=272_000)) == (4.0, 0.2, 5.0, 15.0)
    assert per_million(rates("gpt-6.2-sol", "fast")) == (4.0, 0.2, 5.0, 20.0)
    assert per_million(rates("gpt-6.2-sol", batch=True)) == (1.0, 0.05, 1.25, 5.0)


def test_tier_without_a_supplementary_rate_stays_unpriced() -> None:
    assert rates("gpt-6.2-sol", "ultrafast") is Unpriced.NO_RATE_FOR_TIER
    assert rates("gpt-6.2-sol", "flex") is Unpriced.NO_RATE_FOR_TIER
    assert rates("gpt-6.2-astra", batch=True) is Unpriced.NO_RATE_FOR_TIER


def test_other_sellers_do_not_use_the_supplement() -> None:
    azure = next(provider for provider in get_snapshot().providers if provider.id == "azure")
    assert find_supplementary(azure, "gpt-6.2-sol") is None


def test_dated_name_has_the_price_of_the_undated_one() -> None:
    for dated, undated in SAME_PRICE.items():
        assert rates(dated) == rates(undated)


def test_table_wins_over_the_supplement() -> None:
    seller = openai()
    gained = types.ModelInfo(
        id="gpt-6.2-sol", match=types.ClauseEquals("gpt-6.2-sol"), prices=types.ModelPrice(input_mtok=None)
    )
    seller.models.append(gained)
    try:
        assert rates("gpt-6.2-sol") is Unpriced.NO_RATE_FOR_KIND
    finally:
        seller.models.remove(gained)


WITHOUT_RATES_OF_TOKENS = {
    "dall-e-2": "a price by image, size and quality, which no reply states",
    "dall-e-3": "a price by image, size and quality, which no reply states",
    "gpt-6.2-astra-law": "no published price (November 2026)",
    "omni-moderation-2024-09-26": "free",
    "omni-moderation-latest": "free",
    "text-moderation-latest": "free",
    "text-moderation-stable": "free",
    **dict.fromkeys(("sora-2", "sora-2-2025-10-06", "sora-2-2025-12-08"), "a price by second of video"),
    **dict.fromkeys(("sora-2-pro", "sora-2-pro-2025-10-06"), "a price by second of video"),
}
"""Models that the SDK names, and the reason why neither the table nor the supplement has rates for them."""


def named_models(annotation: object) -> set[str]:
    names: set[str] = set()
    for part in get_args(annotation):
        names |= {part} if isinstance(part, str) else named_models(part)
    return names


def test_each_model_that_the_sdk_names_has_rates_or_a_reason() -> None:
    names = named_models(AllModels)
    for module in ("image_model", "audio_model", "embedding_model", "moderation_model", "video_model"):
        if importlib.util.find_spec(f"openai.types.{module}") is not None:
            types_module = importlib.import_module(f"openai.types.{module}")
            names |= named_models(next(kind for name, kind in vars(types_module).items() if name.endswith("Model")))
    assert {"gpt-4o", "o3-pro", "whisper-1", "text-embedding-3-small"} <= names
    unpriced = {name for name in names if isinstance(rates(name), Unpriced)}
    assert unpriced == names & WITHOUT_RATES_OF_TOKENS.keys()

"""The cost of a call: cases calculated by hand, reasons for an unknown cost, and agreement with the price table."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import genai_prices
import pytest
from genai_prices import types
from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from monitored_openai._pricing.price_book import Billed, PriceBook, Unpriced
from monitored_openai._pricing.supplement import EMBEDDING_BATCHES
from monitored_openai._record import Cost, Usage


def ns(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000


AT_NS = ns(datetime(2026, 11, 20, 12, tzinfo=UTC))


class Call(NamedTuple):
    model: str | None
    usage: Usage | None
    tier: str | None = None
    provider: str = "openai"
    batch: bool = False


def tokens(
    total_input: int | None,
    output: int | None = None,
    *,
    cached: int | None = None,
    written: int | None = None,
    audio: int | None = None,
    image: int | None = None,
    output_audio: int | None = None,
    reasoning: int | None = None,
) -> Usage:
    return Usage(
        input_tokens=total_input,
        output_tokens=output,
        input_cached_tokens=cached,
        input_cache_write_tokens=written,
        input_audio_tokens=audio,
        input_image_tokens=image,
        output_audio_tokens=output_audio,
        output_reasoning_tokens=reasoning,
    )


def price(call: Call, book: PriceBook | None = None, at_ns: int = AT_NS) -> Cost | Unpriced:
    return (book or PriceBook()).cost(
        Billed(
            provider=call.provider,
            model=call.model,
            service_tier=call.tier,
            usage=call.usage,
            at_ns=at_ns,
            batch=call.batch,
        )
    )


def priced(call: Call, book: PriceBook | None = None, at_ns: int = AT_NS) -> Cost:
    cost = price(call, book, at_ns)
    assert isinstance(cost, Cost), cost
    return cost


# Published prices in USD per million tokens, worked out by hand on 2026-11-23. Those of gpt-5.4 and later, and of all
# tiers and batches, are as genai-prices 0.2.3 noted them from https://developers.openai.com/api/docs/pricing between
# 2026-10-12 and 2026-10-26. K stands for 1000 tokens.
K = 1000
GOLDEN: list[tuple[Call, float]] = [
    # chat models
    (Call("gpt-4o-2024-08-06", tokens(1000, 500), "default"), 0.0075),  # 1000 * 2.50/1e6 + 500 * 10.00/1e6
    (Call("gpt-4o-2024-05-13", tokens(1000, 500)), 0.0125),  # 1000 * 5.00/1e6 + 500 * 15.00/1e6
    (Call("gpt-4o-2024-11-20", tokens(K, 200, cached=600)), 0.00375),  # 400 * 2.50 + 600 * 1.25 + 200 * 10.00, /1e6
    (Call("gpt-4o-2024-08-06", tokens(K, K), batch=True), 0.00625),  # K * 1.25/1e6 + K * 5.00/1e6
    (Call("gpt-4o-2024-08-06", tokens(K, K), "priority"), 0.02125),  # K * 4.25/1e6 + K * 17.00/1e6
    (Call("gpt-4o-mini-2024-07-18", tokens(12_345, 678)), 0.00225855),  # 12345 * 0.15/1e6 + 678 * 0.60/1e6
    (Call("gpt-4.1-2025-04-14", tokens(10 * K, K, cached=4 * K)), 0.022),  # 6K * 2.00 + 4K * 0.50 + K * 8.00, /1e6
    (Call("gpt-4.1-mini-2025-04-14", tokens(10 * K, K)), 0.0056),  # 10K * 0.40/1e6 + K * 1.60/1e6
    (Call("gpt-4.1-nano-2025-04-14", tokens(10 * K, K)), 0.0014),  # 10K * 0.10/1e6 + K * 0.40/1e6
    (Call("gpt-4-turbo-2024-04-09", tokens(K, K)), 0.04),  # K * 10.00/1e6 + K * 30.00/1e6
    (Call("gpt-4-0613", tokens(K, K)), 0.09),  # K * 30.00/1e6 + K * 60.00/1e6
    (Call("gpt-3.5-turbo-0125", tokens(K, K)), 0.002),  # K * 0.50/1e6 + K * 1.50/1e6
    # the gpt-5 family and reasoning models: reasoning is output, and costs what output costs
    (
        Call("gpt-5-2025-08-07", tokens(K, 2 * K, cached=600, reasoning=1500), "default"),
        0.020575,  # 400 * 1.25/1e6 + 600 * 0.125/1e6 + 2K * 10.00/1e6
    ),
    (
        Call("gpt-5-2025-08-07", tokens(K, 2 * K, cached=600, reasoning=1500), "flex"),
        0.0102875,  # 400 * 0.625/1e6 + 600 * 0.0625/1e6 + 2K * 5.00/1e6
    ),
    (
        Call("gpt-5-2025-08-07", tokens(K, 2 * K, cached=600, reasoning=1500), "priority"),
        0.04115,  # 400 * 2.50/1e6 + 600 * 0.25/1e6 + 2K * 20.00/1e6
    ),
    (Call("gpt-5-2025-08-07", tokens(K, K), "fast"), 0.0225),  # K * 2.50/1e6 + K * 20.00/1e6 (fast is priority's name)
    (Call("gpt-5-2025-08-07", tokens(K, K), batch=True), 0.005625),  # K * 0.625/1e6 + K * 5.00/1e6
    (Call("gpt-5-mini-2025-08-07", tokens(K, K), "priority"), 0.00405),  # K * 0.45/1e6 + K * 3.60/1e6
    (Call("gpt-5-nano-2025-08-07", tokens(1000 * K, 100 * K)), 0.09),  # 1e6 * 0.05/1e6 + 1e5 * 0.40/1e6
    (Call("gpt-5-pro-2025-10-06", tokens(K, K)), 0.135),  # K * 15.00/1e6 + K * 120.00/1e6
    (
        Call("gpt-5.1-2025-11-13", tokens(2000, 300, cached=1024), "default"),
        0.004348,  # 976 * 1.25/1e6 + 1024 * 0.125/1e6 + 300 * 10.00/1e6
    ),
    (Call("gpt-5.2-2025-12-11", tokens(K, K)), 0.01575),  # K * 1.75/1e6 + K * 14.00/1e6
    (Call("gpt-5.5-2026-04-23", tokens(K, K), "priority"), 0.0875),  # K * 12.50/1e6 + K * 75.00/1e6
    (Call("o1-2024-12-17", tokens(K, K, reasoning=900)), 0.075),  # K * 15.00/1e6 + K * 60.00/1e6
    (Call("o3-2025-04-16", tokens(K, K), "flex"), 0.005),  # K * 1.00/1e6 + K * 4.00/1e6
    (Call("o3-mini-2025-01-31", tokens(K, K), batch=True), 0.00275),  # K * 0.55/1e6 + K * 2.20/1e6
    (Call("o4-mini-2025-04-16", tokens(K, K)), 0.0055),  # K * 1.10/1e6 + K * 4.40/1e6
    # long context: past 272,000 input tokens the whole call costs more
    (Call("gpt-5.4-2026-03-05", tokens(272_000, K)), 0.695),  # 272000 * 2.50/1e6 + K * 15.00/1e6
    (Call("gpt-5.4-2026-03-05", tokens(272_001, K)), 1.382505),  # 272001 * 5.00/1e6 + K * 22.50/1e6
    (
        Call("gpt-5.5-2026-04-23", tokens(300 * K, 2 * K, cached=100 * K)),
        2.19,  # 200K * 10.00/1e6 + 100K * 1.00/1e6 + 2K * 45.00/1e6
    ),
    # cache writes have a rate of their own since gpt-5.6; before it they cost what input costs
    (
        Call("gpt-5.6-sol", tokens(10 * K, K, cached=2 * K, written=4 * K)),
        0.0568,  # 4K * 4.00/1e6 + 4K * 5.00/1e6 + 2K * 0.40/1e6 + K * 20.00/1e6
    ),
    (Call("gpt-5-2025-08-07", tokens(K, K, written=500)), 0.01125),  # 500 * 1.25/1e6 + 500 * 1.25/1e6 + K * 10.00/1e6
    # legacy completions
    (Call("gpt-3.5-turbo-instruct:20230824-v2", tokens(K, K)), 0.0035),  # K * 1.50/1e6 + K * 2.00/1e6
    (Call("davinci-002", tokens(K, K)), 0.004),  # K * 2.00/1e6 + K * 2.00/1e6
    (Call("babbage-002", tokens(K, K)), 0.0008),  # K * 0.40/1e6 + K * 0.40/1e6
    # embeddings
    (Call("text-embedding-3-small", tokens(8 * K)), 0.00016),  # 8K * 0.02/1e6
    (Call("text-embedding-3-large", tokens(8 * K)), 0.00104),  # 8K * 0.13/1e6
    (Call("text-embedding-ada-002-v2", tokens(8 * K, 0)), 0.0008),  # 8K * 0.10/1e6
    # audio
    (
        Call("gpt-audio-2025-08-28", tokens(1000, 500, audio=600, output_audio=400)),
        0.0468,  # 400 * 2.50/1e6 + 600 * 32.00/1e6 + 100 * 10.00/1e6 + 400 * 64.00/1e6
    ),
    (
        Call("gpt-audio-mini-2025-10-06", tokens(1000, 500, audio=600, output_audio=400)),
        0.01448,  # 400 * 0.60/1e6 + 600 * 10.00/1e6 + 100 * 2.40/1e6 + 400 * 20.00/1e6
    ),
    (
        Call("gpt-4o-audio-preview-2024-12-17", tokens(K, 100, audio=0, output_audio=0)),
        0.0035,
    ),  # K * 2.50 + 100 * 10.00
    # fine-tunes
    (Call("ft:gpt-4o-mini-2024-07-18:acme::AbC123", tokens(K, K)), 0.0015),  # K * 0.30/1e6 + K * 1.20/1e6
    (Call("ft:gpt-4o-mini:acme::AbC123", tokens(K, K)), 0.0015),  # undated, the same rates
    (Call("ft:gpt-4o-mini-2024-07-18:acme::AbC123", tokens(K, K), batch=True), 0.00075),  # K * 0.15/1e6 + K * 0.60/1e6
    (Call("ft:gpt-4o-2024-08-06:acme:name:AbC123", tokens(K, K)), 0.01875),  # K * 3.75/1e6 + K * 15.00/1e6
    (Call("ft:gpt-3.5-turbo-0125:acme::AbC123:ckpt-step-90", tokens(K, K)), 0.009),  # K * 3.00/1e6 + K * 6.00/1e6
    # Azure, by the model that the response names
    (Call("gpt-4o-2024-11-20", tokens(K, K), provider="azure.ai.openai"), 0.0125),  # K * 2.50/1e6 + K * 10.00/1e6
    (Call("gpt-35-turbo", tokens(K, K), provider="azure.ai.openai"), 0.002),  # K * 0.50/1e6 + K * 1.50/1e6
    (Call("text-embedding-ada-002", tokens(8 * K), provider="azure.ai.openai"), 0.0008),  # 8K * 0.10/1e6
    (
        Call("gpt-4o-mini-2024-07-18.ft-0123456789abcdef", tokens(K, K), provider="azure.ai.openai"),
        0.0015,  # K * 0.30/1e6 + K * 1.20/1e6 (the hosting by the hour is not in it)
    ),
    # another provider behind the same API
    (Call("llama-3.3-70b-versatile", tokens(K, K), "on_demand", "groq"), 0.00138),  # K * 0.59/1e6 + K * 0.79/1e6
    (
        Call("perplexity/sonar-deep-research", tokens(K, K, reasoning=400), provider="openrouter"),
        0.008,  # K * 2.00/1e6 + 600 * 8.00/1e6 + 400 * 3.00/1e6 (the one model whose reasoning has its own rate)
    ),
    # nothing used costs nothing
    (Call("gpt-4o-2024-08-06", tokens(0, 0)), 0.0),
]


@pytest.mark.parametrize(
    ("call", "dollars"), GOLDEN, ids=lambda value: value.model if isinstance(value, Call) else None
)
def test_a_call_costs_what_the_published_price_makes_it(call: Call, dollars: float) -> None:
    assert priced(call).total_usd == pytest.approx(dollars, rel=1e-12, abs=0)


def test_the_parts_of_a_cost_are_disjoint_and_the_savings_are_beside_them() -> None:
    cost = priced(Call("gpt-5.6-sol", tokens(10 * K, K, cached=2 * K, written=4 * K)))
    assert cost.input_usd == pytest.approx(0.016)  # 4K uncached * 4.00/1e6
    assert cost.cache_write_usd == pytest.approx(0.02)  # 4K written to the cache * 5.00/1e6
    assert cost.input_cached_usd == pytest.approx(0.0008)  # 2K * 0.40/1e6
    assert cost.output_usd == pytest.approx(0.02)  # K * 20.00/1e6
    assert cost.cache_savings_usd == pytest.approx(0.0072)  # 2K * (4.00 - 0.40)/1e6


def test_audio_and_image_input_are_kinds_of_their_own() -> None:
    cost = priced(Call("gpt-realtime-2025-08-28", tokens(K, 0, audio=500, image=100)))
    assert cost.input_usd == pytest.approx(0.0016)  # 400 * 4.00/1e6
    assert cost.audio_usd == pytest.approx(0.016)  # 500 * 32.00/1e6
    assert cost.image_usd == pytest.approx(0.0005)  # 100 * 5.00/1e6
    assert (cost.input_cached_usd, cost.output_usd, cost.cache_savings_usd) == (0.0, 0.0, 0.0)


def test_images_cost_what_text_costs_where_they_have_no_rate() -> None:
    with_image = priced(Call("gpt-4o-2024-08-06", tokens(K, 0, image=900, cached=200)))
    assert with_image == priced(Call("gpt-4o-2024-08-06", tokens(K, 0, cached=200)))


def test_cached_tokens_of_a_model_without_a_cached_rate_cost_what_input_costs() -> None:
    cost = priced(Call("gpt-5-pro-2025-10-06", tokens(K, 0, cached=400)))
    assert (cost.input_usd, cost.input_cached_usd, cost.cache_savings_usd) == pytest.approx((0.009, 0.006, 0.0))


def test_a_side_that_was_not_reported_is_free_only_where_it_has_no_price() -> None:
    assert price(Call("gpt-4o-2024-08-06", tokens(None, K))) is Unpriced.USAGE_UNKNOWN
    assert price(Call("gpt-4o-2024-08-06", tokens(K, None))) is Unpriced.USAGE_UNKNOWN
    assert priced(Call("text-embedding-3-small", tokens(K, None))).total_usd == pytest.approx(0.00002)  # K * 0.02/1e6


SOME = tokens(K, K)
REASONS: list[tuple[str, Call, Unpriced]] = [
    ("no usage", Call("gpt-4o", None), Unpriced.USAGE_UNKNOWN),
    ("empty usage", Call("gpt-4o", Usage()), Unpriced.USAGE_UNKNOWN),
    ("cached above input", Call("gpt-4o", tokens(K, K, cached=K + 1)), Unpriced.USAGE_INVALID),
    ("cached and written above input", Call("gpt-4o", tokens(K, K, cached=600, written=600)), Unpriced.USAGE_INVALID),
    ("cached without input", Call("gpt-4o", tokens(None, K, cached=1)), Unpriced.USAGE_INVALID),
    ("audio above input", Call("gpt-audio", tokens(K, K, audio=K + 1)), Unpriced.USAGE_INVALID),
    ("audio above output", Call("gpt-audio", tokens(K, K, output_audio=K + 1)), Unpriced.USAGE_INVALID),
    ("reasoning above output", Call("gpt-5", tokens(K, K, reasoning=K + 1)), Unpriced.USAGE_INVALID),
    ("negative input", Call("gpt-4o", tokens(-1, K)), Unpriced.USAGE_INVALID),
    ("negative output", Call("gpt-4o", tokens(K, -1)), Unpriced.USAGE_INVALID),
    ("negative part", Call("gpt-4o", tokens(K, K, cached=-1)), Unpriced.USAGE_INVALID),
    ("absurdly much", Call("gpt-4o", tokens(10**12, K)), Unpriced.USAGE_INVALID),
    ("too much for a float", Call("gpt-4o", tokens(K, 10**400)), Unpriced.USAGE_INVALID),
    ("no model", Call(None, SOME), Unpriced.UNKNOWN_MODEL),
    ("unknown snapshot", Call("gpt-4o-9999", SOME), Unpriced.UNKNOWN_MODEL),
    ("Azure deployment", Call("our-deployment", SOME, provider="azure.ai.openai"), Unpriced.UNKNOWN_MODEL),
    ("fine-tune the table lacks", Call("ft:gpt-4.1-2031-04-14:acme::id", SOME), Unpriced.UNKNOWN_MODEL),
    ("undated fine-tune the table lacks", Call("ft:gpt-4.1-mini:acme::id", SOME), Unpriced.UNKNOWN_MODEL),
    ("legacy fine-tune the table lacks", Call("ft:davinci-002:acme::id", SOME), Unpriced.UNKNOWN_MODEL),
    ("fine-tune at its base model's price", Call("ft:gpt-4-0613:acme::id", SOME), Unpriced.UNKNOWN_MODEL),
    (
        "Azure fine-tune that resembles its base model",
        Call("o4-mini-2025-04-16.ft-0123", SOME, provider="azure.ai.openai"),
        Unpriced.UNKNOWN_MODEL,
    ),
    ("unknown provider", Call("gpt-4o", SOME, provider="localhost"), Unpriced.UNKNOWN_PROVIDER),
    ("provider that resembles one", Call("gpt-4o", SOME, provider="my-openai-proxy"), Unpriced.UNKNOWN_PROVIDER),
    ("tier that was never resolved", Call("gpt-5", SOME, "auto"), Unpriced.NO_RATE_FOR_TIER),
    ("tier of the future", Call("gpt-5", SOME, "turbo"), Unpriced.NO_RATE_FOR_TIER),
    ("flex where none is published", Call("gpt-4o", SOME, "flex"), Unpriced.NO_RATE_FOR_TIER),
    ("batch where none is published", Call("gpt-audio", SOME, batch=True), Unpriced.NO_RATE_FOR_TIER),
    ("Azure priority", Call("gpt-5", SOME, "priority", "azure.ai.openai"), Unpriced.NO_RATE_FOR_TIER),
    ("Azure batch", Call("gpt-5", SOME, None, "azure.ai.openai", True), Unpriced.NO_RATE_FOR_TIER),
    ("scale", Call("gpt-5", SOME, "scale"), Unpriced.PREPAID),
    ("audio input without rate", Call("gpt-4o-audio-preview", tokens(K, 0, audio=1)), Unpriced.NO_RATE_FOR_KIND),
    (
        "audio output without rate",
        Call("gpt-4o-audio-preview", tokens(0, K, output_audio=1)),
        Unpriced.NO_RATE_FOR_KIND,
    ),
    ("audio of a text model", Call("gpt-4o", tokens(K, 0, audio=1)), Unpriced.NO_RATE_FOR_KIND),
    ("output without rate", Call("davinci-002", SOME, provider="azure.ai.openai"), Unpriced.NO_RATE_FOR_KIND),
    ("cached fine-tune", Call("ft:gpt-4o-2024-08-06:a::b", tokens(K, K, cached=1)), Unpriced.NO_RATE_FOR_KIND),
    ("billed by the second", Call("whisper-1", tokens(0, 0)), Unpriced.NO_RATE_FOR_KIND),
    ("billed by the character", Call("tts-1", SOME), Unpriced.NO_RATE_FOR_KIND),
    ("kept without a price", Call("qwen-3-coder-480b", SOME, provider="cerebras"), Unpriced.NO_RATE_FOR_KIND),
    ("fee per request", Call("sonar-pro", SOME, provider="perplexity"), Unpriced.NO_RATE_FOR_KIND),
    ("cached or audio", Call("gpt-realtime", tokens(K, 0, cached=9, audio=9)), Unpriced.SPLIT_UNKNOWN),
    ("cached or image", Call("gpt-realtime", tokens(K, 0, cached=9, image=9)), Unpriced.SPLIT_UNKNOWN),
    ("text or image output", Call("gpt-image-1.5", SOME), Unpriced.SPLIT_UNKNOWN),
]


@pytest.mark.parametrize(("call", "reason"), [case[1:] for case in REASONS], ids=[case[0] for case in REASONS])
def test_a_call_without_a_known_price_has_a_reason(call: Call, reason: Unpriced) -> None:
    assert price(call) is reason


def test_the_price_is_that_of_the_time_of_the_call() -> None:
    """o3 fell from 10.00 and 40.00 to 2.00 and 8.00 on 2025-06-10."""
    book, fall, call = PriceBook(), ns(datetime(2025, 6, 10, tzinfo=UTC)), Call("o3", tokens(K, K))
    before, after = [priced(call, book, at_ns).total_usd for at_ns in (fall - 1, fall)]
    again = priced(call, book, fall - 1).total_usd
    assert (before, after, again) == pytest.approx((0.05, 0.01, 0.05))


def test_a_tier_has_no_price_before_the_first_that_is_known() -> None:
    """Flex prices are in the table from 2026-10-12 on; what they were before, it does not say."""
    book, call, start = PriceBook(), Call("gpt-5", SOME, "flex"), ns(datetime(2026, 10, 12, tzinfo=UTC))
    assert price(call, book, start - 1) is Unpriced.NO_RATE_FOR_TIER
    assert isinstance(price(call, book, start), Cost)


OWN: Mapping[str, Mapping[str, float]] = {
    "llama-3-ours": {"input": 0.2, "cached_input": 0.05, "output": 0.6},
    "gpt-5": {"input": 1.0, "output": 8.0},
    "ft:gpt-4.1-2025-04-14": {"input": 3.0, "output": 12.0},
    "llama-3:8b": {"input": 0.1, "output": 0.1},
    "only-input": {"input": 0.1},
    "free": {"input": 0.0, "output": 0.0},
}


@pytest.mark.parametrize(
    ("call", "dollars"),
    [
        # 400 * 0.20/1e6 + 600 * 0.05/1e6 + K * 0.60/1e6
        (Call("llama-3-ours", tokens(K, K, cached=600), provider="localhost"), 0.00071),
        (Call("llama-3-ours", tokens(K, K), "auto", "localhost"), 0.0008),  # K * 0.20/1e6 + K * 0.60/1e6
        (Call("gpt-5", tokens(K, K), "default"), 0.009),  # K * 1.00/1e6 + K * 8.00/1e6
        (Call("gpt-5", tokens(K, K), "flex"), 0.005625),  # as published: K * 0.625/1e6 + K * 5.00/1e6
        (Call("gpt-5", tokens(K, K), batch=True), 0.005625),  # as published, the same
        (Call("ft:gpt-4.1-2025-04-14:acme::id", tokens(K, K)), 0.015),  # K * 3.00/1e6 + K * 12.00/1e6
        (Call("free", tokens(K, K)), 0.0),
        (Call("gpt-4o", tokens(K, K)), 0.0125),  # not overridden
    ],
    ids=str,
)
def test_the_users_prices_replace_the_published_standard_price(call: Call, dollars: float) -> None:
    assert priced(call, PriceBook(lambda: OWN)).total_usd == pytest.approx(dollars, rel=1e-12, abs=0)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (Call("llama-3-ours", tokens(K, K), "priority"), Unpriced.UNKNOWN_MODEL),
        (Call("llama-3-ours:8b:q4", tokens(K, K)), Unpriced.UNKNOWN_MODEL),
        (Call("llama-3:8b:q4", tokens(K, K)), Unpriced.UNKNOWN_MODEL),
        (Call("gpt-5", tokens(K, K), "scale"), Unpriced.PREPAID),
        (Call("gpt-5", tokens(K, K, cached=K + 1)), Unpriced.USAGE_INVALID),
    ],
    ids=str,
)
def test_the_users_prices_are_not_stretched_to_what_they_do_not_say(call: Call, reason: Unpriced) -> None:
    assert price(call, PriceBook(lambda: OWN)) is reason


@pytest.mark.parametrize(
    ("call", "dollars"),
    [
        (Call("llama-3-ours", tokens(K, K, audio=1)), 0.0007998),  # 999 * 0.20/1e6 + K * 0.60/1e6
        (Call("only-input", tokens(K, K)), 0.0001),  # K * 0.10/1e6
        (Call("gpt-5", tokens(K, K, cached=600)), 0.0084),  # 400 * 1.00/1e6 + K * 8.00/1e6
        (Call("gpt-5", tokens(K, K, written=600)), 0.0084),
    ],
    ids=str,
)
def test_a_used_kind_without_an_own_price_makes_the_cost_incomplete(call: Call, dollars: float) -> None:
    cost = priced(call, PriceBook(lambda: OWN))
    assert cost.total_usd == pytest.approx(dollars, rel=1e-12)
    assert (cost.incomplete, cost.source) == (("own_price",), "settings")


# The table's own arithmetic (Decimal, each call) is the reference for ours (floats, rates taken once).

KIND_NAMES = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "input_cached_tokens": "cache_read_tokens",
    "input_cache_write_tokens": "cache_write_tokens",
    "input_audio_tokens": "input_audio_tokens",
    "input_image_tokens": "input_image_tokens",
    "output_audio_tokens": "output_audio_tokens",
    "output_reasoning_tokens": "output_reasoning_tokens",
}


def as_a_response_names_it(entry: str) -> str:
    """The table's fine-tunes of gpt-4o are entered by their family, and its arithmetic knows dated names only."""
    return f"{entry}-2024-07-18:acme::id" if entry.startswith("ft:gpt-4o") else entry


MODELS = [
    (provider.id, as_a_response_names_it(model.id))
    for provider in get_snapshot().providers
    for model in provider.models
]
MOST_USED = [(provider, model) for provider, model in MODELS if provider in ("openai", "azure", "google", "deepseek")]
BOOK = PriceBook()
OF_THE_SUPPLEMENT = {price.model.id for price in EMBEDDING_BATCHES}


def table_price(call: Call, at_ns: int) -> tuple[Decimal, Decimal] | None:
    """Input and output dollars as the price table works them out, `None` where it cannot."""
    assert call.model is not None
    reported = {theirs: getattr(call.usage, ours) for ours, theirs in KIND_NAMES.items()}
    context = {"processing": "batch"} if call.batch else {"service_tier": call.tier} if call.tier else {}
    try:
        calculation = genai_prices.calc_price(
            genai_prices.Usage(**{name: count for name, count in reported.items() if count is not None}),
            call.model,
            provider_id=call.provider,
            genai_request_timestamp=datetime.fromtimestamp(at_ns // 10**9, UTC),
            price_context=context,
        )
    except (LookupError, ValueError):
        return None
    return calculation.input_price, calculation.output_price


def agree(call: Call, at_ns: int) -> bool:
    """Whether the call was priced; fails when it was priced otherwise than by the table."""
    cost = price(call, BOOK, at_ns)
    if isinstance(cost, Unpriced) or (call.batch and call.model in OF_THE_SUPPLEMENT):
        return False  # the supplement has batch prices that the table lacks
    expected = table_price(call, at_ns)
    assert expected is not None, f"priced at {cost}, though the table cannot"
    assert cost.total_usd == pytest.approx(float(expected[0] + expected[1]), rel=1e-9, abs=1e-15)
    return True


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Usages without contradictions, on both sides of the long-context thresholds."""

    def part_of(whole: int) -> int | None:
        return draw(st.one_of(st.none(), st.just(0), st.integers(0, whole)))

    total_input = draw(st.one_of(st.integers(0, 2000), st.integers(100_000, 2_000_000), st.just(272_000)))
    output = draw(st.one_of(st.none(), st.integers(0, 100_000)))
    cached = part_of(total_input)
    output_audio = part_of(output or 0)
    return tokens(
        total_input,
        output,
        cached=cached,
        written=part_of(total_input - (cached or 0)),
        audio=part_of(total_input) if not cached else 0,
        output_audio=output_audio,
        reasoning=part_of((output or 0) - (output_audio or 0)),
    )


FROM_2024_TO_2027 = st.integers(*(ns(datetime(year, 1, 1, tzinfo=UTC)) // 10**9 for year in (2024, 2028)))


@settings(max_examples=1500, deadline=None)
@given(
    sold=st.one_of(st.sampled_from(MODELS), st.sampled_from(MOST_USED)),
    usage=usages(),
    second=FROM_2024_TO_2027,
    tier=st.sampled_from([None, None, None, "default", "flex", "priority", "fast"]),
    batch=st.sampled_from([False, False, False, True]),
)
def test_rates_taken_once_price_as_the_table_does(
    sold: tuple[str, str], usage: Usage, second: int, tier: str | None, batch: bool
) -> None:
    agree(Call(sold[1], usage, tier, sold[0], batch), second * 10**9)


@pytest.mark.parametrize("of", [{"openai"}, {provider for provider, _ in MODELS}], ids=["openai", "all"])
def test_every_model_of_the_table_is_priced_as_the_table_does_or_not_billed_by_the_token(of: set[str]) -> None:
    calls = [Call(model, tokens(300_000, K, cached=K), provider=seller) for seller, model in MODELS if seller in of]
    unpriced = [call for call in calls if not agree(call, AT_NS)]
    # Entries without output (embeddings), without a price (":free"), by the second, of images; ids that match no name.
    not_by_the_token = {Unpriced.NO_RATE_FOR_KIND, Unpriced.SPLIT_UNKNOWN, Unpriced.UNKNOWN_MODEL}
    assert {price(call) for call in unpriced} <= not_by_the_token
    assert len(unpriced) < len(calls) * 0.2


def test_a_price_by_the_time_of_day_is_followed_through_the_day() -> None:
    call = Call("deepseek-v4-pro", SOME, provider="deepseek")
    quarters = [AT_NS + quarter * 15 * 60 * 10**9 for quarter in range(96)]
    assert all(agree(call, at_ns) for at_ns in quarters)
    assert len({priced(call, BOOK, at_ns).total_usd for at_ns in quarters}) > 1


@pytest.mark.parametrize("context", ["flex", "priority", "fast", "batch"])
def test_every_tier_that_openai_publishes_is_priced_as_the_table_does(context: str) -> None:
    openai = next(provider for provider in get_snapshot().providers if provider.id == "openai")
    when = {"processing": "batch"} if context == "batch" else {"service_tier": context}
    names = [
        as_a_response_names_it(model.id)
        for model in openai.models
        if any(variant.when == when for variant in model.price_variants or ()) and "image" not in model.id
    ]
    tier, batch = (None, True) if context == "batch" else (context, False)
    priced_names = [name for name in names if agree(Call(name, tokens(300_000, K), tier, batch=batch), AT_NS)]
    assert priced_names == names
    assert len(names) >= 20


@settings(max_examples=300, deadline=None)
@given(
    provider=st.one_of(st.sampled_from(["openai", "azure.ai.openai", "groq"]), st.text()),
    model=st.one_of(st.none(), st.sampled_from(["gpt-4o", "gpt-5.5", "gpt-audio", "ft:", "ft:gpt-4o"]), st.text()),
    tier=st.one_of(st.none(), st.sampled_from(["auto", "flex", "scale"]), st.text()),
    counts=st.lists(st.one_of(st.none(), st.integers()), min_size=8, max_size=8),
    at_ns=st.integers(),
    batch=st.booleans(),
)
def test_nothing_that_a_server_may_send_raises_or_makes_a_cost_that_is_not_a_sum_of_money(
    provider: str, model: str | None, tier: str | None, counts: list[int | None], at_ns: int, batch: bool
) -> None:
    usage = Usage(**dict(zip(KIND_NAMES, counts, strict=True)))
    cost = price(Call(model, usage, tier, provider, batch), BOOK, at_ns)
    if isinstance(cost, Cost):
        assert all(0 <= part < math.inf for part in (cost.input_usd, cost.input_cached_usd, cost.output_usd))
    else:
        assert isinstance(cost, Unpriced)


# Tables other than the bundled one: `genai-prices` lets a program put in its own, or a fresher one.


@pytest.fixture
def table() -> Iterator[type[DataSnapshot]]:
    yield DataSnapshot
    set_custom_snapshot(None)


def one_model(input_price: str, *, fetched: bool = False) -> DataSnapshot:
    prices = types.ModelPrice(input_mtok=Decimal(input_price), output_mtok=Decimal(1))
    model = types.ModelInfo(id="gpt-x", match=types.ClauseEquals("gpt-x"), prices=prices)
    seller = types.Provider(id="openai", name="OpenAI", api_pattern="openai", models=[model])
    return DataSnapshot(providers=[seller], from_auto_update=fetched)


@pytest.mark.parametrize("broken", ["NaN", "-1", "Infinity"])
def test_a_table_that_cannot_be_read_leaves_calls_unpriced_and_is_logged_once(
    broken: str, table: type[DataSnapshot], caplog: pytest.LogCaptureFixture
) -> None:
    set_custom_snapshot(one_model(broken))
    book = PriceBook()
    with caplog.at_level(logging.WARNING, "monitored_openai"):
        reasons = [price(Call("gpt-x", SOME), book) for _ in range(3)]
    assert reasons == [Unpriced.PRICE_ERROR] * 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "gpt-x" in caplog.text


def test_a_fresher_table_is_used_as_soon_as_it_is_there(table: type[DataSnapshot]) -> None:
    book, call = PriceBook(), Call("gpt-x", tokens(K, 0))
    assert price(call, book) is Unpriced.UNKNOWN_MODEL
    set_custom_snapshot(one_model("2"))
    assert priced(call, book).total_usd == pytest.approx(0.002)
    fresher = one_model("3", fetched=True)
    set_custom_snapshot(fresher)
    assert priced(call, book).total_usd == pytest.approx(0.003)
    assert book.table_dates == {"openai": fresher.timestamp.timestamp()}


def test_a_table_without_dates_has_no_known_age(table: type[DataSnapshot]) -> None:
    set_custom_snapshot(one_model("2"))
    book = PriceBook()
    price(Call("gpt-x", SOME), book)
    assert book.table_dates == {}


def test_the_bundled_table_is_dated_by_its_newest_price_and_never_in_the_future() -> None:
    book = PriceBook()
    price(Call("gpt-5", SOME), book)
    stamp = book.table_dates["openai"]
    assert ns(datetime(2026, 10, 14, tzinfo=UTC)) <= stamp * 1e9 <= ns(datetime.now(UTC))
    assert datetime.fromtimestamp(stamp, UTC).strftime("%H:%M:%S") == "00:00:00"


def test_what_is_remembered_is_bounded() -> None:
    """Response models are the server's words: a hostile one could send a new name with each reply."""
    book = PriceBook()
    for number in range(3000):
        price(Call(f"made-up-{number}", SOME, provider="groq"), book)
    assert len(book._table._priced) <= 1024


LAZY_AND_QUIET = """
import sys
reached = []
sys.addaudithook(lambda event, args: reached.append(event) if event in ("socket.connect", "socket.getaddrinfo") else None)
from monitored_openai._pricing.price_book import Billed, PriceBook
from monitored_openai._record import Cost, Usage
own = {"mine": {"input": 1.0, "output": 2.0, "cached_input": 1.0}}
book = PriceBook(lambda: own)
assert "genai_prices" not in sys.modules
usage = Usage(input_tokens=10, output_tokens=20, input_cached_tokens=5, output_rejected_prediction_tokens=3)
cost = book.cost(Billed(provider="openai", model="gpt-4o", usage=usage, at_ns=%d))
assert isinstance(cost, Cost), cost
assert book.table_dates["openai"] > 0
assert reached == [], reached
"""


def test_the_table_is_imported_at_the_first_use_without_network_or_a_word_to_the_console() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LAZY_AND_QUIET % AT_NS], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_reasons_are_plain_words_fit_for_a_metric_label() -> None:
    assert [str(reason) for reason in Unpriced] == [reason.name.lower() for reason in Unpriced]


@pytest.mark.parametrize(
    ("provider", "host", "reason"),
    [
        ("ollama", "localhost", Unpriced.SELF_HOSTED),
        ("vllm", "gpu.example.com", Unpriced.SELF_HOSTED),
        ("moonshot_ai", "api.moonshot.cn", Unpriced.CURRENCY),
    ],
)
def test_a_provider_without_a_bill_in_dollars_has_only_the_users_price(provider: str, host: str, reason: str) -> None:
    call = Billed(provider=provider, model="kimi-k2.6", usage=tokens(1000, 100), at_ns=AT_NS, host=host)
    assert PriceBook().cost(call) == reason
    own = PriceBook(lambda: {"kimi-k2.6": {"input": 1.0, "output": 10.0}}).cost(call)
    assert isinstance(own, Cost)
    assert own.total_usd == pytest.approx(0.002)


def test_moonshots_prices_are_those_of_its_host_in_dollars() -> None:
    call = Billed(
        provider="moonshot_ai", model="kimi-k2.6", usage=tokens(1000, 100), at_ns=AT_NS, host="api.moonshot.ai"
    )
    assert isinstance(PriceBook().cost(call), Cost)


@pytest.mark.parametrize("model", ["google/gemini-2.5-flash", "models/gemini-2.5-flash", "gemini-2.5-flash"])
@pytest.mark.parametrize("provider", ["gcp.vertex_ai", "gcp.gemini"])
def test_a_prefix_of_google_does_not_change_the_price(provider: str, model: str) -> None:
    # $0.30 and $2.50 per million tokens (genai-prices 0.2.3, read 2026-11-27)
    assert priced(Call(model, tokens(1000, 500), provider=provider)).total_usd == pytest.approx(0.00155)

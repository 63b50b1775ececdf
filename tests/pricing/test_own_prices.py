"""The user's own prices: kinds, names, tiers, long prompts, multipliers, fees, and a file of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monitored_openai import MonitoringSettings, SettingsError
from monitored_openai._pricing.price_book import Billed, PriceBook, Unpriced
from monitored_openai._pricing.price_file import follow_price_file
from monitored_openai._record import Cost, Usage
from monitored_openai._settings.prices import parse_prices

AT_NS = 1_795_780_800 * 10**9  # 2026-11-27
EVERY_KIND = {
    "input_per_million_tokens": 2,
    "cached_input_per_million_tokens": 0.5,
    "cache_write_per_million_tokens": 3,
    "cache_write_12h_per_million_tokens": 6,
    "audio_input_per_million_tokens": 40,
    "image_input_per_million_tokens": 5,
    "output_per_million_tokens": 8,
    "reasoning_output_per_million_tokens": 9,
    "audio_output_per_million_tokens": 80,
    "image_output_per_million_tokens": 30,
}


def cost(prices: dict[str, Any], usage: Usage | None, model: str = "m", **facts: Any) -> Cost | Unpriced:
    checked = parse_prices(prices)
    call = Billed(model=model, usage=usage, at_ns=AT_NS, **{"provider": "house", **facts})
    return PriceBook(lambda: checked).cost(call)


def usd(*args: Any, **facts: Any) -> float:
    found = cost(*args, **facts)
    assert isinstance(found, Cost), found
    assert (found.source, found.incomplete) == ("settings", ())
    return found.total_usd


PLAIN = Usage(input_tokens=1000, output_tokens=100)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (PLAIN, 0.0028),  # 1000 * 2/1e6 + 100 * 8/1e6
        (Usage(input_tokens=1000, input_cached_tokens=600, output_tokens=0), 0.0011),  # 400 * 2 + 600 * 0.50, /1e6
        (Usage(input_tokens=1000, input_cache_write_tokens=600, output_tokens=0), 0.0026),  # 400 * 2 + 600 * 3, /1e6
        (
            Usage(input_tokens=1000, input_cache_write_tokens=600, input_cache_write_12h_tokens=500, output_tokens=0),
            0.0041,  # 400 * 2 + 100 * 3 + 500 * 6, /1e6
        ),
        (Usage(input_tokens=1000, input_audio_tokens=400, output_tokens=0), 0.0172),  # 600 * 2 + 400 * 40, /1e6
        (Usage(input_tokens=1000, input_image_tokens=400, output_tokens=0), 0.0032),  # 600 * 2 + 400 * 5, /1e6
        (Usage(input_tokens=0, output_tokens=100, output_reasoning_tokens=60, output_image_tokens=0), 0.00086),
        (Usage(input_tokens=0, output_tokens=100, output_audio_tokens=60, output_image_tokens=0), 0.00512),
        (Usage(input_tokens=0, output_tokens=100, output_image_tokens=60), 0.00212),  # 40 * 8 + 60 * 30, /1e6
    ],
)
def test_each_kind_of_token_has_its_own_price(usage: Usage, expected: float) -> None:
    prices = EVERY_KIND if usage.output_image_tokens is not None else _without_image_output()
    assert usd({"m": prices}, usage) == pytest.approx(expected, rel=1e-12)


def _without_image_output() -> dict[str, float]:
    return {kind: price for kind, price in EVERY_KIND.items() if kind != "image_output_per_million_tokens"}


def test_lengths_and_units_have_prices() -> None:
    assert usd({"m": {"per_minute_of_audio": 0.3}}, Usage(input_seconds=90.0)) == pytest.approx(0.45)
    assert usd({"m": {"per_million_characters": 15}}, Usage(input_characters=2000)) == pytest.approx(0.03)
    tools = {"input": 2, "output": 8, "web_search_per_call": 0.02, "container_1g_per_session": 0.5}
    units = {"web_searches": 3, "container_sessions_1g": 1}
    assert usd({"m": tools}, PLAIN, units=units) == pytest.approx(0.0028 + 0.06 + 0.5)
    assert usd({"m": {"video_per_second": 0.2}}, None, units={"video_seconds_720p": 4}) == pytest.approx(0.8)


def test_used_unit_without_an_own_price_makes_the_cost_incomplete() -> None:
    found = cost({"m": {"input": 2, "output": 8}}, PLAIN, units={"web_searches": 3})
    assert isinstance(found, Cost)
    assert found.total_usd == pytest.approx(0.0028)
    assert found.incomplete == ("own_price",)


def test_most_specific_name_decides() -> None:
    prices: dict[str, Any] = {
        "*": {"input": 1, "output": 1},
        "llama-*": {"input": 2, "output": 2},
        "llama-3": {"input": 3, "output": 3},
        "house/llama-3": {"input": 4, "output": 4},
        "house/mixtral*": {"input": 5, "output": 5},
    }
    usage = Usage(input_tokens=1_000_000, output_tokens=0)
    assert usd(prices, usage, "phi") == 1
    assert usd(prices, usage, "llama-2") == 2
    assert usd(prices, usage, "llama-3", provider="other") == 3
    assert usd(prices, usage, "llama-3") == 4
    assert usd(prices, usage, "mixtral-8x7b") == 5
    assert usd(prices, usage, "mixtral-8x7b", provider="other") == 1


def test_long_prompts_tiers_batches_and_multipliers_have_prices() -> None:
    prices: dict[str, Any] = {
        "m": {
            "input": 2,
            "output": 8,
            "multiplier": 0.5,
            "longer_than": {"1000": {"input": 4}, "5000": {"input": 6, "output": 12}},
            "tiers": {"flex": {"input": 1, "output": 4}, "fast": {"multiplier": 3}, "batch": {"input": 1, "output": 1}},
        }
    }

    def at(tokens: int, **facts: Any) -> float:
        return usd(prices, Usage(input_tokens=tokens, output_tokens=100), **facts) * 1e6

    assert at(1000) == pytest.approx((1000 * 2 + 100 * 8) / 2)
    assert at(1001) == pytest.approx((1001 * 4 + 100 * 8) / 2)
    assert at(5001) == pytest.approx((5001 * 6 + 100 * 12) / 2)
    assert at(1000, service_tier="flex") == pytest.approx(1000 * 1 + 100 * 4)
    assert at(1000, service_tier="fast") == pytest.approx((1000 * 2 + 100 * 8) * 1.5)
    assert at(1000, service_tier="default") == at(1000)
    assert at(1000, batch=True) == pytest.approx(1000 + 100)


@pytest.mark.parametrize("tier", ["ultrafast", "priority", "scale"])
def test_own_standard_price_does_not_apply_to_a_tier(tier: str) -> None:
    found = cost({"gpt-4.1": {"input": 2, "output": 8}}, PLAIN, "gpt-4.1", service_tier=tier, provider="openai")
    assert not isinstance(found, Cost) or found.source == "table"


def test_own_price_applies_without_the_factor_of_a_region() -> None:
    prices = {"gpt-5.4": {"input": 2, "output": 8}}
    assert usd(prices, PLAIN, "gpt-5.4", provider="openai", host="eu.api.openai.com") == pytest.approx(0.0028)


TOML = """
["gpt-4o"]
input_per_million_tokens = {price}
output_per_million_tokens = 8
"""


def write(path: Path, text: str) -> None:
    """Replace the file as a deployment does, so that its inode changes."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


@pytest.mark.parametrize("name", ["prices.toml", "prices.json"])
def test_price_file_is_read_again_after_a_change(name: str, tmp_path: Path) -> None:
    path = tmp_path / name

    def content(price: float) -> str:
        data = {"gpt-4o": {"input_per_million_tokens": price, "output_per_million_tokens": 8}}
        return json.dumps(data) if name.endswith("json") else TOML.format(price=price)

    write(path, content(2))
    current = follow_price_file(str(path), parse_prices({}), every=0)
    book = PriceBook(current)
    call = Billed(provider="openai", model="gpt-4o", usage=PLAIN, at_ns=AT_NS)
    first = book.cost(call)
    unchanged = current() is current()
    write(path, content(4))
    second = book.cost(call)

    assert isinstance(first, Cost)
    assert isinstance(second, Cost)
    assert [first.total_usd, second.total_usd] == pytest.approx([0.0028, 0.0048])
    assert unchanged


def test_invalid_change_of_the_price_file_keeps_the_last_prices(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "prices.toml"
    write(path, TOML.format(price=2))
    current = follow_price_file(str(path), parse_prices({}), every=0)
    valid = current()
    for wrong in ("[", TOML.format(price=-1), ""):
        write(path, wrong or "[gpt-4o]\nfee = 1\n")
        assert current() == valid
    path.unlink()
    assert current() == valid
    write(path, TOML.format(price=4))
    assert current()["gpt-4o"]["input"] == 4
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "last valid prices" in told[0]


def test_setting_prices_wins_over_the_price_file(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    write(path, TOML.format(price=2))
    current = follow_price_file(str(path), parse_prices({"gpt-4o": {"input": 9}}), every=0)
    assert current()["gpt-4o"] == {"input": 9.0}


@pytest.mark.parametrize(
    ("content", "hint"),
    [("[", "syntax"), ("[m]\nfee = 1", "unknown kind"), ("[m]\ninput = -1", "numbers"), ("m = 1", "table of prices")],
)
def test_invalid_price_file_is_refused_at_construction(content: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(content)
    with pytest.raises(SettingsError) as caught:
        MonitoringSettings(prices_file=path)
    assert str(caught.value).startswith("prices_file: ")
    assert hint in str(caught.value)


def test_missing_price_file_is_refused_at_construction(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="prices_file: "):
        MonitoringSettings(prices_file=tmp_path / "none.toml")

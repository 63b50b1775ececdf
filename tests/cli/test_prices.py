"""`prices` shows the rates by kind, tier and unit."""

from __future__ import annotations

import json

import pytest

from tests.support.command import Asked

pytestmark = pytest.mark.usefixtures("wide")


def test_prices_name_kinds_tiers_and_the_table(ask: Asked) -> None:
    shown = ask("prices", "gpt-4o-mini-2024-07-18", "--on", "2025-10-01")

    (standard,) = [line.split() for line in shown.splitlines() if line.startswith("standard")]
    assert standard[:3] == ["standard", "0.15", "0.075"]
    assert standard[-1] == "0.6"
    assert "2025-10-01, USD per million tokens" in shown
    assert "genai-prices" in shown.splitlines()[-1]


def test_prices_are_the_users_own_where_the_settings_have_some(ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"gpt-4o-mini": {"input": 1, "output": 2.5}, "ours": {"input": 0.2, "output": 0.6}, "heard": {"minute": 0.3}}
    monkeypatch.setenv("MONITORED_OPENAI_PRICES", json.dumps(own))

    standard, priority, *_, whose, table = ask("prices", "gpt-4o-mini").splitlines()[2:]
    assert standard.split() == ["standard", "1", "-", "-", "2.5"]
    assert priority.split() == ["priority", "0.25", "0.125", "0.25", "1"]
    assert (whose.split(":")[0], table.split()[1]) == ("standard", "genai-prices")
    ours = ask("prices", "ours", "--provider", "house")
    assert ours.splitlines()[2].split() == ["standard", "0.2", "0.6"]
    assert "genai-prices" not in ours
    assert ask("prices", "heard").splitlines()[2].split() == ["standard", "0.3"]


def test_prices_show_fees_factors_and_their_sources(ask: Asked) -> None:
    shown = ask("prices", "gpt-6.1-sol", "--host", "eu.api.openai.com")

    lines = {line.split(":")[0]: line for line in shown.splitlines()}
    assert "0.0100 USD (genai-prices)" in lines["each of web_searches"]
    assert "https://developers.openai.com" in lines["each of container_sessions_1g"]
    assert "1.1 times as much" in shown
    assert any(line.startswith("standard, prompts above 272,000") for line in shown.splitlines())


def test_prices_name_the_source_of_a_price_that_the_table_lacks(ask: Asked) -> None:
    last = ask("prices", "gpt-6.2-sol").splitlines()[-1]

    assert "https://developers.openai.com/api/docs/models/gpt-6.2-sol (2026-11-17)" in last


@pytest.mark.parametrize(
    ("model", "unit", "price"), [("whisper-1", "a minute of audio", "0.006"), ("tts-1", "a million characters", "15")]
)
def test_prices_of_what_is_billed_by_its_length_are_shown(model: str, unit: str, price: str, ask: Asked) -> None:
    heading, standard, *_ = ask("prices", model).splitlines()[1:]

    assert heading.split(maxsplit=1)[1].strip() == unit
    assert standard.split() == ["standard", price]

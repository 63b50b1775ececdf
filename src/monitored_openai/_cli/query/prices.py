"""`monitored-openai prices`: show the prices of a model and their source."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitored_openai._cli.errors import UserError
from monitored_openai._cli.query.http_api import environment_settings
from monitored_openai._cli.query.report import parse_time
from monitored_openai._pricing.price_book import PriceBook
from monitored_openai._pricing.published import PriceTable
from monitored_openai._pricing.rates import Bands, Rates, Unpriced

_TIERS = ("standard", "flex", "priority", "batch")
_MILLION, _MINUTE = 1e6, 60.0
_UNLIMITED_WIDTH = 1000
"""In characters, so that rich cuts no price; the terminal wraps long lines itself."""
_KINDS = {
    "input": ("input", _MILLION),
    "cached input": ("input_cached", _MILLION),
    "cache writes": ("input_cache_write", _MILLION),
    "audio in": ("input_audio", _MILLION),
    "images in": ("input_image", _MILLION),
    "output": ("output", _MILLION),
    "audio out": ("output_audio", _MILLION),
    "images out": ("output_image", _MILLION),
    "reasoning": ("output_reasoning", _MILLION),
    "a minute of audio": ("input_second", _MINUTE),
    "a million characters": ("input_character", _MILLION),
}
"""The rate of each column, and the number of tokens, seconds or characters that its price covers."""


def show(model: str, *, provider: str, on: str | None) -> None:
    """Print a row for each service tier, and for each range of prompt lengths with its own prices.

    Raises:
        UserError: no price of the model is known, or a setting is invalid.
    """
    at_ns = time.time_ns() if on is None else int(parse_time(on) * 1e9)
    published, own = PriceTable(), PriceBook(environment_settings().prices).own(model)
    tiers = {tier: _bands(published, provider, model, tier, at_ns) for tier in _TIERS}
    tiers["standard"] = standard = tiers["standard"] if own is None else own
    if isinstance(standard, Unpriced):
        raise UserError(_unpriced_text(standard, provider, model))
    rows = [row for tier, bands in tiers.items() if not isinstance(bands, Unpriced) for row in _rows(tier, bands)]
    day = datetime.fromtimestamp(at_ns / 1e9, UTC)
    console = Console(width=_UNLIMITED_WIDTH)
    unit = "USD" if _is_by_length(rows[0][1]) else "USD per million tokens"
    console.print(Text(f"{model} at {provider} on {day:%Y-%m-%d}, {unit}"))
    console.print(_table(rows))
    if own is not None:
        console.print("standard: your own, from the setting prices (MONITORED_OPENAI_PRICES).", highlight=False)
    if own is None or len(rows) > 1:
        console.print(
            f"From genai-prices {version('genai-prices')}, newest price of {_date(published)}.", highlight=False
        )


def _table(rows: Sequence[tuple[str, Rates]]) -> Table:
    kinds = [kind for kind, (name, _) in _KINDS.items() if any(getattr(rates, name) is not None for _, rates in rows)]
    table = Table(box=None, pad_edge=False)
    table.add_column("tier")
    for kind in kinds:
        table.add_column(kind, justify="right")
    for tier, rates in rows:
        table.add_row(tier, *(_usd(getattr(rates, name), of) for name, of in map(_KINDS.__getitem__, kinds)))
    return table


def _is_by_length(rates: Rates) -> bool:
    return rates.input_second is not None or rates.input_character is not None


def _bands(published: PriceTable, provider: str, model: str, tier: str, at_ns: int) -> Bands | Unpriced:
    batch = tier == "batch"
    return published.bands(provider, model, None if batch else tier, batch, at_ns)


def _rows(tier: str, bands: Bands) -> Iterator[tuple[str, Rates]]:
    for longer_than, rates in reversed(bands):
        yield (tier if longer_than < 0 else f"{tier}, prompts above {longer_than:,}"), rates


def _usd(rate: float | None, of: float) -> str:
    return "-" if rate is None else f"{rate * of:.4f}".rstrip("0").rstrip(".")


def _date(published: PriceTable) -> str:
    newest = published.newest_date()
    return "an unknown day" if math.isnan(newest) else f"{datetime.fromtimestamp(newest, UTC):%Y-%m-%d}"


def _unpriced_text(reason: Unpriced, provider: str, model: str) -> str:
    if reason is Unpriced.UNKNOWN_PROVIDER:
        return f"no prices of provider {provider!r} are published: name another with --provider"
    return f"no price of {model!r} at {provider} is known ({reason.value}): write the name in a response, or set MONITORED_OPENAI_PRICES"

"""`monitored-openai prices`: show the prices of a model and their source."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitored_openai._cli.errors import UserError
from monitored_openai._cli.query.http_api import environment_settings
from monitored_openai._cli.query.report_rows import parse_time
from monitored_openai._exporter.price_updates import DEFAULT, fetch_prices
from monitored_openai._pricing.billed import Billed
from monitored_openai._pricing.fees import FEES, VIDEO_UNITS, fee_of
from monitored_openai._pricing.price_book import AppliedPrice, PriceBook
from monitored_openai._pricing.price_file import follow_price_file
from monitored_openai._pricing.rates import Bands, Rates, Unpriced

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

_TIERS = ("standard", "flex", "priority", "fast", "ultrafast", "batch")
_MILLION, _MINUTE = 1e6, 60.0
_UNLIMITED_WIDTH = 1000
"""In characters, so that rich cuts no price; the terminal wraps long lines itself."""
_KINDS = {
    "input": ("input", _MILLION),
    "cached input": ("input_cached", _MILLION),
    "cache writes": ("input_cache_write", _MILLION),
    "cache writes, 12 h": ("input_cache_write_12h", _MILLION),
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


def show(model: str, *, provider: str, host: str | None, on: str | None, update: bool) -> None:
    """Print a row for each service tier, and for each range of prompt lengths with its own prices; then all fees.

    Raises:
        UserError: no price of the model is known, a setting is invalid, or the newest prices cannot be downloaded.
    """
    at_ns = time.time_ns() if on is None else int(parse_time(on) * 1e9)
    settings = environment_settings()
    newest = _download(settings.price_updates or DEFAULT) if update else None
    book = PriceBook(
        follow_price_file(settings.prices_file, settings.prices),
        azure_deployment=settings.azure_deployment,
        newest=lambda: newest,
    )
    call = Billed(provider=provider, model=model, usage=None, at_ns=at_ns, host=host)
    tiers = {tier: book.applied(_in_tier(call, tier)) for tier in _TIERS}
    standard = tiers["standard"]
    if isinstance(standard, Unpriced):
        raise UserError(_unpriced_text(standard, provider, model))
    found = {tier: price for tier, price in tiers.items() if not isinstance(price, Unpriced)}
    rows = [row for tier, price in found.items() for row in _rows(tier, price.bands)]
    day = datetime.fromtimestamp(at_ns / 1e9, UTC)
    console = Console(width=_UNLIMITED_WIDTH, highlight=False)
    unit = "USD" if _is_by_length(rows[0][1]) else "USD per million tokens"
    console.print(Text(f"{model} at {provider} on {day:%Y-%m-%d}, {unit}"))
    console.print(_table(rows))
    for line in (*_fee_lines(provider, model, standard), *_factor_lines(standard)):
        console.print(line)
    own = [tier for tier, price in found.items() if price.own]
    if own:
        console.print(f"{', '.join(own)}: your own, from the setting prices (MONITORED_OPENAI_PRICES) or prices_file.")
    for source in sorted({price.supplement for price in found.values() if price.supplement is not None}):
        console.print(f"From {source}, because genai-prices {version('genai-prices')} has no price of the model.")
    if any(not price.own and price.supplement is None for price in found.values()):
        console.print(f"From genai-prices {version('genai-prices')}, newest price of {_date(book, provider)}.")


def _download(url: str) -> DataSnapshot:
    try:
        return fetch_prices(url)
    except Exception as error:
        raise UserError(f"the newest prices could not be downloaded ({type(error).__name__}): try again") from None


def _in_tier(call: Billed, tier: str) -> Billed:
    batch = tier == "batch"
    return call._replace(service_tier=None if batch or tier == "standard" else tier, batch=batch)


def _fee_lines(provider: str, model: str, price: AppliedPrice) -> Iterator[str]:
    """Yield a line for each known price of a unit that is not a token."""
    known: dict[str, float] = {} if price.own else {unit: fee.usd for unit, fee in FEES.get(provider, {}).items()}
    known |= (
        {} if price.own else {unit: usd for unit in VIDEO_UNITS if (usd := fee_of(provider, model, unit)) is not None}
    )
    for unit, usd in sorted((known | dict(price.units)).items()):
        source = "your own" if price.own else "genai-prices" if unit in price.units else _fee_source(provider, unit)
        yield f"each of {unit}: {usd:.4f} USD ({source})"


def _fee_source(provider: str, unit: str) -> str:
    fee = FEES.get(provider, {}).get(unit)
    return "OpenAI's pricing page" if fee is None else f"{fee.source}, {fee.date}"


def _factor_lines(price: AppliedPrice) -> Iterator[str]:
    if price.factor.value != 1:
        yield f"each token costs {price.factor.value:g} times as much: data residency or type of the deployment"
    if price.factor.gap is not None:
        yield f"the cost is incomplete ({price.factor.gap}): see docs/prices.md"


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


def _rows(tier: str, bands: Bands) -> Iterator[tuple[str, Rates]]:
    for longer_than, rates in reversed(bands):
        yield (tier if longer_than < 0 else f"{tier}, prompts above {longer_than:,}"), rates


def _usd(rate: float | None, of: float) -> str:
    return "-" if rate is None else f"{rate * of:.4f}".rstrip("0").rstrip(".")


def _date(book: PriceBook, provider: str) -> str:
    newest = book.table_dates.get(provider)
    return "an unknown day" if newest is None else f"{datetime.fromtimestamp(newest, UTC):%Y-%m-%d}"


def _unpriced_text(reason: Unpriced, provider: str, model: str) -> str:
    if reason is Unpriced.UNKNOWN_PROVIDER:
        return f"no prices of provider {provider!r} are published: name another with --provider"
    return f"no price of {model!r} at {provider} is known ({reason.value}): write the name as responses contain it, or set MONITORED_OPENAI_PRICES"

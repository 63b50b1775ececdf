"""`monitored-openai prices`: what a model's tokens cost, and which table says so."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitored_openai._cli.mistake import Mistake
from monitored_openai._cli.reporting import moment
from monitored_openai._price_table import PriceTable
from monitored_openai._rates import Bands, Rates, Unpriced

_TIERS = ("standard", "flex", "priority", "batch")
_KINDS = {
    "input": "input",
    "cached input": "input_cached",
    "cache writes": "input_cache_write",
    "audio in": "input_audio",
    "output": "output",
    "audio out": "output_audio",
    "reasoning": "output_reasoning",
}


def show(model: str, *, provider: str, on: str | None) -> None:
    """Print a row for each tier, and for each length of prompt that has prices of its own.

    Raises:
        Mistake: the table has no such provider or model.
    """
    at_ns = time.time_ns() if on is None else int(moment(on) * 1e9)
    published = PriceTable()
    tiers = {tier: _bands(published, provider, model, tier, at_ns) for tier in _TIERS}
    standard = tiers["standard"]
    if isinstance(standard, Unpriced):
        raise Mistake(_why_not(standard, provider, model))
    rows = [row for tier, bands in tiers.items() if not isinstance(bands, Unpriced) for row in _rows(tier, bands)]
    day = datetime.fromtimestamp(at_ns / 1e9, UTC)
    table = Table(box=None, pad_edge=False)
    table.add_column("tier")
    kinds = [kind for kind, name in _KINDS.items() if any(getattr(rates, name) is not None for _, rates in rows)]
    for kind in kinds:
        table.add_column(kind, justify="right")
    for name, rates in rows:
        table.add_row(name, *(_usd(getattr(rates, _KINDS[kind])) for kind in kinds))
    console = Console()
    title = f"{model} at {provider} on {day:%Y-%m-%d}, USD per million tokens"
    console.print(Text(title))
    console.print(table)
    console.print(f"From genai-prices {version('genai-prices')}, newest price of {_date(published)}.", highlight=False)


def _bands(published: PriceTable, provider: str, model: str, tier: str, at_ns: int) -> Bands | Unpriced:
    batch = tier == "batch"
    return published.bands(provider, model, None if batch else tier, batch, at_ns)


def _rows(tier: str, bands: Bands) -> Iterator[tuple[str, Rates]]:
    for longer_than, rates in reversed(bands):
        yield (tier if longer_than < 0 else f"{tier}, prompts above {longer_than:,}"), rates


def _usd(rate: float | None) -> str:
    return "-" if rate is None else f"{rate * 1e6:.4f}".rstrip("0").rstrip(".")


def _date(published: PriceTable) -> str:
    newest = published.newest_date()
    return "an unknown day" if math.isnan(newest) else f"{datetime.fromtimestamp(newest, UTC):%Y-%m-%d}"


def _why_not(why: Unpriced, provider: str, model: str) -> str:
    if why is Unpriced.UNKNOWN_PROVIDER:
        return f"no prices of provider {provider!r} are published: name another with --provider"
    return f"no price of {model!r} at {provider} is known ({why.value}): write it as a response names it"

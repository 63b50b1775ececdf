"""Published prices from `genai-prices`: the rates of a model at a time and in a service tier.

An import of this module also imports the table, which takes 140 ms, so `PriceBook` imports it at first use. This module
does not use the network. If the program itself updates the table with `genai_prices.UpdatePrices`, the new one applies.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from datetime import time as time_of_day
from decimal import Decimal
from itertools import chain

from genai_prices import types
from genai_prices.data_snapshot import DataSnapshot, get_snapshot

from monitored_openai._pricing.rates import Bands, Rates, Unpriced
from monitored_openai._pricing.supplement import find_batch_price, find_supplementary, source_of
from monitored_openai._providers import price_id_of

_MOST_REMEMBERED = 1024
_MINUTE_NS = 60 * 10**9
_DAY = 24 * 3600
_DAY_NS = _DAY * 10**9
_STANDARD_TIERS = frozenset({None, "default", "standard", "on_demand"})  # `on_demand` is Groq's name
# These kinds of output have their own rates, but no usage of the OpenAI API counts them.
_UNCOUNTED_OUTPUT = {"output_video_mtok", "output_citation_mtok"}
_BILLED_BY = {"input_mtok", "output_mtok", "audio_hours", "input_audio_hours", "input_mchars"}

_UNITS_OF = {
    "web_searches_kcount": ("web_searches", "web_searches_preview"),
    "storage_searches_kcount": ("file_searches",),
}
"""The billed units of each price per 1,000 uses in the table."""

_Constraint = types.StartDateConstraint | types.TimeOfDateConstraint | None
_PriceValues = Mapping[str, Decimal | types.TieredPrices]


@dataclass(frozen=True, slots=True)
class PublishedPrice:
    """The published price of a model in one service tier."""

    bands: Bands
    units: Mapping[str, float]
    """USD for each unit whose price the table has by model."""
    supplement: str | None = None
    """Source and date of a price that the table lacks; `None` for a price of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Priced:
    """The rates of a model, or the reason why they are unknown, with the time span in which they apply."""

    price: PublishedPrice | Unpriced
    start_ns: int
    end_ns: int


class PriceTable:
    """The published rates, with a cache, because a lookup takes ten times as long as the use of its result."""

    def __init__(self, newest: Callable[[], DataSnapshot | None] = lambda: None) -> None:
        """Create the table; `newest` returns a newer snapshot than that of `genai-prices`, or `None`."""
        self._newest = newest
        self._snapshot = get_snapshot()
        self._dates: tuple[DataSnapshot, int, dict[str, float]] | None = None
        self._priced: dict[tuple[str, str, str | None, bool], _Priced] = {}

    def price(
        self, provider: str, model: str, service_tier: str | None, batch: bool, at_ns: int
    ) -> PublishedPrice | Unpriced:
        """Return the rates of a model at a time, or the reason why they are unknown."""
        snapshot = self._current()
        if snapshot is not self._snapshot:
            self._priced.clear()
            self._snapshot = snapshot
        key = (provider, model, service_tier, batch)
        priced = self._priced.get(key)
        if priced is None or not priced.start_ns <= at_ns < priced.end_ns:
            if len(self._priced) >= _MOST_REMEMBERED:
                self._priced.clear()
            context = _price_context(service_tier, batch=batch)
            priced = self._priced[key] = _look_up(snapshot, provider, model, context, at_ns)
        return priced.price

    def dates(self, providers: Iterable[str]) -> dict[str, float]:
        """Return the date of each provider's prices in seconds since the epoch, as `PriceBook.table_dates` explains."""
        snapshot, today = self._current(), int(time.time() // _DAY)
        if self._dates is None or self._dates[0] is not snapshot or self._dates[1] != today:
            self._dates = (snapshot, today, {})
        known = self._dates[2]
        for name in providers:
            if name not in known:
                known[name] = _date_of(snapshot, price_id_of(name))
        return {name: known[name] for name in providers if not math.isnan(known[name])}

    def _current(self) -> DataSnapshot:
        return self._newest() or get_snapshot()


def _date_of(snapshot: DataSnapshot, price_id: str) -> float:
    """Return the time of the download, for a downloaded table.

    Otherwise return the newest day, up to today, on which a price of the provider took effect; NaN if none has a day.
    """
    if snapshot.from_auto_update:
        return snapshot.timestamp.timestamp()
    models = chain.from_iterable(provider.models for provider in snapshot.providers if provider.id == price_id)
    starts = (
        datetime.combine(constraint.start_date, time_of_day(), UTC).timestamp()
        for constraint in chain.from_iterable(_constraints(model) for model in models)
        if isinstance(constraint, types.StartDateConstraint)
    )
    now = time.time()  # the table also contains announced future prices
    return max((start for start in starts if start <= now), default=math.nan)


def _price_context(service_tier: str | None, *, batch: bool) -> dict[str, str] | Unpriced:
    """Return the table's context for a tier or a batch; empty for the standard price."""
    if batch:
        return {"processing": "batch"}
    if service_tier == "scale":
        return Unpriced.PREPAID
    return {} if service_tier is None or service_tier in _STANDARD_TIERS else {"service_tier": service_tier}


def _look_up(
    snapshot: DataSnapshot, provider: str, model: str, context: Mapping[str, str] | Unpriced, at_ns: int
) -> _Priced:
    # The lookup of `genai-prices` matches any name that resembles a provider's, such as "my-openai-proxy".
    seller = next((p for p in snapshot.providers if p.id == price_id_of(provider)), None)
    found = _find_model(snapshot, seller, model) if seller is not None else None
    by_the_hour = found is not None and any(isinstance(c, types.TimeOfDateConstraint) for c in _constraints(found))
    period_ns = _MINUTE_NS if by_the_hour else _DAY_NS
    start_ns = at_ns - at_ns % period_ns
    price: PublishedPrice | Unpriced
    if seller is None:
        price = Unpriced.UNKNOWN_PROVIDER
    elif found is None:
        price = Unpriced.UNKNOWN_MODEL
    elif isinstance(context, Unpriced):
        price = context
    else:
        price = _price_at(datetime.fromtimestamp(start_ns // 10**9, UTC), seller, found, context)
    return _Priced(price=price, start_ns=start_ns, end_ns=start_ns + period_ns)


def _find_model(snapshot: DataSnapshot, seller: types.Provider, model: str) -> types.ModelInfo | None:
    """Return the entry of a model; for a fine-tune, never the entry of its base model, which is cheaper."""
    found = seller.find_model(model, all_providers=snapshot.providers)
    if _fine_tuned(model) and (found is None or not _fine_tuned(found.id)):
        # The table matches "ft:gpt-4o-mini:org::id" and similar names only with a date, but it lists "ft:gpt-4o-mini".
        family = ":".join(model.lower().split(":")[:2])
        found = next((entry for entry in seller.models if entry.id == family), None)
    return found or find_supplementary(seller, model)


def _fine_tuned(model: str) -> bool:
    """Return whether the name is that of a fine-tune: OpenAI's begin with `ft:`, Azure's contain `.ft-`."""
    return model.lower().startswith("ft:") or ".ft-" in model.lower()


def _constraints(model: types.ModelInfo) -> Iterator[_Constraint]:
    if isinstance(model.prices, list):
        for price in model.prices:
            yield price.constraint
    for variant in model.price_variants or ():
        yield variant.constraint


def _price_at(
    at: datetime, seller: types.Provider, model: types.ModelInfo, context: Mapping[str, str]
) -> PublishedPrice | Unpriced:
    """Return the price at a time; never the standard ones for a tier or batch, although `genai-prices` returns them."""
    # Tiers and fees differ by seller, but the table also uses OpenAI's entries for models that Azure sells.
    of_table = any(model is entry for entry in seller.models)
    own = of_table or model is find_supplementary(seller, model.id)
    if context:
        if not own:
            return Unpriced.NO_RATE_FOR_TIER
        if not _has_variant(model, context, at):
            model = find_batch_price(seller, model.id) or model
        if not _has_variant(model, context, at):
            return Unpriced.NO_RATE_FOR_TIER
    found = model.get_prices(at, context)
    bands = _bands(found, cached_as_input=not _fine_tuned(model.id), kept_12h=seller.id == "openai")
    if isinstance(bands, Unpriced):
        return bands
    # A variant for a tier or batch replaces only the rates of tokens.
    fees = {**vars(model.get_prices(at, {})), **{name: fee for name, fee in vars(found).items() if fee is not None}}
    units = {
        unit: float(fee) / 1000
        for name, names in _UNITS_OF.items()
        if own and (fee := fees.get(name)) is not None
        for unit in names
    }
    return PublishedPrice(bands, units, source_of(model.id) if own and not of_table else None)


def _has_variant(model: types.ModelInfo, context: Mapping[str, str], at: datetime) -> bool:
    return any(
        (variant.constraint is None or variant.constraint.active(at))
        and all(context.get(key) == value for key, value in variant.when.items())
        for variant in model.price_variants or ()
    )


def _bands(price: types.ModelPrice, *, cached_as_input: bool, kept_12h: bool) -> Bands | Unpriced:
    values: _PriceValues = {kind: value for kind, value in vars(price).items() if value is not None}
    # No usage contains the facts on which a fee per request depends. An entry without any rate of `_BILLED_BY` has
    # another unit or no price.
    if "requests_kcount" in values or values.keys().isdisjoint(_BILLED_BY):
        return Unpriced.NO_RATE_FOR_KIND
    tiered = (value for value in values.values() if isinstance(value, types.TieredPrices))
    starts = sorted({tier.start for value in tiered for tier in value.tiers}, reverse=True)
    return tuple(
        (start, _rates(values, start, cached_as_input=cached_as_input, kept_12h=kept_12h)) for start in (*starts, -1)
    )


def _rates(values: _PriceValues, longer_than: int, *, cached_as_input: bool, kept_12h: bool) -> Rates:
    def rate(kind: str) -> float | None:
        return _per_token(values[kind], longer_than) if kind in values else None

    input_rate, cached, written = rate("input_mtok"), rate("cache_read_mtok"), rate("cache_write_mtok")
    # No cached rate means no discount, except for fine-tunes: the table (0.2.3) lacks their published discount.
    if cached is None and cached_as_input:
        cached = input_rate
    hour = rate("input_audio_hours")
    hour = rate("audio_hours") if hour is None else hour
    return Rates(
        input=input_rate,
        output=rate("output_mtok"),
        input_cached=cached,
        input_cache_write=input_rate if written is None else written,
        # Twice the price of 30 minutes, by OpenAI's page of gpt-6.2-sol (read in November 2026).
        input_cache_write_12h=2 * written if written is not None and kept_12h else None,
        input_audio=rate("input_audio_mtok"),
        input_image=rate("input_image_mtok"),
        output_audio=rate("output_audio_mtok"),
        output_reasoning=rate("output_reasoning_mtok"),
        output_image=rate("output_image_mtok"),
        input_second=None if hour is None else hour * 1e6 / 3600,
        input_character=rate("input_mchars"),
        output_mixed=not _UNCOUNTED_OUTPUT.isdisjoint(values),
    )


def _per_token(price: Decimal | types.TieredPrices, longer_than: int) -> float:
    """Return USD per token; above a threshold, the whole prompt and its response have the higher price."""
    if isinstance(price, types.TieredPrices):
        reached = [tier.price for tier in price.tiers if tier.start <= longer_than]
        price = reached[-1] if reached else price.base
    rate = float(price) / 1e6
    if not 0 <= rate < math.inf:
        raise ValueError(f"the price table contains {price} USD per million tokens")
    return rate

"""Returns the cost of a call by the user's own or the published prices, or the reason for an unknown cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from monitored_openai._logging import logger
from monitored_openai._pricing.billed import Billed
from monitored_openai._pricing.factors import AzureDeployment, Factor, factor_of
from monitored_openai._pricing.fees import fee_of, gap_of
from monitored_openai._pricing.own_prices import OwnPrices
from monitored_openai._pricing.rates import Bands, Unpriced, charge
from monitored_openai._providers import no_price_reason, table_model
from monitored_openai._record import NOTHING, Cost, CostIncomplete, Usage
from monitored_openai._settings.prices import Prices

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

    from monitored_openai._pricing.published import PriceTable

__all__ = ["Billed", "PriceBook", "Unpriced"]

_NO_DISCOUNT_WINDOWS = frozenset({None, "soonest"})


class AppliedPrice(NamedTuple):
    """The prices that apply to the calls of one model, tier and host."""

    bands: Bands
    units: Mapping[str, float]
    """USD for each unit whose price depends on the model, or which the user's own prices contain."""
    factor: Factor
    own: bool
    """True if the prices are the user's own."""
    supplement: str | None = None
    """Source and date of a published price that the table of `genai-prices` lacks."""


class PriceBook:
    """Prices calls by provider, model and service tier; not thread-safe.

    The published prices are those of `genai-prices`. The first use imports them, without network access.

    Args:
        own: returns the user's own prices by model, as checked by the settings; it may return others later.
        azure_deployment: the type of the user's Azure deployments; `None` if unknown.
        newest: returns a newer snapshot of the published prices than that of `genai-prices`, or `None`.
    """

    def __init__(
        self,
        own: Callable[[], Prices] = lambda: NOTHING,
        *,
        azure_deployment: AzureDeployment | None = None,
        newest: Callable[[], DataSnapshot | None] = lambda: None,
    ) -> None:
        self._newest = newest
        self._providers: dict[str, None] = {}
        self._own = own
        self._own_prices = OwnPrices(own())
        self._prices = own()
        self._azure_deployment = azure_deployment
        self._error_logged = False

    def cost(self, billed: Billed) -> Cost | Unpriced:
        """Return the cost of one call, or the reason for an unknown cost. Never raises."""
        try:
            return self._cost(billed)
        except Exception:
            self._log_once("the price of a call could not be computed (model %.80r)", billed.model)
            return Unpriced.PRICE_ERROR

    def applied(self, billed: Billed) -> AppliedPrice | Unpriced:
        """Return the prices that apply to a call, or the reason for an unknown price."""
        provider, model = billed.provider, billed.model
        if model is None:
            return Unpriced.UNKNOWN_MODEL
        if (prices := self._own()) is not self._prices:
            self._prices, self._own_prices = prices, OwnPrices(prices)
        if prices:
            own = self._own_prices.find(provider, model, billed.service_tier, batch=billed.batch)
            if own is not None:
                return AppliedPrice(own.bands, own.units, Factor(), own=True)
        if (reason := self._no_published_price(billed)) is not None:
            return reason
        self._providers[provider] = None
        name = table_model(provider, model)
        published = self._table.price(provider, name, billed.service_tier, billed.batch, billed.at_ns)
        if isinstance(published, Unpriced):
            return published
        factor = factor_of(provider, billed.host, name, self._azure_deployment)
        return AppliedPrice(published.bands, published.units, factor, own=False, supplement=published.supplement)

    def _no_published_price(self, billed: Billed) -> Unpriced | None:
        """Return the reason why no published price can apply to a call; `None` if one may apply."""
        if (reason := no_price_reason(billed.provider, billed.host)) is not None:
            return Unpriced(reason)
        if billed.provider == "azure.ai.openai" and self._azure_deployment == "provisioned":
            return Unpriced.PREPAID
        return None if billed.completion_window in _NO_DISCOUNT_WINDOWS else Unpriced.NO_RATE_FOR_TIER

    @property
    def table_dates(self) -> Mapping[str, float]:
        """The date of each provider's published prices, if a call has looked them up, in seconds since the epoch.

        The table in the package has no date. The result is then the newest day, up to today, on which one of the
        provider's prices took effect: they are at least that new. If the table was downloaded, the result is the time of
        the download. The first computation of a day takes some milliseconds.
        """
        try:
            return self._table.dates(self._providers)
        except Exception:
            self._log_once("the date of the price table could not be read")
            return NOTHING

    def _cost(self, billed: Billed) -> Cost | Unpriced:
        usage = billed.usage
        applied = self.applied(billed) if usage is not None or billed.model is not None else Unpriced.USAGE_UNKNOWN
        if usage is None:
            return self._units_alone(billed, applied)
        if isinstance(applied, Unpriced):
            return applied
        cost = charge(applied.bands, usage, own=applied.own)
        if isinstance(cost, Unpriced):
            return cost
        if applied.factor.value != 1:
            cost = _multiplied(cost, applied.factor.value)
        gaps: list[CostIncomplete] = [*cost.incomplete, *billed.incomplete]
        if applied.factor.gap is not None:
            gaps.append(applied.factor.gap)
        if billed.cache_retention == "12h" and usage.input_cache_write_tokens and _writes_unsplit(usage):
            gaps.append("retention")
        for model, part in billed.parts:
            cost += self._part(billed, model, part, gaps)
        if billed.units:
            cost = dataclasses.replace(cost, tool_usd=cost.tool_usd + self._fees(billed, applied, gaps))
        if not gaps:
            return cost
        incomplete = tuple(dict.fromkeys(gaps))
        return cost if incomplete == cost.incomplete else dataclasses.replace(cost, incomplete=incomplete)

    def _units_alone(self, billed: Billed, applied: AppliedPrice | Unpriced) -> Cost | Unpriced:
        """Return the cost of a call without a usage, such as of a video; only if the price of each unit is known."""
        if not billed.units:
            return Unpriced.USAGE_UNKNOWN
        gaps: list[CostIncomplete] = []
        usd = self._fees(billed, applied, gaps)
        if gaps:
            return Unpriced.NO_RATE_FOR_KIND
        own = not isinstance(applied, Unpriced) and applied.own
        return Cost(tool_usd=usd, source="settings" if own else "table", incomplete=billed.incomplete)

    def _fees(self, billed: Billed, applied: AppliedPrice | Unpriced, gaps: list[CostIncomplete]) -> float:
        """Return USD for all units with a known price; add a gap for each other unit."""
        total = 0.0
        for unit, number in billed.units.items():
            if isinstance(applied, Unpriced):
                usd = fee_of(billed.provider, billed.model, unit)
            elif applied.own:
                usd = applied.units.get(unit)
            else:
                usd = applied.units.get(unit, fee_of(billed.provider, billed.model, unit))
            if usd is None:
                own = not isinstance(applied, Unpriced) and applied.own
                gaps.append("own_price" if own else gap_of(unit))
            else:
                total += number * usd
        return total

    def _part(self, billed: Billed, model: str | None, usage: Usage, gaps: list[CostIncomplete]) -> Cost:
        """Return the cost of another model within the call; add a gap if it is unknown."""
        part = Billed(provider=billed.provider, model=model, usage=usage, at_ns=billed.at_ns, host=billed.host)
        cost = self._cost(part)
        if isinstance(cost, Unpriced):
            gaps.append("tool_fee")
            return Cost()
        gaps.extend(cost.incomplete)
        return cost

    @cached_property
    def _table(self) -> PriceTable:
        from monitored_openai._pricing.published import PriceTable

        return PriceTable(self._newest)

    def _log_once(self, message: str, *args: object) -> None:
        if not self._error_logged:
            self._error_logged = True
            logger.warning(message, *args, exc_info=True)


def _multiplied(cost: Cost, factor: float) -> Cost:
    """Return a cost of tokens with each part and the savings multiplied."""
    parts: dict[str, Any] = {f"{kind}_usd": usd * factor for kind, usd in cost.by_kind().items() if usd}
    return dataclasses.replace(cost, cache_savings_usd=cost.cache_savings_usd * factor, **parts)


def _writes_unsplit(usage: Usage) -> bool:
    """Return whether the usage does not separate cached tokens by the time for which the server keeps them."""
    return usage.input_cache_write_12h_tokens is None

"""Computes the cost of a call from the user's own or the published prices; an unknown cost has a reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from monitored_openai._logging import logger
from monitored_openai._pricing.rates import Bands, Rates, Unpriced, charge
from monitored_openai._providers import no_price_reason, table_model
from monitored_openai._record import Cost, Usage

if TYPE_CHECKING:
    from monitored_openai._pricing.published import PriceTable

__all__ = ["PriceBook", "Unpriced"]

_TIERS_WITH_OWN_PRICE = frozenset({"flex", "priority", "fast", "scale"})


class PriceBook:
    """Prices calls by provider, model and service tier; not thread-safe.

    The published prices are those of `genai-prices`. The first use imports them, without network access.

    Args:
        overrides: the user's own prices by model name, or by ``ft:<base model>`` for all fine-tunes of a model. The
            keys of a price are ``input``, ``cached_input`` and ``output`` in USD per million tokens, ``minute`` in USD
            per minute of audio, and ``characters`` in USD per million characters of text for the speech API. Without
            ``cached_input``, cached tokens cost ``input``. The prices replace the published standard price, but not
            those of batches and of the tiers flex, priority, fast and scale.
    """

    def __init__(self, overrides: Mapping[str, Mapping[str, float]] = {}) -> None:
        self._overrides: Mapping[str, Bands] = {model: _own_bands(prices) for model, prices in overrides.items()}
        self._error_logged = False

    def cost(
        self,
        *,
        provider: str,
        model: str | None,
        service_tier: str | None,
        usage: Usage | None,
        at_ns: int,
        batch: bool = False,
        host: str | None = None,
    ) -> Cost | Unpriced:
        """Return the cost of one call, or the reason for an unknown cost. Never raises.

        Args:
            provider: OpenTelemetry's name of the provider, or an id of `genai-prices`.
            model: the model in the response, or in the request if the endpoint's responses contain none.
            service_tier: the tier in the response; `None` stands for the standard tier.
            usage: the tokens in the response.
            at_ns: the time of the call in nanoseconds since the epoch, because prices change.
            batch: True if the call was part of a batch, which has its own price in every tier.
            host: the host of the API, if a provider bills in another currency at one of its hosts.
        """
        if usage is None:
            return Unpriced.USAGE_UNKNOWN
        if model is None:
            return Unpriced.UNKNOWN_MODEL
        try:
            bands: Bands | Unpriced | None = None
            if self._overrides and not batch and service_tier not in _TIERS_WITH_OWN_PRICE:
                bands = self.own(model)
            if bands is None and (reason := no_price_reason(provider, host)) is not None:
                bands = Unpriced(reason)
            if bands is None:
                bands = self._table.bands(provider, table_model(provider, model), service_tier, batch, at_ns)
            return bands if isinstance(bands, Unpriced) else charge(bands, usage)
        except Exception:
            self._log_once("the price of a call could not be computed (model %.80r)", model)
            return Unpriced.PRICE_ERROR

    @property
    def table_timestamp(self) -> float:
        """The date of the published prices in seconds since the epoch; NaN if unknown.

        The table in the package has no date. The result is then the newest day, up to today, on which one of its prices
        took effect: the table is at least that new. If the program lets `genai-prices` update the table, the result is
        the time of the update. The computation takes some milliseconds.
        """
        try:
            return self._table.newest_date()
        except Exception:
            self._log_once("the date of the price table could not be read")
            return math.nan

    def own(self, model: str) -> Bands | None:
        """Return the user's price for the model, else for all fine-tunes of its base model, else `None`."""
        base = ":".join(model.split(":")[:2]) if model.startswith("ft:") else model
        return self._overrides.get(model) or self._overrides.get(base)

    @cached_property
    def _table(self) -> PriceTable:
        from monitored_openai._pricing.published import PriceTable

        return PriceTable()

    def _log_once(self, message: str, *args: object) -> None:
        if not self._error_logged:
            self._error_logged = True
            logger.warning(message, *args, exc_info=True)


def _own_bands(prices: Mapping[str, float]) -> Bands:
    minute = prices.get("minute")
    per_token = {kind: usd / 1e6 for kind, usd in prices.items() if kind != "minute"}
    input_rate = per_token.get("input")
    rates = Rates(
        input=input_rate,
        output=per_token.get("output"),
        input_cached=per_token.get("cached_input", input_rate),
        input_cache_write=input_rate,
        input_second=None if minute is None else minute / 60,
        input_character=per_token.get("characters"),
    )
    return ((-1, rates),)

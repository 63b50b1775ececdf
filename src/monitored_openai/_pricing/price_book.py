"""The cost of a call by the user's own prices, else by the published prices, else the reason why it is unknown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from monitored_openai._logging import logger
from monitored_openai._pricing.rates import Bands, Rates, Unpriced, charge
from monitored_openai._record import Cost, Usage

if TYPE_CHECKING:
    from monitored_openai._pricing.published import PriceTable

__all__ = ["PriceBook", "Unpriced"]

_TIERS_WITH_OWN_PRICE = frozenset({"flex", "priority", "fast", "scale"})


class PriceBook:
    """Prices calls by provider, the response's model and the response's service tier. For use by one thread.

    The published prices are those of `genai-prices`, imported at first use, without network access.

    Args:
        overrides: by model name (or, for all fine-tunes of a model, ``ft:<base model>``) the keys ``input``,
            ``cached_input`` and ``output`` in USD per million tokens, ``minute`` in USD per minute of audio,
            ``characters`` in USD per million characters of text to be spoken. They replace the standard price; the tiers flex,
            priority, fast and scale and batch stay as published. Without ``cached_input``, cached tokens cost
            ``input``.
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
    ) -> Cost | Unpriced:
        """Return the cost of one call, or the reason why it is unknown. Never raises.

        Args:
            provider: OpenTelemetry's name of the provider, or an id of `genai-prices`.
            model: the model in the response.
            service_tier: the tier in the response; `None` is the standard price.
            usage: the tokens that the response reported.
            at_ns: the time of the call in nanoseconds since the epoch, as prices change.
            batch: whether the call was part of a batch, which has its own price in every tier.
        """
        if usage is None:
            return Unpriced.USAGE_UNKNOWN
        if model is None:
            return Unpriced.UNKNOWN_MODEL
        try:
            bands: Bands | Unpriced | None = None
            if self._overrides and not batch and service_tier not in _TIERS_WITH_OWN_PRICE:
                bands = self.own(model)
            if bands is None:
                bands = self._table.bands(provider, model, service_tier, batch, at_ns)
            return bands if isinstance(bands, Unpriced) else charge(bands, usage)
        except Exception:
            self._log_once("the price of a call could not be worked out (model %.80r)", model)
            return Unpriced.PRICE_ERROR

    @property
    def table_timestamp(self) -> float:
        """The age of the published prices as seconds since the epoch; not-a-number if it is unknown.

        The bundled table has no date. This is the newest day on which one of its prices took effect (without future
        prices), so the table is at least this new. After an update by `genai-prices`, which the program may start, it is
        the time of that update. Takes some milliseconds.
        """
        try:
            return self._table.newest_date()
        except Exception:
            self._log_once("the date of the price table could not be read")
            return math.nan

    def own(self, model: str) -> Bands | None:
        """Return the user's price for the model, or for all fine-tunes of its base model; `None` if there is none."""
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

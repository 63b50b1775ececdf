"""Reads the charge in US dollars that a provider reports in its response."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from monitored_openai._endpoints.base import amount, dictionary
from monitored_openai._providers import Charge
from monitored_openai._record import Cost

_TICKS_PER_USD = 10**10
_MOST_USD = 1e6
"""Limit for the charge of one call; a larger one is an error of the server."""
INVALID_CHARGE = "usage_invalid"
"""The reason for an unknown cost if the charge is negative, too large or not a number."""


def reported_charge(form: Charge, usage: Mapping[str, Any]) -> Cost | str | None:
    """Return the charge in a usage, the reason why it is invalid, or `None` if the usage has no charge."""
    return _READERS[form](usage)


def _cost(usage: Mapping[str, Any]) -> Cost | str | None:
    """Return OpenRouter's charge; with the user's own key, OpenRouter's fee plus the provider's charge."""
    charge = _dollars(usage.get("cost"))
    if charge is None or isinstance(charge, str):
        return charge
    upstream = _dollars(dictionary(usage.get("cost_details")).get("upstream_inference_cost"))
    if isinstance(upstream, str):
        return upstream
    own_key = usage.get("is_byok")
    # An older response lacks `is_byok`; a cost below the upstream charge is only the fee for the user's own key.
    if not isinstance(own_key, bool):
        own_key = upstream is not None and upstream > charge
    if not own_key:
        return _reply(charge)
    if upstream is None:
        return Cost(charge_usd=charge, source="reply", incomplete=("unit",))
    return _reply(charge + upstream)


def _cost_object(usage: Mapping[str, Any]) -> Cost | str | None:
    reported = usage.get("cost")
    if reported is None:
        return None
    fields = dictionary(reported)
    if fields.get("currency") not in (None, "USD"):
        return "currency"
    charge = _dollars(fields.get("total_cost"))
    return INVALID_CHARGE if charge is None or isinstance(charge, str) else _reply(charge)


def _ticks(usage: Mapping[str, Any]) -> Cost | str | None:
    charge = _dollars(usage.get("cost_in_usd_ticks"), per_usd=_TICKS_PER_USD)
    return charge if charge is None or isinstance(charge, str) else _reply(charge)


def _dollars(reported: object, *, per_usd: int = 1) -> float | str | None:
    if reported is None:
        return None
    number = amount(reported)
    return number / per_usd if number is not None and number / per_usd <= _MOST_USD else INVALID_CHARGE


def _reply(usd: float) -> Cost:
    return Cost(charge_usd=usd, source="reply")


_READERS: Mapping[Charge, Callable[[Mapping[str, Any]], Cost | str | None]] = {
    "cost": _cost,
    "cost_object": _cost_object,
    "ticks": _ticks,
}

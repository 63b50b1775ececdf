"""Adds the facts that decide the cost to a response: from the provider's documented rules and from the request."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from monitored_openai._calls.charge import reported_charge
from monitored_openai._calls.request_fields import SENDS_AUDIO, text_sent
from monitored_openai._endpoints.base import SPLIT_UNKNOWN, ParsedResponse, dictionary, text
from monitored_openai._endpoints.usage import cache_retention
from monitored_openai._providers import provider_named
from monitored_openai._record import NOTHING, Cost

_NO_TIER = frozenset({None, "auto", "default"})
_SEARCH_FIELDS = ("web_search_options", "search_parameters")


def read_bill(provider: str, parsed: ParsedResponse, request: Mapping[str, Any]) -> ParsedResponse:
    """Return a response with its usage and charge by its provider's rules, and with the billed facts of the request.

    Args:
        provider: OpenTelemetry's name of the provider.
        parsed: the facts in the response alone.
        request: the fields of the request that decide its price.
    """
    changes: dict[str, Any] = {}
    known = provider_named(provider)
    searches = bool(request) and any(request.get(name) is not None for name in _SEARCH_FIELDS)
    if parsed.usage_if_thinking is not None and known is not None and known.thinks_in_total and not searches:
        changes |= {"usage": parsed.usage_if_thinking, "usage_unknown": None}
    charge = None if known is None or known.charge is None else reported_charge(known.charge, parsed.reported_usage)
    if charge is not None and parsed.cost is None:
        changes |= {"cost": charge} if isinstance(charge, Cost) else {"unpriced": charge}
    if request:
        changes |= _billed_by_request(parsed, request)
        heard = parsed.usage is not None and parsed.usage.input_audio_tokens is not None
        if SENDS_AUDIO in request and not heard:
            changes["unpriced"] = SPLIT_UNKNOWN
    if searches and "web_search" not in parsed.tool_calls:
        changes["incomplete"] = tuple(dict.fromkeys((*parsed.incomplete, "tool_fee")))
    return dataclasses.replace(parsed, **changes) if changes else parsed


def _billed_by_request(parsed: ParsedResponse, request: Mapping[str, Any]) -> dict[str, Any]:
    tier = text_sent(request.get("service_tier"))
    return {
        "requested_tier": None if tier in _NO_TIER else tier,
        "cache_retention": parsed.cache_retention or cache_retention(request),
        "completion_window": text(dictionary(request.get("background_options")).get("completion_window")),
    }


def without_bill(parsed: ParsedResponse) -> ParsedResponse:
    """Return a response without its billed facts, which belong to the record of another call."""
    return dataclasses.replace(
        parsed,
        usage=None,
        cost=None,
        provider_cost=None,
        tool_calls=NOTHING,
        units=NOTHING,
        incomplete=(),
        parts=(),
    )

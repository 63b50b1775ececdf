"""Published fees for units other than tokens: hosted tools, containers and videos, with source and date of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from monitored_openai._record import CostIncomplete


class Fee(NamedTuple):
    """The published price of one unit."""

    usd: float
    """USD for one unit."""
    source: str
    date: str
    """The day on which we read the source."""


_PRICING = "OpenAI's pricing page"
_READ = "2026-11-27"
_WEB_SEARCH = Fee(0.01, _PRICING, _READ)  # 10 USD per 1,000 calls; the search's tokens are in the usage

FEES: Mapping[str, Mapping[str, Fee]] = {
    "openai": {
        "web_searches": _WEB_SEARCH,
        "web_searches_preview": _WEB_SEARCH,
        "web_searches_preview_non_reasoning": Fee(0.025, _PRICING, _READ),  # includes the tokens of the search
        "file_searches": Fee(0.0025, _PRICING, _READ),
        # The price of a session of 20 minutes, before the minimum of five minutes that some sessions have.
        "container_sessions_1g": Fee(0.03, _PRICING, _READ),
        "container_sessions_4g": Fee(0.12, _PRICING, _READ),
        "container_sessions_16g": Fee(0.48, _PRICING, _READ),
        "container_sessions_64g": Fee(1.92, _PRICING, _READ),
        "computer_actions": Fee(0.0, _PRICING, _READ),  # only tokens
        "mcp_calls": Fee(0.0, _PRICING, _READ),  # only tokens
    },
    "azure.ai.openai": {
        "computer_actions": Fee(0.0, "Azure OpenAI's pricing page", _READ),
        "mcp_calls": Fee(0.0, "Azure OpenAI's pricing page", _READ),
    },
}
"""By provider and unit. A unit that is missing here has an unknown price."""

_VIDEO: Mapping[str, Mapping[str, float]] = {
    "sora-2": {"video_seconds_720p": 0.10},
    "sora-2-pro": {"video_seconds_720p": 0.30, "video_seconds_1024p": 0.50, "video_seconds_1080p": 0.70},
}
"""USD for a second of video by model and size (OpenAI's pricing page, read on 2026-11-27)."""


VIDEO_UNITS = ("video_seconds_720p", "video_seconds_1024p", "video_seconds_1080p")


def fee_of(provider: str, model: str | None, unit: str) -> float | None:
    """Return the published USD for one unit; `None` if the price is unknown."""
    if unit.startswith("video_"):
        return _VIDEO.get(_family(model), {}).get(unit) if provider == "openai" else None
    fee = FEES.get(provider, {}).get(unit)
    return None if fee is None else fee.usd


def gap_of(unit: str) -> CostIncomplete:
    """Return the reason for an incomplete cost if the price of a unit is unknown."""
    return "unit" if unit.startswith(("video_", "images")) else "tool_fee"


def _family(model: str | None) -> str:
    """Return the name of a model without a date, such as `sora-2` for `sora-2-2025-12-08`."""
    name, _, year = (model or "").partition("-20")
    return name if year[:2].isdecimal() else (model or "")

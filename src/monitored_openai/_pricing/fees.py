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
    """The day of the source, as YYYY-MM-DD."""


_TABLE = "genai-prices 0.2.3"
_LITELLM = "litellm 1.110.2"
_FORUM = "https://community.openai.com/t/1363698, which quotes OpenAI's prices"
_CHANGELOG = "https://developers.openai.com/api/docs/changelog"
_GUIDES = "https://developers.openai.com/api/docs/guides/tools"
_AZURE_LIST = "https://prices.azure.com/api/retail/prices, by litellm 1.110.2"
_NOVEMBER = "2026-11-27"

FEES: Mapping[str, Mapping[str, Fee]] = {
    "openai": {
        "web_searches": Fee(0.01, _TABLE, _NOVEMBER),
        "web_searches_preview": Fee(0.01, _FORUM, _NOVEMBER),
        "web_searches_preview_non_reasoning": Fee(0.025, _LITELLM, _NOVEMBER),  # the search's tokens are free
        "file_searches": Fee(0.0025, _TABLE, _NOVEMBER),
        # The price of 20 minutes. Some sessions cost less since 2026-06-02: OpenAI bills each minute, but at least 5.
        "container_sessions_1g": Fee(0.03, _CHANGELOG, "2026-03-31"),
        "container_sessions_4g": Fee(0.12, _CHANGELOG, "2026-03-31"),
        "container_sessions_16g": Fee(0.48, _CHANGELOG, "2026-03-31"),
        "container_sessions_64g": Fee(1.92, _CHANGELOG, "2026-03-31"),
        "computer_actions": Fee(0.0, _GUIDES, _NOVEMBER),  # only tokens
        "mcp_calls": Fee(0.0, _GUIDES, _NOVEMBER),  # only tokens
    },
    "azure.ai.openai": {
        "web_searches": Fee(0.014, _AZURE_LIST, _NOVEMBER),
        "web_searches_preview": Fee(0.014, _AZURE_LIST, _NOVEMBER),
        "container_sessions_1g": Fee(0.033, _AZURE_LIST, _NOVEMBER),
        "computer_actions": Fee(0.0, _GUIDES, _NOVEMBER),
        "mcp_calls": Fee(0.0, _GUIDES, _NOVEMBER),
    },
}
"""By provider and unit. A unit that is missing here has an unknown price."""

_VIDEO: Mapping[str, Mapping[str, float]] = {
    "sora-2": {"video_seconds_720p": 0.10},
    "sora-2-pro": {"video_seconds_720p": 0.30, "video_seconds_1024p": 0.50},
}
"""USD for a second of video by model and size, at OpenAI and at Azure (litellm 1.110.2, 2026-11-27)."""


VIDEO_UNITS = ("video_seconds_720p", "video_seconds_1024p", "video_seconds_1080p")


def fee_of(provider: str, model: str | None, unit: str) -> float | None:
    """Return the published USD for one unit; `None` if the price is unknown."""
    if unit.startswith("video_"):
        return _VIDEO.get(_family(model), {}).get(unit) if provider in FEES else None
    fee = FEES.get(provider, {}).get(unit)
    return None if fee is None else fee.usd


def gap_of(unit: str) -> CostIncomplete:
    """Return the reason for an incomplete cost if the price of a unit is unknown."""
    return "unit" if unit.startswith(("video_", "images")) else "tool_fee"


def _family(model: str | None) -> str:
    """Return the name of a model without a date, such as `sora-2` for `sora-2-2025-12-08`."""
    name, _, year = (model or "").partition("-20")
    return name if year[:2].isdecimal() else (model or "")

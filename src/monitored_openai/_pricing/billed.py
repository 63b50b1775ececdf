"""The facts of one call that decide its cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from monitored_openai._record import NOTHING, CostIncomplete, Usage


class Billed(NamedTuple):
    """The billed facts of one call; ``None`` for an unknown or absent fact. Pass them by name."""

    provider: str
    """OpenTelemetry's name of the provider, or an id of `genai-prices`."""
    model: str | None
    """The model in the response, or in the request if the endpoint's responses contain none."""
    usage: Usage | None
    """The tokens in the response."""
    at_ns: int
    """The time of the call in nanoseconds since the epoch, because prices change."""
    service_tier: str | None = None
    """The tier in the response, else in the request; `None` stands for the standard tier."""
    batch: bool = False
    """True if the call was part of a batch, which has its own price in every tier."""
    host: str | None = None
    """The host of the API, because some regions cost more."""
    units: Mapping[str, float] = NOTHING
    """Billed units other than tokens, by name."""
    parts: tuple[tuple[str | None, Usage], ...] = ()
    """Usages of other models within the call, by model."""
    incomplete: tuple[CostIncomplete, ...] = ()
    """Reasons for an incomplete cost that do not depend on prices."""
    cache_retention: str | None = None
    """The time for which the server keeps cached tokens: `30m`, `12h`, `24h` or `in_memory`."""
    completion_window: str | None = None
    """The time within which the server finishes a response in the background: `soonest`, `2h` or `8h`."""

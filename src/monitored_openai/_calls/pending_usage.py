"""Tracks responses whose usage is not known yet: background runs and interrupted streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitored_openai._logging import warn_sparsely

MOST = 10_000
"""Limit for tracked responses. Beyond it, the usage of the oldest one stays unknown."""


class PendingUsage:
    """The responses of one process whose usage a later request may report; not thread-safe."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], Mapping[str, Any]] = {}

    def add(self, server: str, response_id: str, billed_fields: Mapping[str, Any]) -> None:
        """Track a response, with the fields of its request that decide its price."""
        self._ids.pop((server, response_id), None)
        self._ids[server, response_id] = billed_fields
        if len(self._ids) > MOST:
            del self._ids[next(iter(self._ids))]
            warn_sparsely(
                "pending usage", "%s responses wait for their usage; the usage of the oldest one stays unknown", MOST
            )

    def resolve(self, server: str, response_id: str) -> Mapping[str, Any] | None:
        """Stop tracking a finished response. Return its billed fields; `None` if it was not tracked."""
        return self._ids.pop((server, response_id), None)

    def clear(self) -> None:
        """Forget all responses; for a forked child, because its parent still tracks them."""
        self._ids.clear()

"""Responses that went without their usage: made in the background, or broken off. A later look at one may still tell it."""

from __future__ import annotations

MOST = 10_000
"""Responses remembered; of more than that the oldest are forgotten, and what they used stays unknown."""


class PendingUsage:
    """The ids of such responses, of one process; for use by one thread."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], None] = {}

    def add(self, server: str, response_id: str) -> None:
        """Remember a response."""
        self._ids.pop((server, response_id), None)
        self._ids[server, response_id] = None
        if len(self._ids) > MOST:
            del self._ids[next(iter(self._ids))]

    def settle(self, server: str, response_id: str) -> bool:
        """Forget a response whose end is known now; whether it was owed."""
        return self._ids.pop((server, response_id), self) is None

    def clear(self) -> None:
        """Forget all: in a forked child, whose parent will look after them."""
        self._ids.clear()

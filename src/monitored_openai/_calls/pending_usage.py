"""Tracks responses whose usage is not known yet: background runs and interrupted streams."""

from __future__ import annotations

MOST = 10_000
"""Limit of tracked responses. Beyond it the oldest is forgotten, and its usage stays unknown."""


class PendingUsage:
    """The responses of one process that a later request may report the usage of. For use by one thread."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], None] = {}

    def add(self, server: str, response_id: str) -> None:
        """Track a response."""
        self._ids.pop((server, response_id), None)
        self._ids[server, response_id] = None
        if len(self._ids) > MOST:
            del self._ids[next(iter(self._ids))]

    def resolve(self, server: str, response_id: str) -> bool:
        """Stop tracking a response that has finished; return whether it was tracked, so that its usage counts now."""
        return self._ids.pop((server, response_id), self) is None

    def clear(self) -> None:
        """Forget all responses. A forked child does so, because its parent still tracks them."""
        self._ids.clear()

"""Tracks responses whose usage is not known yet: background runs and interrupted streams."""

from __future__ import annotations

MOST = 10_000
"""Limit for tracked responses. Beyond it, the usage of the oldest one stays unknown."""


class PendingUsage:
    """The responses of one process whose usage a later request may report; not thread-safe."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], None] = {}

    def add(self, server: str, response_id: str) -> None:
        """Track a response."""
        self._ids.pop((server, response_id), None)
        self._ids[server, response_id] = None
        if len(self._ids) > MOST:
            del self._ids[next(iter(self._ids))]

    def resolve(self, server: str, response_id: str) -> bool:
        """Stop tracking a finished response; return whether it was tracked, so that its usage counts now."""
        return self._ids.pop((server, response_id), self) is None

    def clear(self) -> None:
        """Forget all responses; for a forked child, because its parent still tracks them."""
        self._ids.clear()

"""Volume limits like those of Loki and Mimir."""

from __future__ import annotations

from dataclasses import dataclass

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit in bytes (of metrics: samples) per second, and the most that may come at once."""

    per_second: int
    burst: int


@dataclass(slots=True)
class Bucket:
    """A token bucket, full at first."""

    rate: Rate
    level: float
    at: int

    def allow(self, size: int, now: int) -> bool:
        """Take so much out, if there is that much at this time in nanoseconds."""
        self.level = min(self.rate.burst, self.level + self.rate.per_second * (now - self.at) / _SECOND)
        self.at = now
        if size > self.level:
            return False
        self.level -= size
        return True

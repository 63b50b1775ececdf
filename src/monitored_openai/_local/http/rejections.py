"""Counts what the embedded server refuses, by reason, and reports it at most once a minute."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

_REASONS = {
    400: "malformed",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method",
    408: "timeout",
    411: "no_length",
    413: "too_large",
    431: "too_large",
    503: "busy",
}
_REPORT_SECONDS = 60.0


class Refusal(Exception):
    """A request that the server refuses, with the status of the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Refusals:
    """The number of refused requests and connections by reason."""

    def __init__(self, report: Callable[[str], None] | None = None) -> None:
        """Start at zero; `report` gets one line at most once a minute, and one at the end."""
        self._report = report
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._unreported: Counter[str] = Counter()
        self._reported = -_REPORT_SECONDS

    @property
    def counts(self) -> dict[str, int]:
        """The number by reason since the server started."""
        with self._lock:
            return dict(self._counts)

    def add(self, status: int) -> None:
        """Count a refusal under the reason that belongs to the status of its answer."""
        reason = _REASONS.get(status, "fault")
        with self._lock:
            self._counts[reason] += 1
            self._unreported[reason] += 1
            due = time.monotonic() - self._reported >= _REPORT_SECONDS
        if due:
            self.report()

    def report(self) -> None:
        """Report the refusals since the last report, if any."""
        with self._lock:
            numbers, self._unreported = self._unreported, Counter()
            self._reported = time.monotonic()
        if numbers and self._report:
            self._report(f"refused: {', '.join(f'{number} {reason}' for reason, number in sorted(numbers.items()))}")


class Room:
    """The bytes of bodies and answers that all connections together may hold in memory."""

    def __init__(self, most_bytes: int) -> None:
        self._lock = threading.Lock()
        self._free = most_bytes

    def take(self, size: int) -> None:
        """Reserve that many bytes.

        Raises:
            Refusal: other connections hold too many.
        """
        with self._lock:
            if size > self._free:
                raise Refusal(503, "too many bytes are under way on other connections; try again")
            self._free -= size

    def give_back(self, size: int) -> None:
        """Release bytes that were taken."""
        with self._lock:
            self._free += size

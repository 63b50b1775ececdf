"""Counts rejected requests by reason, reports them at most once a minute, and bounds memory."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from traceback import extract_tb

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


class HTTPError(Exception):
    """A request that the server rejects with this status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class RejectionCounts:
    """Counts of rejected requests and connections by reason."""

    def __init__(self, report: Callable[[str], None] | None = None) -> None:
        """Start at zero; call `report` with one line at most once a minute, and once at the end."""
        self._report = report
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._unreported: Counter[str] = Counter()
        self._reported = self._fault_reported = -_REPORT_SECONDS

    @property
    def counts(self) -> dict[str, int]:
        """Counts by reason since the server started."""
        with self._lock:
            return dict(self._counts)

    def add(self, status: int) -> None:
        """Count a rejection under the reason for its status."""
        reason = _REASONS.get(status, "fault")
        with self._lock:
            self._counts[reason] += 1
            self._unreported[reason] += 1
            due = time.monotonic() - self._reported >= _REPORT_SECONDS
        if due:
            self.report()

    def add_fault(self, error: BaseException) -> None:
        """Report an error of this program in one line, at most once a minute; omit its text, which may quote content."""
        with self._lock:
            due = time.monotonic() - self._fault_reported >= _REPORT_SECONDS
            if due:
                self._fault_reported = time.monotonic()
        if due:
            places = extract_tb(error.__traceback__)
            place = f" in {Path(places[-1].filename).name}, line {places[-1].lineno}" if places else ""
            (self._report or _print)(f"a request failed: {type(error).__name__}{place}; please report this")

    def report(self) -> None:
        """Report the rejections since the last report, if any."""
        with self._lock:
            numbers, self._unreported = self._unreported, Counter()
            self._reported = time.monotonic()
        if numbers and self._report:
            self._report(f"refused: {', '.join(f'{number} {reason}' for reason, number in sorted(numbers.items()))}")


class MemoryBudget:
    """Memory for request and response bodies, shared by all connections."""

    def __init__(self, most_bytes: int) -> None:
        self._lock = threading.Lock()
        self._free = most_bytes

    def reserve(self, size: int) -> None:
        """Reserve this many bytes.

        Raises:
            HTTPError: other connections hold too many bytes.
        """
        with self._lock:
            if size > self._free:
                raise HTTPError(503, "other connections use all memory for requests and responses; try again")
            self._free -= size

    def release(self, size: int) -> None:
        """Release reserved bytes."""
        with self._lock:
            self._free += size


def _print(line: str) -> None:
    sys.stderr.write(f"{line}\n")

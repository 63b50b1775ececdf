"""Remembers the results of the requests to one back end, to explain a loss. Does no I/O."""

from __future__ import annotations

import math

from monitored_openai._exporter.delivery.retry import Failure, Reply, is_limited

_NOT_ALL_SENT = "not all sent in time"
_NO_ANSWER = "no answer in time"
_PATIENCE_SECONDS = 1.0
"""After this time without a reply, the reason for a loss is the waiting request, not an earlier failure."""
_LIMIT_SECONDS = 60.0
"""Twice the longest pause: while a limit sets the pace, at least one request in this time is refused."""


class RequestHistory:
    """The last outcome, the last refusal for a rate limit, and the age of a request without a reply."""

    def __init__(self) -> None:
        self._started_at: float | None = None
        self._ended_at: float | None = None
        self._has_answer = False
        self._failure = ""
        self._limit = ""
        self._limited_at = -math.inf
        self._limited_last = False

    def begin(self, now: float) -> None:
        """Note a request that starts at `now`, in monotonic seconds."""
        self._started_at, self._ended_at, self._has_answer = now, None, False

    def interrupt(self, now: float) -> None:
        """Note that a request without an outcome was cancelled. After an outcome, do nothing."""
        if self._ended_at is None:
            self._ended_at = now

    def end(self, outcome: Reply | Failure, now: float, error: str = "") -> None:
        """Note the outcome; `error` describes one without a reply."""
        self._ended_at, self._has_answer = now, True
        self._limited_last = is_limited(outcome)
        is_taken = isinstance(outcome, Reply) and outcome.is_success
        if self._limited_last:
            self._failure, self._limit, self._limited_at = "", str(outcome), now
        elif is_taken:
            self._failure = ""
        else:
            self._failure = f"{outcome}: {error}" if error else str(outcome)
            self._limited_at = -math.inf

    def undelivered(self, now: float) -> str:
        """Return why data is undelivered at `now`, as text for a log line; empty if nothing was sent."""
        if self._started_at is None:
            return ""
        limited = self._limited_last or now - self._limited_at < _LIMIT_SECONDS
        waited = (now if self._ended_at is None else self._ended_at) - self._started_at
        if not self._has_answer and (waited >= _PATIENCE_SECONDS or not (self._failure or limited)):
            return _NO_ANSWER
        if limited:
            return f"waiting for the back end's limit, {self._limit}"
        return self._failure or _NOT_ALL_SENT

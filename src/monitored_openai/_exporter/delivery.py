"""What to do with a batch after a try to deliver it: a pure state machine, reply and clock in, action out.

    queued -> in flight -> delivered
                        -> waiting (retry, or parked while the back end says that the settings are wrong) -> in flight
                        -> split in two halves -> queued
                        -> dropped, for a reason

A spool will stand between `queued` and `in flight`; nothing here depends on where a batch waits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

MOST_RETRY_SECONDS = 300.0
"""A batch without a spool is given up after this time of failures (the OpenTelemetry Collector's figure)."""
_FIRST_BACKOFF, _LONGEST_BACKOFF, _SHORTEST_WAIT = 0.5, 60.0, 0.1
_PARKED_SECONDS = 30.0
_SPLIT_AFTER = 3
"""Answers of 5xx in a row after which a batch is halved: Loki and Mimir answer 500 to a batch that is too large."""

_TRANSIENT = frozenset({408, 425, 429})
_NOT_IMPLEMENTED = 501
_MISCONFIGURED = frozenset({401, 403, 404, 405, 407})


class Failure(StrEnum):
    """How a try ended without an answer."""

    CONNECT = "no connection"
    """Nothing was sent."""
    LOST = "no answer"
    """Sent, at least in part; whether it was taken is not known."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a back end answered."""

    status: int
    retry_after: float | None = None
    """Seconds, as far as the header made sense."""
    excerpt: str = ""
    """The beginning of the body, fit for a log line."""

    @property
    def is_success(self) -> bool:
        """Prometheus says 204, Mimir 200."""
        return 200 <= self.status < 300

    def __str__(self) -> str:
        return f"HTTP {self.status} {self.excerpt}".rstrip()


class Action(StrEnum):
    """What becomes of a batch."""

    DELIVERED = "delivered"
    RETRY = "retry"
    SPLIT = "split"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Step:
    """An action, with the wait before a retry or the reason of a drop."""

    action: Action
    wait: float = 0.0
    at_least: float = 0.0
    """What the back end itself asked for; the rest of `wait` is ours to shorten."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """The failures of a batch so far."""

    failures: int = 0
    first_at: float = math.inf

    def after(self, now: float) -> Trouble:
        """With one more."""
        return Trouble(self.failures + 1, min(self.first_at, now))


def next_step(
    outcome: Reply | Failure, trouble: Trouble, *, now: float, divisible: bool, random: Callable[[], float]
) -> Step:
    """Decide on a batch after a try.

    `trouble` counts this failure already; `now` is monotonic seconds; `divisible`: the batch has more than one entry;
    `random` gives numbers from 0 to 1.
    """
    if isinstance(outcome, Failure):
        return _again(trouble, now, _backoff(trouble, random), "retry_exhausted")
    status = outcome.status
    if outcome.is_success:
        return Step(Action.DELIVERED)
    if status == 413 or (500 <= status != _NOT_IMPLEMENTED and divisible and trouble.failures >= _SPLIT_AFTER):
        return Step(Action.SPLIT) if divisible else Step(Action.DROP, reason="too_large")
    if status in _TRANSIENT or (status >= 500 and status != _NOT_IMPLEMENTED):
        at_least = outcome.retry_after or 0.0
        return _again(trouble, now, max(_backoff(trouble, random), at_least), "retry_exhausted", at_least)
    if status in _MISCONFIGURED or 300 <= status < 400:
        wait = min(_PARKED_SECONDS * 2.0 ** min(trouble.failures - 1, 4), MOST_RETRY_SECONDS)
        return _again(trouble, now, wait, "misconfigured")
    return Step(Action.DROP, reason="rejected")


def _again(trouble: Trouble, now: float, wait: float, reason: str, at_least: float = 0.0) -> Step:
    if now - trouble.first_at >= MOST_RETRY_SECONDS:
        return Step(Action.DROP, reason=reason)
    return Step(Action.RETRY, wait=wait, at_least=at_least)


def _backoff(trouble: Trouble, random: Callable[[], float]) -> float:
    """Full jitter below a bound that doubles with each failure."""
    bound = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(trouble.failures - 1, 10))
    return max(_SHORTEST_WAIT, random() * bound)

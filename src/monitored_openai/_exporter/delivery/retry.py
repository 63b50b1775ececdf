"""Decides the next step after each attempt to deliver a batch: a state machine without I/O.

    queued -> in flight -> delivered
       |      ^         -> waiting (retry, or parked while replies show that the settings are wrong) -> in flight
       v      |         -> behind the next one, which shows whether the back end takes anything -> in flight
       |      |         -> aside with a due time of its own, if a rate limit refuses one entry -> in flight
      spooled           -> split in two halves -> in flight, one after the other
       |                -> dropped, for a reason
       v
      evicted (`spool_full`), expired

A batch in the spool is retried until it expires there, a batch in memory for 5 minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus

from monitored_openai._exporter.delivery.causes import Cause, cause_of
from monitored_openai._stats import DropReason

MOST_RETRY_SECONDS = 300.0
"""A batch without a spool is dropped after this time of failures (the default of the OpenTelemetry Collector)."""
_FIRST_BACKOFF, _LONGEST_BACKOFF, _SHORTEST_WAIT = 0.5, 60.0, 0.1
_PARKED_SECONDS = 30.0
_SPLIT_AFTER = 3
"""Failures after which a 5xx reply halves a batch: Loki and Mimir reply 500 to a batch that is too large."""
_SPLIT_AFTER_LOST = 8
"""The same without a reply: one entry can cause this too, but an outage is more likely."""
_PROBE_EVERY = 4
"""Each time a batch that cannot be split has failed this often, another one goes first."""
_MAX_ISOLATED_FAILURES = 3
"""Failures of one entry, with another batch delivered in between, after which the entry itself is wrong."""

_TRANSIENT = frozenset({408, 425, 429})
_NOT_IMPLEMENTED, _TOO_LARGE, _LIMITED = 501, 413, 429
_MISCONFIGURED = frozenset({401, 403, 404, 405, 407})
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Failure(StrEnum):
    """How an attempt without a reply ended."""

    CONNECT = "no connection"
    """Nothing was sent."""
    LOST = "no answer"
    """Sent, at least in part; the back end may have accepted it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply of a back end."""

    status: int
    retry_after: float | None = None
    """Seconds that the reply demands; `None` without a valid header."""
    server_time: float | None = None
    """The back end's clock, in seconds since the epoch."""
    text: str = field(default="", repr=False)
    """The beginning of the body. It may quote content, in any form, and must not reach a log."""

    @property
    def is_success(self) -> bool:
        """True for a 2xx status: Prometheus replies 204, Mimir 200."""
        return 200 <= self.status < 300

    @property
    def cause(self) -> Cause | None:
        """The known cause of a refusal."""
        return None if self.is_success else cause_of(self.status, self.text)

    def __str__(self) -> str:
        """Return words for a log line, without any text of the reply."""
        phrase = f" {_PHRASES[self.status]}" if self.status in _PHRASES else ""
        return f"HTTP {self.status}{phrase}" + (f": {self.cause}" if self.cause else "")


class Action(StrEnum):
    """The decision on a batch after an attempt."""

    DELIVERED = "delivered"
    RETRY = "retry"
    SPLIT = "split"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Step:
    """An action, with the wait before the next request or the reason of a drop."""

    action: Action
    wait: float = 0.0
    at_least: float = 0.0
    """Seconds that the back end's limit or Retry-After demands; a flush may shorten the rest of `wait`."""
    reason: DropReason | None = None
    lets_next_go_first: bool = False
    """True if another batch goes first, to show whether the back end takes anything at all."""


@dataclass(frozen=True, slots=True)
class RetryState:
    """The failures of a batch so far."""

    failures: int = 0
    first_at: float = math.inf
    """Monotonic seconds of the first failure."""
    isolated_failures: int = 0
    """Failures of this batch, counted only if another batch was delivered since the previous failure."""
    delivered: int = 0
    """Number of other batches delivered up to the last failure."""
    rested: int = 0
    """Failures after a pause in which the limit's bucket has filled, because the exporter sent nothing."""

    def after(self, now: float, delivered: int = 0, *, rested: bool = False) -> RetryState:
        """Return the state after one more failure. `delivered`: other batches so far; `rested`: the bucket was full."""
        others = self.failures > 0 and delivered > self.delivered
        return RetryState(
            self.failures + 1,
            min(self.first_at, now),
            self.isolated_failures + others,
            delivered,
            self.rested + (rested and self.failures > 0),
        )


def is_limited(outcome: Reply | Failure) -> bool:
    """True if the back end refused the request for a rate limit."""
    return isinstance(outcome, Reply) and outcome.status == _LIMITED


def is_untouched(outcome: Reply | Failure) -> bool:
    """True if the back end has surely stored nothing of the request."""
    if isinstance(outcome, Failure):
        return outcome is Failure.CONNECT
    return outcome.status == _TOO_LARGE or _is_misconfigured(outcome.status)


def next_step(  # noqa: PLR0911 - one for each rule
    outcome: Reply | Failure,
    retry: RetryState,
    *,
    now: float,
    divisible: bool,
    random: Callable[[], float],
    durable: bool = False,
    pause: float | None = None,
    over_limit: bool = False,
    waits_in_turn: bool = True,
) -> Step:
    """Return the step that follows an attempt.

    `retry` counts this failure already; `now` is monotonic seconds; `divisible`: the batch has more than one entry;
    `random` returns numbers from 0 to 1; `durable`: the spool keeps the batch without a limit on tries; `pause`: seconds
    that a pacer demands before the next request; `over_limit`: the limit never lets this one entry pass;
    `waits_in_turn`: if the limit refuses one entry, others wait behind it.
    """
    if isinstance(outcome, Reply):
        if outcome.is_success:
            return Step(Action.DELIVERED, wait=pause or 0.0, at_least=pause or 0.0)
        if outcome.status == _TOO_LARGE:
            return Step(Action.SPLIT) if divisible else Step(Action.DROP, reason="too_large")
        if not (_is_transient(outcome.status) or _is_misconfigured(outcome.status)):
            return Step(Action.DROP, reason="rejected")
    if pause is not None and is_limited(outcome):
        exhausted = not durable and now - retry.first_at >= MOST_RETRY_SECONDS
        action = Action.DROP if over_limit or exhausted else Action.RETRY
        reason: DropReason = "over_limit" if over_limit else "retry_exhausted"
        others_first = action is Action.RETRY and not (divisible or waits_in_turn)
        return Step(action, pause, pause, reason if action is Action.DROP else None, others_first)
    batch_may_be_poison = _may_be_poison(outcome)
    if (
        batch_may_be_poison
        and divisible
        and retry.failures >= (_SPLIT_AFTER_LOST if outcome is Failure.LOST else _SPLIT_AFTER)
    ):
        return Step(Action.SPLIT)
    if batch_may_be_poison and retry.isolated_failures >= _MAX_ISOLATED_FAILURES:
        return Step(Action.DROP, reason="rejected")
    parked = isinstance(outcome, Reply) and _is_misconfigured(outcome.status)
    if not durable and now - retry.first_at >= MOST_RETRY_SECONDS:
        return Step(Action.DROP, reason="misconfigured" if parked else "retry_exhausted")
    if parked:
        wait = min(_PARKED_SECONDS * 2.0 ** min(retry.failures - 1, 4), MOST_RETRY_SECONDS)
        return Step(Action.RETRY, wait=wait)
    at_least = (outcome.retry_after or 0.0) if isinstance(outcome, Reply) else 0.0
    behind = batch_may_be_poison and not divisible and retry.failures % _PROBE_EVERY == 0
    # Soon, because Loki recognises a stored entry only as long as its newest block holds that entry.
    is_first_loss = outcome is Failure.LOST and retry.failures == 1
    wait = max(_SHORTEST_WAIT if is_first_loss else _backoff(retry, random), at_least)
    return Step(Action.RETRY, wait=wait, at_least=at_least, lets_next_go_first=behind)


def _is_transient(status: int) -> bool:
    return status in _TRANSIENT or (status >= 500 and status != _NOT_IMPLEMENTED)


def _may_be_poison(outcome: Reply | Failure) -> bool:
    """True if one entry may be the reason why the whole batch failed."""
    return outcome.status >= 500 if isinstance(outcome, Reply) else outcome is Failure.LOST


def _is_misconfigured(status: int) -> bool:
    return status in _MISCONFIGURED or 300 <= status < 400


def _backoff(retry: RetryState, random: Callable[[], float]) -> float:
    """Return a wait in seconds: full jitter below a bound that doubles with each failure."""
    bound = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(retry.failures - 1, 10))
    return max(_SHORTEST_WAIT, random() * bound)

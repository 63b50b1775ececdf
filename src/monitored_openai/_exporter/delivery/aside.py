"""Schedules the retries of log entries that a rate limit refuses although it accepts other entries.

Such an entry is put aside with its own due time. Only the smallest one is retried, after a rest in which the limit's
bucket fills: while the limit refuses the smallest, it refuses larger ones too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from monitored_openai._exporter.delivery.batch import Batch
    from monitored_openai._exporter.delivery.refusals import Acceptance

LONGEST_WAIT = 1.0
"""Seconds after which the queue looks again, if no entry can go."""
MAX_BYTES = 16 * 1024 * 1024
"""If the entries put aside have more bytes, the smallest is sent immediately: its refusal means that all are too large."""
_LEARNED = 2
"""After this number of refusals of one entry with a full bucket, the exporter knows that its size is too large."""


class Turn(NamedTuple):
    """The entry put aside that goes next; without one, the seconds until the queue looks again."""

    batch: Batch | None
    wait: float = LONGEST_WAIT
    rests: bool = False
    """True if no other entry may go in these seconds."""


def turn_of(aside: Sequence[Batch], acceptance: Acceptance, now: float, last_request_at: float) -> Turn:
    """Return the turn of the entries put aside; times are monotonic seconds."""
    known = next((batch for batch in aside if acceptance.is_known_over_limit(batch)), None)
    if known is not None:
        return Turn(known)
    smallest = min(aside, key=lambda batch: batch.size)
    due_at = smallest.due_at or 0.0
    if smallest.retry.rested < _LEARNED and sum(batch.size for batch in aside) > MAX_BYTES:
        due_at = now
    if now < due_at:
        return Turn(None, min(due_at - now, LONGEST_WAIT))
    rest = last_request_at + acceptance.rest(smallest) - now
    return Turn(None, rest, rests=True) if rest > 0 else Turn(smallest)


def goes_untried(batch: Batch, taken: Iterable[Batch], acceptance: Acceptance) -> bool:
    """True if `batch` waits without a try, because an entry put aside that is not larger tests the limit first."""
    if batch.due_at is not None or acceptance.is_known_over_limit(batch) or not acceptance.may_be_over_limit(batch):
        return False
    return any(other.due_at is not None and other.size <= batch.size for other in taken)


def return_smaller(taken: Iterable[Batch], accepted_bytes: int) -> None:
    """End the waits of the entries put aside that have at most `accepted_bytes`: the limit lets that size pass."""
    for batch in taken:
        if batch.due_at is not None and batch.size <= accepted_bytes:
            batch.due_at = None

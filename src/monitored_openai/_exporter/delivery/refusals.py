"""Learns from Loki's replies which size, pace and form of entries it accepts."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from monitored_openai._exporter.delivery.pacer import LONGEST_PAUSE, Pacer
from monitored_openai._exporter.delivery.reduced_entries import Form, Forms, refused_form
from monitored_openai._exporter.delivery.retry import (
    MOST_RETRY_SECONDS,
    Action,
    Failure,
    Reply,
    Step,
    is_limited,
    next_step,
)
from monitored_openai._logging import warn_sparsely

if TYPE_CHECKING:
    from monitored_openai._exporter.delivery.batch import Batch

_REFUSED = 400
_FULL_AGAIN_SECONDS = 600.0
"""Seconds between trials of the full form after a refusal, because the back end's limits may have changed."""
_FIRST_ASIDE = 0.5
"""Seconds for which an entry is put aside after its first refusal; doubled with each further one."""
_TRIES_AT_ONCE = 3
"""Refusals of one entry after which the next attempt waits until the bucket is surely full."""
_RESTS = 5
"""Minimum wait of an entry, as a multiple of the time in which the bucket fills for it."""
_LEARNED = 2
"""After this number of refusals of one entry with a full bucket, an entry of at least its size gets only one try."""
_CERTAIN = 3
"""Refusals of one entry with a full bucket after which it is dropped, if others pass."""


class Acceptance:
    """Learns from every reply, and prepares each batch accordingly."""

    def __init__(self, most_bytes: int) -> None:
        """`most_bytes`: size of the largest request."""
        self._pacer = Pacer(most_bytes)
        self._forms = Forms()
        self._few_labels = False
        self._full_again_at = math.inf
        """Monotonic seconds at which a batch goes in full again although the back end has refused that."""

    @property
    def most_bytes(self) -> int:
        """Maximum bytes of entries in the next request."""
        return self._pacer.size

    def prepare(self, batch: Batch, now: float) -> None:
        """Give the entries and labels of a batch the form that the back end accepts."""
        fresh = batch.sent_as_replay is None  # others keep their labels, so that the back end recognises them
        batch.is_trial = fresh and now >= self._full_again_at
        entries = [self._forms.fitting(entry) for entry in batch.entries]
        if fresh:
            batch.few_labels = self._few_labels and not batch.is_trial
        if batch.is_trial:
            first = next((i for i, entry in enumerate(entries) if entry is not batch.entries[i]), None)
            batch.tries_form = first is not None
            if first is not None:
                entries[first] = batch.entries[first]
            batch.is_trial = batch.tries_form or self._few_labels
        if batch.is_trial:
            self._full_again_at = now + _FULL_AGAIN_SECONDS
        batch.entries = entries

    def next_step(self, batch: Batch, outcome: Reply | Failure, now: float) -> Step:
        """Return the step that follows an attempt; `batch.retry` includes its failure already."""
        size, divisible = batch.size, len(batch.entries) > 1
        if isinstance(outcome, Reply) and outcome.is_success:
            self._pacer.accepts(size, now)
            self._learn_from_trial(batch)
        elif isinstance(outcome, Reply) and is_limited(outcome):
            self._slow_down(batch, now, outcome.retry_after or 0.0)
        elif (
            isinstance(outcome, Reply)
            and outcome.status == _REFUSED
            and (step := self._step_of_form(batch, outcome, now))
        ):
            return step
        step = next_step(
            outcome,
            batch.retry,
            now=now,
            divisible=divisible,
            random=random.random,
            durable=batch.file is not None,
            pause=self._pacer.pause(now),
            over_limit=not divisible and self._is_over_limit(batch, now),
            waits_in_turn=self._waits_in_turn(batch),
        )
        if step.reason == "over_limit":
            self._pacer.gives_up(size)
        return step

    @property
    def is_passing(self) -> bool:
        """True if the last request passed, not counting entries that never pass."""
        return self._pacer.is_passing

    def may_be_over_limit(self, batch: Batch) -> bool:
        """True if a batch is one entry, at least as large as one refused alone after a rest."""
        return len(batch.entries) == 1 and self._pacer.is_suspect(batch.size)

    def is_known_over_limit(self, batch: Batch) -> bool:
        """True if one more refusal drops the entry, because no entry of its size passes."""
        return self._pacer.is_too_large(batch.size) and batch.retry.rested < _LEARNED

    def rest(self, batch: Batch) -> float:
        """Return the seconds without a request that fill the limit's bucket for an entry put aside."""
        return self._pacer.rest(batch.size, surely=batch.retry.failures >= _TRIES_AT_ONCE)

    def has_rested(self, batch: Batch, seconds: float) -> bool:
        """True if `seconds` without a request filled the limit's bucket for this batch."""
        return seconds >= self._pacer.rest(batch.size)

    def aside_seconds(self, batch: Batch) -> float:
        """Return the seconds for which an entry is put aside: few until its size is the likely reason of refusals."""
        rest, retry = self.rest(batch), batch.retry
        if retry.rested:
            return max(LONGEST_PAUSE, _RESTS * rest)
        return max(min(_FIRST_ASIDE * 2.0 ** min(retry.failures - 1, 10), LONGEST_PAUSE), 2 * rest)

    def _slow_down(self, batch: Batch, now: float, retry_after: float) -> None:
        size, retry = batch.size, batch.retry
        if len(batch.entries) > 1:
            self._pacer.refuses(size, now, random=random.random, retry_after=retry_after)
        elif self._pacer.exceeds_passed(size):
            first = retry.failures == 1
            self._pacer.refuses_alone(size, now, random=random.random, first=first, retry_after=retry_after)
        else:
            self._pacer.refuses(size, now, random=random.random, alone=retry.failures, retry_after=retry_after)
        if len(batch.entries) == 1 and retry.failures > 1:
            self._pacer.refuses_again(size, is_certain=retry.rested >= _LEARNED)

    def _waits_in_turn(self, batch: Batch) -> bool:
        """True if others wait behind an entry that was refused alone, because it passes once the bucket is full."""
        if self._pacer.has_passed(batch.size):
            return batch.retry.rested < _CERTAIN
        return self._pacer.fills_soon(batch.size) and batch.retry.failures < 2

    def _is_over_limit(self, batch: Batch, now: float) -> bool:
        """True if the refusals so far show that the limit never lets this one entry pass."""
        retry = batch.retry
        if self.is_known_over_limit(batch) or (
            retry.rested >= _CERTAIN and retry.isolated_failures and not self._pacer.has_passed(batch.size)
        ):
            return True
        if now - retry.first_at < MOST_RETRY_SECONDS:
            return False
        alone = retry.rested > 0 and batch.file is None and not self._pacer.lets_nothing_pass
        return alone or retry.isolated_failures >= _CERTAIN

    def _learn_from_trial(self, batch: Batch) -> None:
        """Send everything in full again after a trial has passed."""
        if not batch.is_trial:
            return
        self._few_labels = False
        if batch.tries_form:
            self._forms.forget()
        if not self._forms.any_refused:
            self._full_again_at = math.inf

    def _step_of_form(self, batch: Batch, outcome: Reply, now: float) -> Step | None:
        """Return the step that sends the entries once in a smaller form; `None` if no smaller form is left."""
        form = refused_form(outcome.text)
        if form is None:
            return None
        warn_sparsely(f"loki {form}", "log entries are cut, because the back end refuses a part of them: %s", outcome)
        self._full_again_at = max(
            now + _FULL_AGAIN_SECONDS, 0 if math.isinf(self._full_again_at) else self._full_again_at
        )
        if form is Form.LABELS:
            again, self._few_labels, batch.few_labels = not batch.few_labels, True, True
            return Step(Action.RETRY) if again else None
        if len(batch.entries) > 1:
            return Step(Action.SPLIT)
        smaller = self._forms.refuse(batch.entries[0], outcome.text)
        if smaller is None or batch.reformed == form:
            return None
        batch.entries, batch.reformed = [smaller], form
        return Step(Action.RETRY)

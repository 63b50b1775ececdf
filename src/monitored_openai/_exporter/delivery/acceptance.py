"""The size, pace and form of entries that Loki accepts, as far as its answers have shown."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from monitored_openai._exporter.delivery.entry_forms import Form, Forms, refused_form
from monitored_openai._exporter.delivery.pacer import Pacer
from monitored_openai._exporter.delivery.retry import Action, Failure, Reply, Step, is_limited, next_step
from monitored_openai._logging import warn_sparsely

if TYPE_CHECKING:
    from monitored_openai._exporter.delivery.batch import Batch

_REFUSED = 400


class Acceptance:
    """Learns from every answer, and prepares every batch accordingly."""

    def __init__(self, most_bytes: int) -> None:
        """`most_bytes`: the largest request that is ever sent."""
        self._pacer = Pacer(most_bytes)
        self._forms = Forms()
        self._few_labels = False

    @property
    def most_bytes(self) -> int:
        """Bytes of entries that the next request may have."""
        return self._pacer.size

    def prepare(self, batch: Batch) -> None:
        """Give the entries and labels of a batch the form that the back end accepts."""
        batch.entries = [self._forms.fitting(entry) for entry in batch.entries]
        batch.few_labels = self._few_labels

    def next_step(self, batch: Batch, outcome: Reply | Failure, now: float) -> Step:
        """Decide on a batch after a try; `batch.retry` counts a failure already."""
        size, divisible = batch.size, len(batch.entries) > 1
        if isinstance(outcome, Reply) and outcome.is_success:
            self._pacer.accepts(size, now)
        elif isinstance(outcome, Reply) and is_limited(outcome):
            alone = 0 if divisible else batch.retry.failures
            wish = outcome.retry_after or 0.0
            self._pacer.refuses(size, now, random=random.random, alone=alone, retry_after=wish)
        elif isinstance(outcome, Reply) and outcome.status == _REFUSED and (step := self._step_of_form(batch, outcome)):
            return step
        step = next_step(
            outcome,
            batch.retry,
            now=now,
            divisible=divisible,
            random=random.random,
            durable=batch.file is not None,
            pause=self._pacer.pause(now),
            hopeless=self._pacer.never_passes(size),
        )
        if step.reason == "over_limit":
            self._pacer.gives_up(size)
        return step

    def _step_of_form(self, batch: Batch, outcome: Reply) -> Step | None:
        """Send entries that were refused for their form in another one, each once; `None` if there is none left."""
        form = refused_form(outcome.text)
        if form is None:
            return None
        warn_sparsely(f"loki {form}", "log entries go with a part cut off, as the back end refuses it: %s", outcome)
        if form is Form.LABELS:
            again, self._few_labels = not batch.few_labels, True
            return Step(Action.RETRY) if again else None
        if len(batch.entries) > 1:
            return Step(Action.SPLIT)
        smaller = self._forms.refuse(batch.entries[0], outcome.text)
        if smaller is None or batch.reformed == form:
            return None
        batch.entries, batch.reformed = [smaller], form
        return Step(Action.RETRY)

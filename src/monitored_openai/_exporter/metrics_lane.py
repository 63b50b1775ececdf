"""Metrics to Prometheus: the present value of every series, again and again, so that a lost push loses nothing.

Rules that keep a total exact and the back end content:
- A counter is born with a zero at the time of the push before, so that `rate` and `increase` see its first value.
- No timestamp is repeated or goes back, and an older payload never follows a newer one.
- When no answer came and so it is not known whether a payload arrived, the same bytes go once more, which the back end
  takes as one; after that its zeros count as sent, as they would be out of order if they had been.
- A payload that is refused (400) goes once more as the newest values alone.
- A payload that exceeds a limit of volume (429) goes in smaller parts, at the pace that the limit allows. If a push
  takes longer than the interval, the next one begins with the series that this one has left.
- A gauge that is no longer there is withdrawn by a stale marker, until one has arrived.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, islice
from typing import TYPE_CHECKING, NamedTuple

from monitored_openai._exporter.delivery import Action, Failure, Reply, Step, Trouble, is_limited, next_step
from monitored_openai._exporter.pacer import Pacer
from monitored_openai._log import warn_sparsely

if TYPE_CHECKING:
    from monitored_openai._exporter.intake import Intake
    from monitored_openai._exporter.protocol import Protocol
    from monitored_openai._exporter.rest import Rest
    from monitored_openai._exporter.sender import Sender
    from monitored_openai._exporter.urgency import Urgency
    from monitored_openai._metrics import Labels, Sample

MOST_SERIES = 2000
"""Series in one request; Prometheus itself sends as many samples."""
_MOST_SAMPLES = 2 * MOST_SERIES
"""In one request: a series that is born has two."""
_REFUSED = 400
_LONGEST_LOOK_BACK_MS = 60_000
_MOST_AHEAD_MS = 600_000
"""Prometheus 2.42 takes a sample from further in the future, and then refuses everybody's present ones."""


class _Point(NamedTuple):
    """A series as it goes into a push: its labels encoded, its present value, `None` when it is to be withdrawn."""

    labels: bytes
    value: float | None
    cumulative: bool


class TotalsPart(NamedTuple):
    """The body of a push of metrics, and the same without the zeros with which series are born."""

    body: bytes
    without_births: bytes | None


class MetricsLane:
    """What has been pushed so far, and the pushing of the rest."""

    def __init__(
        self,
        intake: Intake,
        sender: Sender,
        urgency: Urgency,
        *,
        protocol: Protocol,
        samples: Callable[[], list[Sample]],
        labels: Mapping[str, str],
        interval: float,
        phase: float,
        rest: Rest,
        timed: Callable[[float], None],
    ) -> None:
        """`labels` go on every series; the pushes are `interval` seconds apart, the first comes after `phase`.

        `rest` paces the pushes, and ends them while nothing can change the totals.
        """
        self.on_push: Callable[[], Callable[[bool], None]] | None = None
        """Called when the present state goes out; what it gives hears whether the back end has taken that."""
        self._intake = intake
        self._sender = sender
        self._urgency = urgency
        self._protocol = protocol
        self._samples = samples
        self._own_labels = tuple(labels.items())
        self._interval = interval
        self._phase = phase
        self._rest = rest
        self._timed = timed
        self._encoded: dict[tuple[str, Labels], bytes] = {}
        self._born: set[bytes] = set()
        self._shown: set[bytes] = set()
        self._being_born: set[bytes] = set()
        """In the request under way, which may have arrived already."""
        self._left: frozenset[bytes] = frozenset()
        """Series that the last push did not come to."""
        self._pacer = Pacer(_MOST_SAMPLES)
        self._last_ms = 0
        self._not_before = 0.0
        self._trouble = Trouble()
        self._not_for_others_before = 0.0
        self._trouble_of_others = Trouble()
        self._pushing = asyncio.Lock()

    def goes_on_from(self, before: MetricsLane) -> None:
        """What another lane has pushed counts as pushed by this one."""
        self._born, self._shown, self._last_ms = before._born, before._shown, before._last_ms
        self._pacer = before._pacer

    async def run(self) -> None:
        """Push at every interval, for ever; sooner again after a failure, not while the handle rests."""
        wait = self._phase
        while True:
            await self._rest.pause(wait)
            step = await self.push()
            self._rest.pushed(taken=step.action is Action.DELIVERED)
            wait = min(step.wait, self._interval) if step.action is Action.RETRY else self._interval

    @property
    def failure(self) -> str:
        """How the last request failed, in words for a log line; empty after a success."""
        return self._sender.failure

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sender.aclose()

    async def flush(self) -> bool:
        """Push now, and again until the back end has taken it or refused it; whether it has taken it."""
        while (step := await self.push()).action is Action.RETRY:
            await self._urgency.back_off(step.wait, step.at_least)
        return step.action is Action.DELIVERED

    async def push(self) -> Step:
        """Push the present state once, as soon as the back end allows it."""
        async with self._pushing:
            await asyncio.sleep(self._not_before - time.monotonic())
            hears = self.on_push() if self.on_push is not None else None
            outcome = await self._push_all()
            now = self._heed(outcome)
        is_taken = isinstance(outcome, Reply) and outcome.is_success
        if is_taken:
            self._trouble = self._trouble_of_others = Trouble()
            self._not_for_others_before = 0.0
            self._intake.pushed()
        else:
            self._trouble = self._trouble.after(now)
            self._intake.failed_to_push()
            warn_sparsely("push", "metrics could not be pushed; the next push makes up for it: %s", outcome)
        if hears is not None:
            hears(is_taken)
        return next_step(outcome, self._trouble, now=now, divisible=False, random=random.random)

    def snapshot(self) -> list[TotalsPart]:
        """What somebody else is to push if this process does not live to do so: the counters, without the gauges."""
        points = (point for point in self._points() if point.cumulative)
        now_ms = max(time.time_ns() // 1_000_000, self._last_ms + 1)
        born_ms = self._born_at(now_ms)
        parts: list[TotalsPart] = []
        while part := list(islice(points, max(1, self._pacer.size // 2))):
            births = self._births(part) - self._being_born
            alone = self._encode(part, set(), born_ms, now_ms) if births else None
            parts.append(TotalsPart(self._encode(part, births, born_ms, now_ms), alone))
        return parts

    async def push_for_another(self, parts: Sequence[TotalsPart]) -> bool:
        """Push what another process could not any more; whether there is nothing left to try.

        What is refused is older than what that process itself has pushed, or too old for the back end. Does nothing
        while the back end is to be left in peace.
        """
        for part in parts:
            async with self._pushing:
                if time.monotonic() < max(self._not_before, self._not_for_others_before):
                    return False
                outcome = await self._post(part.body)
                if isinstance(outcome, Reply) and outcome.status == _REFUSED and part.without_births is not None:
                    outcome = await self._post(part.without_births)
                now = self._heed(outcome)
            trouble = self._trouble_of_others.after(now)
            step = next_step(outcome, trouble, now=now, divisible=False, patient=True, random=random.random)
            if step.action is Action.RETRY:
                self._trouble_of_others, self._not_for_others_before = trouble, now + step.wait
                return False
            if step.action is Action.DROP:
                self._intake.refused_totals()
                warn_sparsely("totals refused", "totals of a process that has ended were refused: %s", outcome)
        return True

    def _heed(self, outcome: Reply | Failure) -> float:
        """Leave the back end in peace for as long as it asks for; the time now."""
        now = time.monotonic()
        if isinstance(outcome, Reply) and outcome.retry_after is not None:
            self._not_before = now + outcome.retry_after
        return now

    async def _push_all(self) -> Reply | Failure:
        points = sorted(self._points(), key=lambda point: point.labels not in self._left)
        born_ms, now_ms = self._tick()
        if now_ms - time.time_ns() // 1_000_000 > _MOST_AHEAD_MS:
            warn_sparsely(
                "clock", "the clock went back by more than 10 minutes; no metrics are pushed until it is past that"
            )
            return Failure.CONNECT
        outcome: Reply | Failure = Reply(204)
        until = time.monotonic() + self._interval
        while points:
            await asyncio.sleep(self._pacer.pause(time.monotonic()))
            part = self._part(points)
            replied = await self._push_part(part, born_ms, now_ms)
            if is_limited(replied) and time.monotonic() + self._pacer.pause(time.monotonic()) < until:
                warn_sparsely("push limit", "metrics exceed a limit; they go on in smaller requests: %s", replied)
                continue
            self._left = frozenset(point.labels for point in points)
            if isinstance(replied, Failure) or (not replied.is_success and replied.status != _REFUSED):
                return replied
            points = points[len(part) :]
            if not replied.is_success:
                outcome = replied  # refused for good; the other parts still have their chance
        self._left = frozenset()
        return outcome

    def _part(self, points: Sequence[_Point]) -> Sequence[_Point]:
        """The first points, as many as one request may bring, at least one."""
        births = self._births(points)
        samples = accumulate(1 + (point.labels in births) for point in points[:MOST_SERIES])
        return points[: max(1, sum(number <= self._pacer.size for number in samples))]

    def _learn(self, part: Sequence[_Point], births: set[bytes], outcome: Reply | Failure) -> None:
        """Let the pacer know what came of a request."""
        size, now = len(part) + len(births), time.monotonic()
        if isinstance(outcome, Reply) and outcome.is_success:
            self._pacer.accepts(size, now)
        elif isinstance(outcome, Reply) and is_limited(outcome):
            alone = self._trouble.failures + 1 if len(part) == 1 else 0
            wish = outcome.retry_after or 0.0
            self._pacer.refuses(size, now, random=random.random, alone=alone, retry_after=wish)

    def _points(self) -> list[_Point]:
        """Every series there is, and the gauges that have gone since the back end was told of them."""
        points = [_Point(self._labels_of(sample), sample.value, sample.cumulative) for sample in self._samples()]
        gone = self._shown.difference(point.labels for point in points)
        return points + [_Point(labels, value=None, cumulative=False) for labels in gone]

    async def _push_part(self, part: Sequence[_Point], born_ms: int, now_ms: int) -> Reply | Failure:
        births = self._births(part)
        body = self._encode(part, births, born_ms, now_ms)
        may_be_stored = True  # also when a flush that ran out of time cancels this
        self._being_born = births
        try:
            outcome = await self._post(body)
            if outcome is Failure.LOST:
                outcome = await self._post(body)
            else:
                may_be_stored = isinstance(outcome, Reply) and (outcome.is_success or outcome.status == _REFUSED)
        finally:
            self._being_born = set()
            if may_be_stored:
                self._born.update(births)
                self._shown.update(point.labels for point in part if not point.cumulative)
        if births and isinstance(outcome, Reply) and outcome.status == _REFUSED:
            births = set()
            outcome = await self._post(self._encode(part, births, *self._tick()))
        self._learn(part, births, outcome)
        if isinstance(outcome, Reply) and outcome.is_success:
            self._shown.difference_update(point.labels for point in part if point.value is None)
        return outcome

    async def _post(self, body: bytes) -> Reply | Failure:
        started = time.monotonic()
        outcome = await self._sender.post(body, self._protocol.headers)
        self._timed(time.monotonic() - started)
        return outcome

    def _encode(self, part: Sequence[_Point], births: set[bytes], born_ms: int, now_ms: int) -> bytes:
        return self._protocol.encode_push(
            self._protocol.encode_series(
                point.labels,
                [(0.0, born_ms), (point.value, now_ms)] if point.labels in births else [(point.value, now_ms)],
            )
            for point in part
        )

    def _births(self, part: Sequence[_Point]) -> set[bytes]:
        return {point.labels for point in part if point.cumulative and point.labels not in self._born}

    def _labels_of(self, sample: Sample) -> bytes:
        key = (sample.name, sample.labels)
        encoded = self._encoded.get(key)
        if encoded is None:
            encoded = self._protocol.encode_labels(sample.name, (*self._own_labels, *sample.labels))
            self._encoded[key] = encoded
        return encoded

    def _tick(self) -> tuple[int, int]:
        """The time of births, which is that of the push before as far as it is near, and the time of this push."""
        wall_ms = time.time_ns() // 1_000_000
        now_ms = max(wall_ms, self._last_ms + 1)
        born_ms = self._born_at(now_ms)
        self._last_ms = now_ms
        return born_ms, now_ms

    def _born_at(self, now_ms: int) -> int:
        before_ms = self._last_ms or now_ms - int(self._interval * 1000)
        return max(before_ms, now_ms - _LONGEST_LOOK_BACK_MS)

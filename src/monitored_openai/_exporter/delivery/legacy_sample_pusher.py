"""One sample per call, in the predecessor's series: each goes out once, in the order of time, or is given up.

Rules beside those of delivery:
- Each sample of a series has a millisecond of its own, later than the one before: Prometheus keeps one per millisecond.
- A batch goes out as the same bytes until it is taken or refused, and the next one only then: samples cannot be made
  good by later ones, as counters are, and an older one after a newer one would be refused.
- A batch that is refused after an answer was lost may well have arrived: it is counted as `unconfirmed`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from monitored_openai._exporter.delivery.pacer import Pacer
from monitored_openai._exporter.delivery.retry import Action, Failure, Reply, RetryState, Step, is_limited, next_step
from monitored_openai._logging import warn_sparsely
from monitored_openai._metrics.store import OTHER

if TYPE_CHECKING:
    from monitored_openai._exporter.delivery.flush_gate import FlushGate
    from monitored_openai._exporter.delivery.http import Sender
    from monitored_openai._exporter.encoders.protocols import Protocol
    from monitored_openai._exporter.ledger import SampleBooks
    from monitored_openai._legacy_series import CallSamples

MOST_SAMPLES = 2000
"""Samples in one request."""
MOST_WAITING = 50_000
"""Samples kept in memory; those of one more call are lost and counted."""
_MOST_AHEAD_MS = 600_000
"""Prometheus 2.42 takes a sample from further in the future, and then refuses everybody's present ones."""


class Point(NamedTuple):
    """A sample, and the encoded labels of its series."""

    labels: bytes
    value: float
    milliseconds: int


class LegacySamplePusher:
    """The samples that wait, and the one request under way."""

    def __init__(
        self,
        books: SampleBooks,
        sender: Sender,
        urgency: FlushGate,
        *,
        protocol: Protocol,
        labels: Mapping[str, str],
        max_models: int,
        interval: float,
        timed: Callable[[float], None],
    ) -> None:
        """`labels` go on every series; past `max_models` models, further ones are `other`; `interval` in seconds."""
        self._books = books
        self._sender = sender
        self._urgency = urgency
        self._protocol = protocol
        self._own_labels = labels
        self._max_models = max_models
        self._interval = interval
        self._timed = timed
        self._encoded: dict[tuple[str, str], dict[str, bytes]] = {}
        self._last_ms: dict[tuple[str, str], int] = {}
        self._waiting: deque[Point] = deque()
        self._under_way: Sequence[Point] = ()
        self._pacer = Pacer(MOST_SAMPLES)
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, call: CallSamples, at_ns: int) -> None:
        """Queue what a call brings, at the time of its end."""
        number = len(call.values)
        self._books.makes(number)
        if len(self._waiting) + number > MOST_WAITING:
            return self._books.drops(number, "queue_full")
        of = self._admitted(call.source, call.model)
        at_ms = at_ns // 1_000_000
        milliseconds = max(at_ms, self._last_ms.get(of, 0) + 1)
        if milliseconds - at_ms > _MOST_AHEAD_MS:
            return self._books.drops(number, "clock")
        self._last_ms[of] = milliseconds
        self._waiting.extend(
            Point(self._labels_of(of, name), value, milliseconds) for name, value in call.values.items()
        )
        self._idle.clear()
        self._some.set()
        if len(self._waiting) >= MOST_SAMPLES:
            self._enough.set()
        return None

    def goes_on_from(self, before: LegacySamplePusher) -> None:
        """Take over what waits in a lane whose loop is gone, and what was on its way."""
        self._encoded, self._last_ms, self._pacer = before._encoded, before._last_ms, before._pacer
        self._waiting.extend((*before._under_way, *before._waiting))
        if self._waiting:
            self._idle.clear()
            self._some.set()

    @property
    def failure(self) -> str:
        """How the last request failed, in words for a log line; empty after a success."""
        return self._sender.failure

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sender.aclose()

    async def idle(self) -> None:
        """Wait until nothing waits."""
        await self._idle.wait()

    async def run(self) -> None:
        """Deliver, for ever."""
        while True:
            await self._some.wait()
            await self._urgency.linger(self._interval, until=self._enough)
            self._under_way = self._take()
            try:
                await self._deliver(self._under_way)
            except Exception:
                self._books.drops(len(self._under_way), "fault")
                self._under_way = ()
                raise
            finally:
                if not self._waiting:
                    self._some.clear()
                    self._idle.set()

    def _admitted(self, source: str, model: str) -> tuple[str, str]:
        of = (source, model)
        return of if of in self._encoded or len(self._encoded) < self._max_models else (source, OTHER)

    def _labels_of(self, of: tuple[str, str], name: str) -> bytes:
        series = self._encoded.setdefault(of, {})
        if name not in series:
            source, model = of
            labels = {**self._own_labels, "source": source, "model": model}
            series[name] = self._protocol.encode_labels(name, labels.items())
        return series[name]

    def _take(self) -> list[Point]:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_SAMPLES))]
        if len(self._waiting) < MOST_SAMPLES:
            self._enough.clear()
        return batch

    async def _deliver(self, batch: Sequence[Point]) -> None:
        """Bring one batch to its end, in requests that the limit of the back end lets pass."""
        while batch:
            part = batch[: self._pacer.size]
            if await self._deliver_part(part):
                batch = batch[len(part) :]

    async def _deliver_part(self, part: Sequence[Point]) -> bool:
        """Bring one request's samples to their end, as a whole or in halves; false if a limit wants fewer of them."""
        body = self._encode(part)
        trouble, lost = RetryState(), False
        while True:
            started = time.monotonic()
            outcome = await self._sender.post(body, self._protocol.headers)
            now = time.monotonic()
            self._timed(now - started)
            lost = lost or outcome is Failure.LOST
            if not (isinstance(outcome, Reply) and outcome.is_success):
                trouble = trouble.after(now)
            step = self._next_step(len(part), outcome, trouble, now)
            if step.action is Action.RETRY:
                warn_sparsely("samples retry", "samples of calls could not be delivered yet: %s", outcome)
            elif step.action is not Action.SPLIT:
                self._ends(len(part), step, outcome, lost=lost)
            if step.wait:
                await self._urgency.back_off(step.wait, step.at_least)
            if step.action is Action.SPLIT:
                middle = len(part) // 2
                await self._deliver(part[:middle])
                await self._deliver(part[middle:])
            if step.action is not Action.RETRY:
                return True
            if is_limited(outcome) and not lost and len(part) > self._pacer.size:
                return False

    def _next_step(self, samples: int, outcome: Reply | Failure, trouble: RetryState, now: float) -> Step:
        if isinstance(outcome, Reply) and outcome.is_success:
            self._pacer.accepts(samples, now)
        elif isinstance(outcome, Reply) and is_limited(outcome):
            alone = trouble.failures if samples == 1 else 0
            wish = outcome.retry_after or 0.0
            self._pacer.refuses(samples, now, random=random.random, alone=alone, retry_after=wish)
        pause = self._pacer.pause(now)
        return next_step(outcome, trouble, now=now, divisible=samples > 1, random=random.random, pause=pause)

    def _ends(self, samples: int, step: Step, outcome: Reply | Failure, *, lost: bool) -> None:
        self._under_way = self._under_way[samples:]
        if step.action is Action.DELIVERED:
            return self._books.delivers(samples)
        reason = "unconfirmed" if lost else step.reason or "fault"
        warn_sparsely(f"samples {reason}", "%d samples of calls given up (%s): %s", samples, reason, outcome)
        return self._books.drops(samples, reason)

    def _encode(self, batch: Sequence[Point]) -> bytes:
        series: dict[bytes, list[tuple[float | None, int]]] = {}
        for point in batch:
            series.setdefault(point.labels, []).append((point.value, point.milliseconds))
        return self._protocol.encode_push(
            self._protocol.encode_series(labels, samples) for labels, samples in series.items()
        )

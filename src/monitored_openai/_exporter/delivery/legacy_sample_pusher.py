"""Pushes one sample per call for each of the predecessor's series, in the order of time.

Rules in addition to those in `retry`:
- A batch is sent as the same bytes until the back end accepts or refuses it. Only then does the next one go: unlike
  counters, later samples cannot make up for lost ones, and the back end refuses older samples after newer ones.
- A batch that the back end refuses after a lost answer has probably arrived: it counts as `unconfirmed`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from monitored_openai._exporter.delivery.retry import Action, Failure, Reply, RetryState, Step, is_limited, next_step
from monitored_openai._exporter.delivery.sample_queue import MAX_SAMPLES
from monitored_openai._logging import warn_sparsely

if TYPE_CHECKING:
    from monitored_openai._exporter.delivery.flush_gate import FlushGate
    from monitored_openai._exporter.delivery.http import Sender
    from monitored_openai._exporter.delivery.sample_queue import SamplePoint, SampleQueue
    from monitored_openai._legacy_series import CallSamples


class LegacySamplePusher:
    """Sends the samples that wait, one request at a time."""

    def __init__(
        self,
        queue: SampleQueue,
        sender: Sender,
        flush_gate: FlushGate,
        *,
        interval: float,
        time_request: Callable[[float], None],
    ) -> None:
        """`interval`: seconds between pushes; `time_request` takes the seconds of each request."""
        self._queue = queue
        self._sender = sender
        self._flush_gate = flush_gate
        self._interval = interval
        self._time_request = time_request
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        queue.put_back()
        if queue:
            self._some.set()
            self._idle.clear()

    def add(self, call: CallSamples, at_ns: int) -> None:
        """Queue the samples of a call, at the time of its end."""
        if self._queue.add(call, at_ns):
            self._idle.clear()
            self._some.set()
            if len(self._queue) >= MAX_SAMPLES:
                self._enough.set()

    @property
    def failure(self) -> str:
        """Why samples are undelivered, as text for a log line; empty if nothing was sent."""
        return self._sender.failure

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sender.aclose()

    async def idle(self) -> None:
        """Wait until no sample waits."""
        await self._idle.wait()

    async def run(self) -> None:
        """Deliver samples forever."""
        while True:
            await self._some.wait()
            await self._flush_gate.wait(self._interval, until=self._enough)
            batch = self._queue.take()
            if len(self._queue) < MAX_SAMPLES:
                self._enough.clear()
            try:
                await self._deliver(batch)
            except Exception:
                self._queue.drop("fault")
                raise
            finally:
                if not self._queue:
                    self._some.clear()
                    self._idle.set()

    async def _deliver(self, batch: Sequence[SamplePoint]) -> None:
        """Deliver or drop one batch, in requests of the size that the rate limit allows."""
        while batch:
            part = batch[: self._queue.pacer.size]
            if await self._deliver_part(part):
                batch = batch[len(part) :]

    async def _deliver_part(self, part: Sequence[SamplePoint]) -> bool:
        """Deliver or drop one request's samples, whole or in halves; false if a limit demands a smaller request."""
        body = self._queue.encode(part)
        retry, lost = RetryState(), False
        while True:
            started = time.monotonic()
            outcome = await self._sender.post(body, self._queue.protocol.headers)
            now = time.monotonic()
            self._time_request(now - started)
            lost = lost or outcome is Failure.LOST
            if not (isinstance(outcome, Reply) and outcome.is_success):
                retry = retry.after(now)
            step = self._next_step(len(part), outcome, retry, now)
            if step.action is Action.RETRY:
                warn_sparsely("samples retry", "legacy samples could not be delivered yet: %s", outcome)
            elif step.action is not Action.SPLIT:
                self._finish(len(part), step, outcome, lost=lost)
            if step.wait:
                await self._flush_gate.back_off(step.wait, step.at_least)
            if step.action is Action.SPLIT:
                middle = len(part) // 2
                await self._deliver(part[:middle])
                await self._deliver(part[middle:])
            if step.action is not Action.RETRY:
                return True
            if is_limited(outcome) and not lost and len(part) > self._queue.pacer.size:
                return False

    def _next_step(self, samples: int, outcome: Reply | Failure, retry: RetryState, now: float) -> Step:
        pacer = self._queue.pacer
        if isinstance(outcome, Reply) and outcome.is_success:
            pacer.accepts(samples, now)
        elif isinstance(outcome, Reply) and is_limited(outcome):
            alone = retry.failures if samples == 1 else 0
            pacer.refuses(samples, now, random=random.random, alone=alone, retry_after=outcome.retry_after or 0.0)
        pause = pacer.pause(now)
        return next_step(outcome, retry, now=now, divisible=samples > 1, random=random.random, pause=pause)

    def _finish(self, samples: int, step: Step, outcome: Reply | Failure, *, lost: bool) -> None:
        if step.action is Action.DELIVERED:
            self._queue.delivered(samples)
            return
        reason = "unconfirmed" if lost else step.reason or "fault"
        warn_sparsely(f"samples {reason}", "%d legacy samples dropped (%s): %s", samples, reason, outcome)
        self._queue.drop(reason, samples)

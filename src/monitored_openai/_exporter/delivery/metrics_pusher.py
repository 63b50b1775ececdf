"""Pushes the current value of every series at each interval; after a failed push, the next one has all data.

Rules that keep totals exact and avoid refusals, in addition to those in `series`:
- An older payload never follows a newer one.
- Without a reply, the same bytes are sent once more, and the back end stores them once. No later push repeats their
  zeros: the back end may have stored them, and would then refuse them as out of order.
- A refused payload (400) is sent once more as the newest values alone.
- A payload that exceeds a rate limit (429) is sent in smaller parts, at the pace that the limit allows. If a push takes
  longer than the interval, the next one begins with the series that it left out.
- A series that the back end refuses for a limit even in its own request is left out, and goes last in the next push.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from monitored_openai._exporter.delivery.refused_series import RefusedSeries
from monitored_openai._exporter.delivery.retry import Action, Failure, Reply, RetryState, Step, is_limited, next_step
from monitored_openai._logging import warn_sparsely

if TYPE_CHECKING:
    from monitored_openai._exporter.delivery.flush_gate import FlushGate
    from monitored_openai._exporter.delivery.http import Sender
    from monitored_openai._exporter.delivery.series import Point, PushedSeries
    from monitored_openai._exporter.idle import Rest
    from monitored_openai._exporter.ledger import DeliveryLedger
    from monitored_openai._exporter.spool.snapshots import SnapshotKeeper
    from monitored_openai._exporter.values import CounterSnapshot

_REFUSED = 400
MAX_AHEAD_MS = 600_000
"""Prometheus 2.42 accepts samples from further in the future, and then refuses the current samples of all senders."""


class MetricsPusher:
    """Pushes the series of this process, and the counters that ended processes left in the spool."""

    def __init__(
        self,
        series: PushedSeries,
        ledger: DeliveryLedger,
        sender: Sender,
        flush_gate: FlushGate,
        *,
        keeper: SnapshotKeeper | None,
        phase: float,
        rest: Rest,
        time_request: Callable[[float], None],
    ) -> None:
        """`phase`: seconds before the first push; `time_request` takes the seconds of each request.

        `keeper` learns the result of each push; `rest` paces the pushes, and pauses them while nothing can change the
        totals.
        """
        self._series = series
        self._ledger = ledger
        self._sender = sender
        self._flush_gate = flush_gate
        self._keeper = keeper
        self._phase = phase
        self._rest = rest
        self._time_request = time_request
        self._left: frozenset[bytes] = frozenset()
        """Series that the last push did not reach."""
        self._refused: AbstractSet[bytes] = frozenset()
        """Series that the last push left out, because the back end refused them alone for a limit."""
        self._not_before = 0.0
        self._retry = RetryState()
        self._snapshots_not_before = 0.0
        self._snapshot_retry = RetryState()
        self._pushing = asyncio.Lock()

    async def run(self) -> None:
        """Push at every interval forever: sooner after a failure, not at all while the handle rests."""
        wait = self._phase
        while True:
            await self._rest.pause(wait)
            step = await self.push()
            self._rest.pushed(taken=step.action is Action.DELIVERED)
            interval = self._series.interval
            wait = min(step.wait, interval) if step.action is Action.RETRY else interval

    @property
    def failure(self) -> str:
        """Why totals are undelivered, as text for a log line; empty if nothing was sent."""
        return self._sender.failure

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sender.aclose()

    async def flush(self) -> bool:
        """Push, with retries, until the back end has accepted or refused the totals; true if it has accepted them."""
        while (step := await self.push()).action is Action.RETRY:
            await self._flush_gate.back_off(step.wait, step.at_least)
        return step.action is Action.DELIVERED

    async def push(self) -> Step:
        """Push the current totals once, as soon as the back end allows it."""
        async with self._pushing:
            await asyncio.sleep(self._not_before - time.monotonic())
            folded = self._ledger.stats().folded
            outcome = await self._push_all()
            now = self._respect_retry_after(outcome)
        is_taken = isinstance(outcome, Reply) and outcome.is_success
        self._ledger.record_push(taken=is_taken)
        if is_taken:
            self._retry = self._snapshot_retry = RetryState()
            self._snapshots_not_before = 0.0
        else:
            self._retry = self._retry.after(now)
            warn_sparsely("push", "metrics could not be pushed; the next push includes the same totals: %s", outcome)
        if self._keeper is not None:
            self._keeper.on_result(folded, taken=is_taken)
        if is_limited(outcome) and self._refused:
            return Step(Action.DROP)  # the others are delivered; the refused series go last in the next push
        return next_step(outcome, self._retry, now=now, divisible=False, random=random.random)

    async def push_snapshots(self, snapshots: Sequence[CounterSnapshot]) -> bool:
        """Push the counters of an ended process; true if nothing is left to try.

        The back end refuses counters that are older than the last push of that process, or too old. During a pause that
        the back end demands, this does nothing and returns false.
        """
        for snapshot in snapshots:
            async with self._pushing:
                if time.monotonic() < max(self._not_before, self._snapshots_not_before):
                    return False
                outcome = await self._post(snapshot.body)
                if isinstance(outcome, Reply) and outcome.status == _REFUSED and snapshot.without_births is not None:
                    outcome = await self._post(snapshot.without_births)
                now = self._respect_retry_after(outcome)
            retry = self._snapshot_retry.after(now)
            step = next_step(outcome, retry, now=now, divisible=False, durable=True, random=random.random)
            if step.action is Action.RETRY:
                self._snapshot_retry, self._snapshots_not_before = retry, now + step.wait
                return False
            if step.action is Action.DROP:
                self._ledger.record_refused_snapshot()
                warn_sparsely("totals refused", "totals of a process that has ended were refused: %s", outcome)
        return True

    def _respect_retry_after(self, outcome: Reply | Failure) -> float:
        """Note the pause that the back end demands, and return the current monotonic seconds."""
        now = time.monotonic()
        if isinstance(outcome, Reply) and outcome.retry_after is not None:
            self._not_before = now + outcome.retry_after
        return now

    async def _push_all(self) -> Reply | Failure:
        series = self._series
        present = sorted(series.points(), key=lambda point: point.labels not in self._left)
        points = [point for point in present if point.labels not in self._refused]
        last = [point for point in present if point.labels in self._refused]
        refused = RefusedSeries()
        born_ms, now_ms = series.tick()
        if now_ms - time.time_ns() // 1_000_000 > MAX_AHEAD_MS:
            warn_sparsely(
                "clock", "the clock went back by more than 10 minutes; no metrics are pushed until it has caught up"
            )
            return Failure.CONNECT
        outcome: Reply | Failure = Reply(204)
        until = time.monotonic() + series.interval
        while points or last:
            if not points:
                points, last, refused.most = last, [], 1
            await asyncio.sleep(series.pacer.pause(time.monotonic()))
            part = series.part(points)
            part = part[: int(min(refused.most, len(part)))]
            replied = await self._push_part(part, refused, born_ms, now_ms)
            if is_limited(replied) and len(part) == 1 and not refused.are_too_many:
                warn_sparsely("series refused", "one series was refused for a limit and is left out: %s", replied)
                outcome, points = replied, points[1:]
                middle = len(points) // 2  # the next series are probably refused too
                points = [*points[middle:], *points[:middle]]
                continue
            if is_limited(replied) and refused.are_too_many:
                break
            if is_limited(replied) and time.monotonic() + series.pacer.pause(time.monotonic()) < until:
                warn_sparsely("push limit", "metrics exceed a limit and are sent in smaller requests: %s", replied)
                continue
            self._left = frozenset(point.labels for point in (*points, *last))
            if isinstance(replied, Failure) or (not replied.is_success and replied.status != _REFUSED):
                return replied
            points = points[len(part) :]
            if not replied.is_success:
                outcome = replied  # refused permanently; the back end may still take the other parts
        if refused.any and not refused.any_accepted:  # the limit lets nothing pass, so these series are not the reason
            self._left = self._refused = frozenset()
        else:
            self._left, self._refused = frozenset(), refused.labels.union(point.labels for point in (*points, *last))
        return outcome

    async def _push_part(
        self, part: Sequence[Point], refused: RefusedSeries, born_ms: int, now_ms: int
    ) -> Reply | Failure:
        series = self._series
        births = series.births(part)
        body = series.encode(part, births, born_ms, now_ms)
        may_be_stored = True  # also when a flush that ran out of time cancels this
        series.begin_request(births)
        try:
            outcome = await self._post(body)
            if outcome is Failure.LOST:
                outcome = await self._post(body)
            else:
                may_be_stored = isinstance(outcome, Reply) and (outcome.is_success or outcome.status == _REFUSED)
        finally:
            series.end_request(part, births, may_be_stored=may_be_stored)
        if births and isinstance(outcome, Reply) and outcome.status == _REFUSED:
            births = set()
            outcome = await self._post(series.encode(part, births, *series.tick()))
        self._adapt_pace(part, births, refused, outcome)
        if isinstance(outcome, Reply) and outcome.is_success:
            series.withdrawn(part)
        return outcome

    def _adapt_pace(
        self, part: Sequence[Point], births: set[bytes], refused: RefusedSeries, outcome: Reply | Failure
    ) -> None:
        """Pass the result of a request to the pacer."""
        size, now, pacer = len(part) + len(births), time.monotonic(), self._series.pacer
        if isinstance(outcome, Reply) and outcome.is_success:
            pacer.accepts(size, now)
            refused.accept()
        elif isinstance(outcome, Reply) and is_limited(outcome):
            retry_after = outcome.retry_after or 0.0
            if len(part) == 1 or refused.any:
                refused.refuse(len(part), part[0].labels)
                pacer.postpone(now + max(refused.pause, retry_after))
            else:
                pacer.refuses(size, now, random=random.random, retry_after=retry_after)

    async def _post(self, body: bytes) -> Reply | Failure:
        started = time.monotonic()
        outcome = await self._sender.post(body, self._series.protocol.headers)
        self._time_request(time.monotonic() - started)
        return outcome

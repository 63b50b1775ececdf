"""Sends log entries to Loki, one request at a time, until Loki accepts each entry or the library drops it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from monitored_openai._exporter.delivery.retry import Action
from monitored_openai._exporter.encoders import loki

if TYPE_CHECKING:
    from monitored_openai._exporter.delivery.batch import Batch
    from monitored_openai._exporter.delivery.flush_gate import FlushGate
    from monitored_openai._exporter.delivery.http import Sender
    from monitored_openai._exporter.delivery.log_queue import LogQueue

_REPLAYED_BYTES_PER_SECOND = 2 * 1024 * 1024
"""Loki's default limits are 3 MB/s for a stream and 4 MB/s for a tenant, which other processes share."""


class LogPusher:
    """Sends the entries that wait, one request at a time."""

    def __init__(
        self,
        queue: LogQueue,
        sender: Sender,
        flush_gate: FlushGate,
        *,
        linger: float,
        time_request: Callable[[float], None],
    ) -> None:
        """`linger`: seconds that the first entry waits for others; `time_request` takes the seconds of each request."""
        self._queue = queue
        self._sender = sender
        self._flush_gate = flush_gate
        self._linger = linger
        self._time_request = time_request
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def more(self) -> None:
        """Note that entries wait."""
        self._idle.clear()
        self._some.set()
        if self._queue.is_enough:
            self._enough.set()

    @property
    def failure(self) -> str:
        """Why log entries are undelivered, as text for a log line; empty if nothing was sent."""
        return self._sender.failure

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sender.aclose()

    async def idle(self) -> None:
        """Wait until no entry of this process waits."""
        await self._idle.wait()

    async def run(self) -> None:
        """Deliver entries forever."""
        self._queue.give_up()  # the request in flight, if this loop has just restarted
        while True:
            await self._some.wait()
            if not self._queue.is_enough:
                self._enough.clear()
                await self._flush_gate.wait(self._linger, until=self._enough)
            batch = self._queue.next(time.monotonic())
            if batch is not None:
                await self._send(batch)
            elif self._queue.has_any:
                await asyncio.sleep(self._queue.wait)
            if self._queue.is_empty:
                self._idle.set()
            if not self._queue.has_any:
                self._some.clear()

    async def _send(self, batch: Batch) -> None:
        streams = self._streams(batch)
        body = loki.encode_push(streams)
        started = time.monotonic()
        outcome = await self._sender.post(body, loki.HEADERS)
        now = time.monotonic()
        self._time_request(now - started)
        step = self._queue.settle(outcome, now)
        if step.wait:
            await self._flush_gate.back_off(step.wait, step.at_least)
        if batch.as_replay and step.action is not Action.RETRY:
            await self._flush_gate.wait(max(0.0, batch.size / _REPLAYED_BYTES_PER_SECOND - step.wait))

    def _streams(self, batch: Batch) -> list[tuple[Mapping[str, str], list[bytes]]]:
        shards = dict.fromkeys(entry.shard for entry in batch.entries)
        return [
            (self._queue.labels(batch, shard), [entry.sent for entry in batch.entries if entry.shard == shard])
            for shard in shards
        ]

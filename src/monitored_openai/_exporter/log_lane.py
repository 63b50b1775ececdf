"""Log entries to Loki: oldest first, one request at a time, each entry delivered or given up for a reason."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from monitored_openai._exporter import loki
from monitored_openai._exporter.delivery import Action, Reply, Trouble, next_step
from monitored_openai._log import warn_sparsely

if TYPE_CHECKING:
    from monitored_openai._exporter.intake import Intake
    from monitored_openai._exporter.sender import Sender
    from monitored_openai._exporter.urgency import Urgency

MOST_ENTRIES = 500
MOST_BYTES = 1024 * 1024
"""A request above Loki's burst limit (6 MB by default) would be refused for ever; this stays well below."""


class Entry(NamedTuple):
    """An encoded entry and the shard of the stream that it belongs to."""

    shard: int
    encoded: bytes


class LogLane:
    """The entries that wait, and the one request under way."""

    def __init__(
        self,
        intake: Intake,
        sender: Sender,
        urgency: Urgency,
        *,
        stream: Mapping[str, str],
        shards: int,
        linger: float,
        timed: Callable[[float], None],
    ) -> None:
        """`stream`: the labels of all entries; `linger` in seconds; `timed` hears how long each request took."""
        self._intake = intake
        self._sender = sender
        self._urgency = urgency
        self._stream = stream
        self._shards = shards
        self._linger = linger
        self._timed = timed
        self._waiting: deque[Entry] = deque()
        self._waiting_bytes = 0
        self._next_shard = 0
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, encoded: bytes) -> None:
        """Queue an entry that the books have let in."""
        self._waiting.append(Entry(self._next_shard, encoded))
        self._next_shard = (self._next_shard + 1) % self._shards
        self._waiting_bytes += len(encoded)
        self._idle.clear()
        self._some.set()
        if len(self._waiting) >= MOST_ENTRIES or self._waiting_bytes >= MOST_BYTES:
            self._enough.set()

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
            await self._urgency.linger(self._linger, until=self._enough)
            await self._deliver(self._take(), Trouble())
            if not self._waiting:
                self._some.clear()
                self._idle.set()

    def _take(self) -> list[Entry]:
        batch: list[Entry] = []
        size = 0
        while self._waiting and len(batch) < MOST_ENTRIES:
            size += len(self._waiting[0].encoded)
            if batch and size > MOST_BYTES:
                break
            batch.append(self._waiting.popleft())
        self._waiting_bytes -= sum(len(entry.encoded) for entry in batch)
        if len(self._waiting) < MOST_ENTRIES and self._waiting_bytes < MOST_BYTES:
            self._enough.clear()
        return batch

    async def _deliver(self, batch: Sequence[Entry], trouble: Trouble) -> None:
        """Bring one batch to its end, as a whole or in halves."""
        size = sum(len(entry.encoded) for entry in batch)
        body = loki.encode_push(self._streams(batch))
        while True:
            self._intake.sends(len(batch))
            started = time.monotonic()
            outcome = await self._sender.post(body, loki.HEADERS)
            now = time.monotonic()
            self._timed(now - started)
            if not (isinstance(outcome, Reply) and outcome.is_success):
                trouble = trouble.after(now)
            step = next_step(outcome, trouble, now=now, divisible=len(batch) > 1, random=random.random)
            match step.action:
                case Action.DELIVERED:
                    return self._intake.delivers(len(batch), size)
                case Action.DROP:
                    warn_sparsely(
                        f"loki {step.reason}", "%d log entries given up (%s): %s", len(batch), step.reason, outcome
                    )
                    return self._intake.drops(len(batch), size, step.reason)
            self._intake.returns(len(batch))
            warn_sparsely("loki retry", "log entries could not be delivered yet: %s", outcome)
            if step.action is Action.SPLIT:
                middle = len(batch) // 2
                await self._deliver(batch[:middle], trouble)
                await self._deliver(batch[middle:], trouble)
                return None
            await self._urgency.back_off(step.wait, step.at_least)

    def _streams(self, batch: Sequence[Entry]) -> list[tuple[Mapping[str, str], list[bytes]]]:
        if self._shards == 1:
            return [(self._stream, [entry.encoded for entry in batch])]
        return [
            ({**self._stream, "shard": str(shard)}, [entry.encoded for entry in batch if entry.shard == shard])
            for shard in range(self._shards)
        ]

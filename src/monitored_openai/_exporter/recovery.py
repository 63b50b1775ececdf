"""What the spool is for besides new entries: totals that outlive their process, what dead processes have left, and what
the disk would not take when it came.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitored_openai._exporter.call_queue import Intake
    from monitored_openai._exporter.delivery.log_pusher import LogPusher
    from monitored_openai._exporter.delivery.log_queue import LogQueue
    from monitored_openai._exporter.delivery.metrics_pusher import MetricsPusher
    from monitored_openai._exporter.spool.file import SpoolFile
    from monitored_openai._exporter.spool.spool import Spool

_TOTALS_SECONDS = 1.0
_LARGEST_SHARE = 0.05
"""Of the exporter's time, for the keeping of totals that are many."""
_LOOK_SECONDS = 60.0


class SpoolRecovery:
    """Keeps this process's totals until they are pushed, and brings in what others have left."""

    def __init__(
        self,
        spool: Spool,
        backlog: LogQueue,
        intake: Intake,
        log_lane: LogPusher | None,
        metrics_lane: MetricsPusher | None,
    ) -> None:
        """Either lane may be missing."""
        self._spool = spool
        self._backlog = backlog
        self._intake = intake
        self._log_lane = log_lane
        self._metrics_lane = metrics_lane
        self._kept = 0
        """How many calls are in the totals that the spool has, or that the back end has."""
        self._kept_in: SpoolFile | None = None
        """The file that has them; `None` when it is the back end."""
        self._look_at = self._keep_at = 0.0

    async def run(self) -> None:
        """Look around and keep what is not kept yet, for ever."""
        while True:
            self._backlog.store()
            if time.monotonic() >= self._look_at:
                self._adopt()
            for file in self._spool.adopted.copy():
                await self._push_totals(file)
            self._spool.used_up()
            self.keep_totals()
            self._intake.spool_bytes = self._spool.bytes
            await asyncio.sleep(_TOTALS_SECONDS)

    def keep_totals(self, *, at_once: bool = False) -> None:
        """Keep the present totals, if the spool or the back end does not have them, but not again and again."""
        folded, started = self._intake.stats().folded, time.monotonic()
        self._spool.look()
        has_them = folded == self._kept and (self._kept_in is None or self._kept_in is self._spool.own)
        if self._metrics_lane is None or has_them or (started < self._keep_at and not at_once):
            return
        if self._spool.keep_totals(self._metrics_lane.snapshot()):
            self._kept, self._kept_in = folded, self._spool.own
        now = time.monotonic()
        self._keep_at = now + max(_TOTALS_SECONDS, (now - started) / _LARGEST_SHARE)

    def on_push(self) -> Callable[[bool], None]:
        """The present totals go out; what this gives is to hear whether the back end has taken them."""
        folded = self._intake.stats().folded

        def hears(is_taken: bool) -> None:
            if not is_taken:
                self.keep_totals(at_once=True)
            elif folded >= self._kept:  # else the spool has those of more calls, which have ended meanwhile
                self._spool.keep_totals(())
                self._kept, self._kept_in = folded, None

        return hears

    def _adopt(self) -> None:
        adopted, expired = self._spool.adopt()
        for number in (*(file.waiting for file in adopted), expired):
            self._intake.adopts(number)
        if expired:
            self._intake.forgets(expired, "expired")
        if adopted and self._log_lane is not None:
            self._log_lane.more()
        self._look_at = time.monotonic() + (0.0 if self._spool.is_full_of_adopted else _LOOK_SECONDS)

    async def _push_totals(self, file: SpoolFile) -> None:
        if file.is_of_this_process:  # removed from the directory: these are the totals of a living process
            self._spool.forget_totals(file)
            return
        parts, damaged = self._spool.totals(file)
        if not (parts or damaged) or self._metrics_lane is None:
            return
        if await self._metrics_lane.push_for_another(parts):
            for _ in range(damaged):
                self._intake.refused_totals()
            self._spool.forget_totals(file)

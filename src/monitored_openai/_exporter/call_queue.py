"""The bounded queue of ended calls between the callers' threads and the exporter's thread.

Calls end on any thread, in a signal handler, or in a finalizer that the garbage collector runs at any point, even
inside these methods. So the queue shares the ledger's re-entrant lock, holds it briefly, and never waits under it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitored_openai._calls.call import Call
    from monitored_openai._calls.finished_call import FinishedCall
    from monitored_openai._exporter.ledger import DeliveryLedger
    from monitored_openai._stats import DropReason

_MAX_CALLS = 200_000
"""Bound of the queue while the exporter's thread cannot run. Beyond `max_bytes` of content, calls wait without their
content; beyond this number, calls count as dropped."""


class CallQueue:
    """Ended calls in the order of their end. The consumer leaves a call in the queue until it has counted it."""

    def __init__(self, ledger: DeliveryLedger, *, wake: Callable[[], None], forked: Callable[[], None]) -> None:
        """`wake`: called when a call enters an idle queue; `forked`: called in a child whose fork ran no hooks."""
        self._ledger = ledger
        self._wake = wake
        self._forked = forked
        self.reset()

    def reset(self) -> None:
        """Start empty, as a forked child must."""
        self._pid = os.getpid()
        self._idle = True
        self._calls: deque[tuple[FinishedCall, int, bool]] = deque()
        """Each call, its bytes of content that count against the bound, and whether it could keep its content."""

    # On the callers' threads

    def on_start(self, call: Call) -> None:
        """Register a call that has started."""
        if os.getpid() != self._pid:
            self._forked()  # uWSGI forks without running Python's hooks
        self._ledger.active.add(call)

    def wake_if_idle(self) -> None:
        """Wake the consumer although no call has ended yet."""
        with self._ledger.lock:
            wakes, self._idle = self._idle and not self._ledger.is_closed, False
        if wakes:
            self._wake()

    def put(self, call: Call) -> None:
        """Add an ended call. Ignore a call that the parent process started before the fork."""
        ledger = self._ledger
        try:
            ledger.active.remove(call)
        except KeyError:
            return
        with ledger.lock:
            if ledger.is_closed or len(self._calls) >= _MAX_CALLS:
                ledger.record_untracked("closed" if ledger.is_closed else "queue_full")
                return
            try:
                size = call.result.size()
            except Exception:  # the texts of a stream may have any type
                ledger.record_untracked("fault")
                raise
            fits = ledger.record_ended(size)
            self._calls.append((call.result, size if fits else 0, fits))
            if not fits:
                call.result.discard_content()
            wakes, self._idle = self._idle, False
        if wakes:
            self._wake()

    def on_untracked(self, reason: DropReason) -> None:
        """Count a call that could not be observed, as dropped for `reason`."""
        self._ledger.record_untracked(reason)

    def mark_idle(self) -> None:
        """Let the next call wake the consumer, because the last wake had no effect."""
        self._idle = True

    # On the exporter's thread

    def peek(self) -> FinishedCall | None:
        """Return the oldest call without removing it; `None` if none waits: then the next call wakes the consumer."""
        with self._ledger.lock:
            if self._calls and not self._ledger.is_closed:
                return self._calls[0][0]
            self._idle = True
            return None

    def pop_folded(
        self, entry: int | None, *, reason: DropReason = "fault", cut: bool = False, failed: bool = False
    ) -> bool:
        """Remove the oldest call, which the counters now include; true if its log entry has room in memory.

        `entry`: bytes of its log entry, or `None` if it has none; `reason`: why it has none; `cut`: the entry lost
        content to the size limit; `failed`: it lost its content because the redaction raised.
        """
        with self._ledger.lock:
            if self._ledger.is_closed:
                return False
            _, size, fits = self._calls.popleft()
            return self._ledger.record_folded(size, entry, fits=fits, reason=reason, cut=cut, failed=failed)

    def pop_unreadable(self) -> None:
        """Remove the oldest call, which could not become a record."""
        with self._ledger.lock:
            if not self._ledger.is_closed:
                _, size, fits = self._calls.popleft()
                self._ledger.record_unreadable(size, fits=fits)

    # On any thread

    def close(self, reason: DropReason, missing_on_disk: int = 0) -> None:
        """Refuse further calls, and count everything undelivered as dropped (see `DeliveryLedger.close`)."""
        with self._ledger.lock:
            self._ledger.close(reason, missing_on_disk)
            self._calls.clear()

"""The count of the samples that calls bring one by one: made, taken, given up, and waiting."""

from __future__ import annotations

from collections import Counter

from monitored_openai._exporter.runtime import gevent
from monitored_openai._stats import DropReason, SampleStats


class SampleBooks:
    """They balance at every instant; what is neither taken nor given up waits.

    A signal handler or finalizer may want to read them in the middle of anything, as those of the intake.
    """

    def __init__(self) -> None:
        self._lock = gevent.reentrant_lock()
        self._closed = False
        self._produced = 0
        self._delivered = 0
        self._dropped: Counter[str] = Counter()

    def makes(self, samples: int) -> None:
        """Samples have come in."""
        with self._lock:
            if not self._closed:
                self._produced += samples

    def delivers(self, samples: int) -> None:
        """The back end has taken samples."""
        with self._lock:
            if not self._closed:
                self._delivered += samples

    def drops(self, samples: int, reason: DropReason) -> None:
        """Samples are given up."""
        with self._lock:
            if not self._closed:
                self._dropped[reason] += samples

    def close(self, reason: DropReason) -> None:
        """Give up, for `reason`, what waits, and count nothing more."""
        with self._lock:
            if not self._closed and (waiting := self._waiting()):
                self._dropped[reason] += waiting
            self._closed = True

    def stats(self) -> SampleStats:
        """The books at this instant."""
        with self._lock:
            return SampleStats(
                produced=self._produced,
                delivered=self._delivered,
                dropped=dict(self._dropped),
                queued=self._waiting(),
            )

    def _waiting(self) -> int:
        return self._produced - self._delivered - self._dropped.total()

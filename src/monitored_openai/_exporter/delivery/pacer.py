"""The size and the pace of requests to a back end that limits the volume: learned from its answers, without I/O.

Back ends limit volume by token buckets: a request passes if the bucket holds at least its bytes, and the bucket refills
at the limit. A refusal takes no tokens. Both the refill rate and the capacity are unknown here, and both may change:

- A refusal halves the size of the next request, because a request above the capacity never passes.
- A refusal slows the pace: a little after accepted requests, by half after another refusal.
- An accepted request raises both again: slowly at first, faster the longer no refusal comes.
- No request brings more than one second's volume, so that a refusal costs one second at most.

Before the first refusal, requests have their full size and no pause in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_FIRST_PAUSE = 0.025
"""Seconds after the first refusals, as long as nothing is known about the limit and each try is half the last."""
LONGEST_PAUSE = 30.0
"""Seconds, without the jitter, that a refused request waits at most for the bucket. Loki's default buckets fill in 5."""
_SIZE_GROWTH = 1 / 32
_GROWTH = 1 / 128
_CALM = 8
"""Accepted requests in a row after which the pace grows twice as fast."""
_SLOWDOWN = 0.9
_JITTER = 0.25
"""Share of a pause after a refusal that chance adds, so that many processes do not return at once."""
_VOLUME_SECONDS = 1.0


class Pacer:
    """The largest size of the next request, in bytes or samples, and the earliest time for it in monotonic seconds."""

    def __init__(self, most: int) -> None:
        """`most`: the largest request that is ever sent."""
        self._most = float(most)
        self._size = float(most)
        self._rate = math.inf
        self._accepted = 0
        """Requests since the last refusal."""
        self._refused = 0
        """Requests in a row."""
        self._passed = 0
        """Size of the largest accepted request, as far as no smaller one was refused since."""
        self._volume = 0
        """Accepted since `_since`."""
        self._since = math.nan
        """The bucket could not serve a request then; before the first refusal: the first request."""
        self._not_before = -math.inf
        self._hopeless = math.inf

    @property
    def size(self) -> int:
        """Bytes or samples that the next request may have."""
        return int(max(1.0, min(self._size, self._rate * _VOLUME_SECONDS)))

    def pause(self, now: float) -> float:
        """Seconds from now until the next request may go."""
        return max(0.0, self._not_before - now)

    def never_passes(self, size: int) -> bool:
        """Whether one entry of at most this size was given up because the limit let it never through."""
        return size >= self._hopeless

    def gives_up(self, size: int) -> None:
        """One entry of this size, sent alone, never passes."""
        self._hopeless = min(self._hopeless, size)

    def accepts(self, size: int, now: float) -> None:
        """The back end has taken a request of this size."""
        if math.isnan(self._since):
            self._since = now
        self._refused = 0
        self._accepted += 1
        self._volume += size
        self._passed = max(self._passed, size)
        if size >= self._hopeless:
            self._hopeless = math.inf
        if math.isinf(self._rate):
            return
        growth = min(1.0, _GROWTH * 2.0 ** min(self._accepted / _CALM, 64))
        self._rate *= 1 + growth
        self._size = min(self._most, self._size * (1 + max(_SIZE_GROWTH, growth)))
        pause = min(size / self._rate, LONGEST_PAUSE)
        self._not_before = max(self._not_before, now - _VOLUME_SECONDS) + pause

    def refuses(
        self, size: int, now: float, *, random: Callable[[], float], alone: int = 0, retry_after: float = 0.0
    ) -> None:
        """The back end has refused such a request for its limit.

        `random` gives numbers from 0 to 1; `alone`: how often it has refused this one entry, sent alone; 0 if the
        request had several entries.
        """
        self._refused += 1
        pause = self._pause_after(size, now, alone)
        if self._refused == 1:
            self._since, self._volume, self._accepted = now, 0, 0
        elif alone <= 1:
            self._accepted = _CALM * 64  # size and pace fell by halves, and double again until the next refusal
        pause = min(pause, LONGEST_PAUSE) * (1 + _JITTER * random())
        self._not_before = max(self._not_before, now + max(pause, retry_after))

    def _pause_after(self, size: int, now: float, alone: int) -> float:
        if math.isinf(self._rate):
            elapsed = now - self._since
            self._rate = self._volume / elapsed if self._volume and elapsed > 0 else size / _FIRST_PAUSE
            self._halve(size)
        elif alone > 1:
            return size / self._rate * 2.0 ** min(alone - 1, 32)
        elif self._refused > 1:
            self._rate = max(self._rate / 2, size / LONGEST_PAUSE)
            self._halve(size)
        elif size > self._passed:  # the size is the news, not the pace
            self._halve(size)
            return 0.0
        else:
            self._rate *= _SLOWDOWN
            if now > self._since:  # the bucket held less than `size` at both ends of this time
                self._rate = min(self._rate, (self._volume + size) / (now - self._since))
            return size / self._rate / 2  # a full pause would let a small bucket overflow
        return size / self._rate

    def _halve(self, size: int) -> None:
        self._size = min(self._size, max(1.0, size / 2))
        self._passed = min(self._passed, size)

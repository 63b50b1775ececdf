"""Learns the size and pace of requests that a back end's rate limit allows, from its replies. Does no I/O.

Back ends limit volume by token buckets: a request passes if the bucket holds at least its bytes, and the bucket refills
at the limit. A refusal takes no tokens. Both the refill rate and the capacity are unknown here, and both may change:

- The refusal of a size that has not passed halves the next size, because a request above the capacity never passes.
- The refusal of a size that has passed slows the pace a little. A further refusal in a row halves size and pace.
- An accepted request raises both again: slowly at first, faster the longer no refusal comes.
- A refused size slightly above an accepted one bounds the next sizes; the bound rises slowly.
- A refusal with Retry-After keeps the size or the pace down for 20 more such pauses, because each probe costs a pause.
- No request holds more than one second's volume, so that a refusal costs one second at most.

Before the first refusal, requests have their full size and no pause in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_FIRST_PAUSE = 0.025
"""Seconds of pause after the first refusals, while the limit is unknown and each attempt halves the size."""
LONGEST_PAUSE = 30.0
"""Longest wait of a refused request, in seconds without jitter. Loki's default buckets fill in 5 s."""
_SIZE_GROWTH = 1 / 32
"""Growth of the size with each accepted request."""
_GROWTH = 1 / 128
"""Growth of the pace with the first accepted requests."""
_CALM = 8
"""Accepted requests in a row after which the pace grows twice as fast."""
_STEADY = 4
"""Accepted requests in a row after which the pace at a refusal is close to the limit."""
_SLOWDOWN = 0.9
_NEAR = 1.5
"""A refused size of at most this multiple of the largest accepted size is a good estimate of the capacity."""
_BELOW_REFUSED = 15 / 16
_BOUND_GROWTH = 1 / 4096
"""Growth of `_most_size` with each accepted request; doubled every 64 requests."""
_PROBE_AFTER = 20
"""Multiple of a refusal's Retry-After for which a bound of the size or the pace stays."""
_JITTER = 0.25
"""Largest random share added to a pause after a refusal, so that processes do not all retry at the same time."""
_VOLUME_SECONDS = 1.0
_REST = 1.5
"""Factor on the time in which the estimated pace fills the bucket, in case the estimate is too high."""
_USUAL_REST = 5.0
"""Seconds in which Loki's default buckets fill."""
_LONGEST_REST_IN_TURN = 16.0
"""Longest rest, in seconds, for which other entries wait behind a refused one."""
_PROBES = 3
"""Refusals in a row that may be due to the size alone."""
_PROBE_GROWTH = 1.25
"""Growth of the pause with each consecutive refusal of an entry alone, which may be due to its size."""


class Pacer:
    """Estimates the largest size (bytes or samples) and the earliest time (monotonic seconds) of the next request."""

    def __init__(self, most: int) -> None:
        """`most`: size of the largest request."""
        self._most = float(most)
        self._size = float(most)
        self._rate = math.inf
        self._accepted = 0
        """Accepted requests since the last refusal."""
        self._refused = 0
        """Refused requests in a row."""
        self._calm = 0
        """Accepted requests in a row."""
        self._passed = 0
        """Size of the largest accepted request. A later refusal of a smaller size lowers it to that size."""
        self._volume = 0
        """Bytes or samples accepted since `_since`."""
        self._since = math.nan
        """Time of a refusal or a probe; before the first refusal, of the first accepted request."""
        self._not_before = -math.inf
        self._fastest_growth = 1.0
        """Largest growth of the pace with one accepted request."""
        self._ceiling = math.inf
        """Upper bound of the pace until `_probe_at`, after a refusal with Retry-After."""
        self._probe_at = math.inf
        self._most_size = math.inf
        """A little less than the size refused last, which is probably above the capacity; grows slowly."""
        self._size_calm = 0
        """Accepted requests since that refusal."""
        self._size_probe_at = -math.inf
        self._largest = 0
        """Size of the largest accepted request: the capacity is not below, unless the limit changes."""
        self._suspect = math.inf
        """Smallest size of an entry refused alone after a rest."""
        self._too_large = math.inf
        """Smallest size of an entry refused alone with a bucket that was surely full."""
        self._refused_alone = (math.inf, 0)
        """Smallest and largest size refused alone since the last accepted request."""
        self._measured = 0.0
        """The pace at the last refusal after several accepted requests; 0 if unknown."""

    @property
    def size(self) -> int:
        """Maximum bytes or samples of the next request."""
        return int(max(1.0, min(self._size, self._rate * _VOLUME_SECONDS)))

    def pause(self, now: float) -> float:
        """Return the seconds from `now` until the next request may go."""
        return max(0.0, self._not_before - now)

    def rest(self, size: int, *, surely: bool = True) -> float:
        """Return the seconds without a request after which the bucket holds `size`.

        `surely`: with certainty; otherwise probably.
        """
        if self._measured:
            return min(_REST * size / self._measured, LONGEST_PAUSE)
        return _USUAL_REST if surely else min(_REST * size / self._rate, LONGEST_PAUSE)

    def fills_soon(self, size: int) -> bool:
        """True if a refused entry of this size may wait in its turn: it probably passes, and others lose little time."""
        is_likely = self.has_accepted and size < self._suspect / 2
        return is_likely and self.rest(size, surely=False) <= _LONGEST_REST_IN_TURN

    def exceeds_passed(self, size: int) -> bool:
        """True if no request of this size passed lately, so that a refusal may be due to the size."""
        return size > self._passed

    @property
    def is_passing(self) -> bool:
        """True if the last request passed, not counting entries that never pass."""
        return self.has_accepted and self._refused == 0

    def has_passed(self, size: int) -> bool:
        """True if a request of this size has passed, so that a refusal is due to the pace."""
        return size <= self._largest

    @property
    def has_accepted(self) -> bool:
        """True if a request has passed."""
        return self._largest > 0

    @property
    def lets_nothing_pass(self) -> bool:
        """True if sizes that differ by more than a factor of 2 were refused in a row: size is not the reason."""
        smallest, largest = self._refused_alone
        return largest > 2 * smallest

    def is_suspect(self, size: int) -> bool:
        """True if an entry of at most this size was refused alone after a rest."""
        return size >= self._suspect

    def is_too_large(self, size: int) -> bool:
        """True if an entry of at most this size was refused alone twice with a full bucket."""
        return size >= self._too_large

    def refuses_again(self, size: int, *, is_certain: bool) -> None:
        """Note that one entry of this size was refused alone after a rest; `is_certain`: with a full bucket."""
        if size > self._largest > 0:
            self._suspect = min(self._suspect, size)
            if is_certain:
                self._too_large = min(self._too_large, size)

    def gives_up(self, size: int) -> None:
        """Note that one entry of this size, sent alone, never passes."""
        self._suspect, self._too_large = min(self._suspect, size), min(self._too_large, size)
        self._largest = min(self._largest, max(1, size - 1))

    def accepts(self, size: int, now: float) -> None:
        """Note that the back end accepted a request of this size."""
        if math.isnan(self._since):
            self._since = now
        self._refused = 0
        self._accepted += 1
        self._calm += 1
        self._volume += size
        self._passed = max(self._passed, size)
        self._largest = max(self._largest, size)
        self._refused_alone = (math.inf, 0)
        if size >= self._suspect:
            self._suspect = self._too_large = math.inf
        if math.isinf(self._rate):
            return
        if now >= self._probe_at:
            self._probe_at, self._ceiling, self._accepted = math.inf, math.inf, 0
            self._since, self._volume, self._fastest_growth = now, 0, _SIZE_GROWTH
        growth = min(self._fastest_growth, _GROWTH * 2.0 ** min(self._accepted / _CALM, 64))
        self._rate = min(self._rate * (1 + growth), self._ceiling)
        self._raise_size(growth, now)
        pause = min(size / self._rate, LONGEST_PAUSE)
        self._not_before = max(self._not_before, now - _VOLUME_SECONDS) + pause

    def postpone(self, until: float) -> None:
        """Send nothing before this time, in monotonic seconds."""
        self._not_before = max(self._not_before, until)

    def refuses(
        self, size: int, now: float, *, random: Callable[[], float], alone: int = 0, retry_after: float = 0.0
    ) -> None:
        """Note that the rate limit refused a request of this size.

        `random` returns numbers from 0 to 1; `alone`: refusals of this one entry, sent alone; 0 if the request had
        several entries; `retry_after`: seconds that the reply demands.
        """
        self._refused += 1
        before = self._rate
        pause = self._pause_after(size, now, alone)
        if retry_after and self._most_size < size:
            self._size_probe_at = now + (1 + _PROBE_AFTER) * retry_after
        elif retry_after:  # a refusal costs the whole pause, so the pace stays down for a long time
            known = self._rate if math.isinf(before) else math.sqrt(self._rate * before)
            self._ceiling = min(known, before * _SLOWDOWN)
            self._fastest_growth = 1.0
            self._probe_at = now + (1 + _PROBE_AFTER) * retry_after
        self._calm = 0
        if self._refused == 1:
            self._since, self._volume, self._accepted = now, 0, 0
        elif alone <= 1:
            self._accepted = _CALM * 64  # size and pace fell by halves, and double again until the next refusal
        pause = min(pause, LONGEST_PAUSE) * (1 + _JITTER * random())
        self._not_before = max(self._not_before, now + max(pause, retry_after))

    def refuses_alone(
        self, size: int, now: float, *, random: Callable[[], float], first: bool, retry_after: float = 0.0
    ) -> None:
        """Note the refusal of one entry that is larger than any that passed; a known pace of others stays the same.

        `first`: its first refusal, after which it waits for the bucket if that fills soon.
        """
        pause = 0.0
        if not self.is_too_large(size):
            self._refused += 1
            smallest, largest = self._refused_alone
            self._refused_alone = (min(smallest, size), max(largest, size))
            self._size = min(self._size, max(1.0, size / 2, self._passed))
            if math.isinf(self._rate):
                elapsed = now - self._since
                self._rate = self._volume / elapsed if self._volume and elapsed > 0 else size / _FIRST_PAUSE
                self._since, self._volume, self._accepted = now, 0, 0
            if first and self.fills_soon(size):
                pause = self.rest(size, surely=False)
            elif self._refused > _PROBES or not self.has_accepted:
                longest = _USUAL_REST if self.has_accepted else LONGEST_PAUSE
                pause = min(_FIRST_PAUSE * _PROBE_GROWTH ** min(self._refused, 64), longest)
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
        elif size > self._passed:  # the likely reason is the size, not the pace
            near = 0 < size <= _NEAR * self._passed
            self._size, self._passed = (
                min(self._size, self._passed if near else max(1.0, size / 2)),
                min(self._passed, size),
            )
            if near:
                self._most_size, self._size_calm = size * _BELOW_REFUSED, 0
            return 0.0
        else:
            self._rate *= _SLOWDOWN
            if now > self._since:  # the bucket held less than `size` at both ends of this time
                self._rate = min(self._rate, (self._volume + size) / (now - self._since))
            if self._calm >= _STEADY:
                self._measured = self._rate
            return size / self._rate / 2  # a full pause would let a small bucket overflow
        return size / self._rate

    def _raise_size(self, growth: float, now: float) -> None:
        if now >= self._size_probe_at:
            self._size_calm += 1
            self._most_size *= 1 + min(1.0, _BOUND_GROWTH * 2.0 ** min(self._size_calm / 64, 64))
        self._size = min(self._most, self._size * (1 + max(_SIZE_GROWTH, growth)), self._most_size)

    def _halve(self, size: int) -> None:
        self._size = min(self._size, max(1.0, size / 2))
        self._passed = min(self._passed, size)

"""The time range of the page: its start, its end and its steps, which fit the history's time slots."""

from __future__ import annotations

from dataclasses import dataclass

from monitored_openai._local.history import RESOLUTIONS

PRESETS = {900: 15, 3600: 60, 21_600: 360, 86_400: 1800, 604_800: 10_800, 2_592_000: 43_200}
"""Length of each range that ends now, and of its steps, in seconds."""
_STEPS = (5, 10, 15, 30, 60, 120, 240, 360, 600, 1200, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_MOST_STEPS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """A range in seconds since the epoch, from `start` to before `end`, both multiples of `step`."""

    start: int
    end: int
    step: int

    @property
    def times(self) -> list[int]:
        """The start of each step."""
        return list(range(self.start, self.end, self.step))


def until_now(now: float, seconds: int) -> TimeRange:
    """Return the preset range of this length, whose last step contains the present time."""
    step = PRESETS[seconds]
    return TimeRange(start=(int(now - seconds) // step + 1) * step, end=(int(now) // step + 1) * step, step=step)


def between(now: float, start: float, end: float) -> TimeRange | None:
    """Return the smallest range around two times for which the history has time slots; `None` without slots."""
    if not start < end or start > now:
        return None
    for resolution, kept in RESOLUTIONS.items():
        steps = (step for step in _STEPS if step % resolution == 0 and (end - start) / step <= _MOST_STEPS)
        step = next(steps, None)
        # the oldest slot is deleted when its start has reached this age
        if step is not None and now - start // step * step < kept - resolution:
            return TimeRange(start=int(start // step * step), end=int(-(-end // step) * step), step=step)
    return None

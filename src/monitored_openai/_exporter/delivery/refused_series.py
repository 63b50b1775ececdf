"""Finds the series of a push that exceed a limit of the back end, so that it accepts all other series."""

from __future__ import annotations

import math

_MAX_ALONE_IN_A_ROW = 8
"""Series refused alone, one after another, after which the limit probably lets nothing pass."""
_FIRST_PAUSE, _PAUSE_GROWTH, _LONGEST_PAUSE = 0.025, 1.25, 5.0
"""Seconds after a refusal, and their growth with each refusal in a row."""


class RefusedSeries:
    """The series of one push that were refused alone. From the first one on, refusals do not change the pace."""

    def __init__(self) -> None:
        """No series is refused yet."""
        self.labels: set[bytes] = set()
        self.most: float = math.inf
        """Maximum series in the next request."""
        self.any_accepted = False
        self._in_a_row = 0
        self._alone_in_a_row = 0

    @property
    def any(self) -> bool:
        """True if a series was refused alone."""
        return bool(self.labels)

    @property
    def are_too_many(self) -> bool:
        """True if the limit probably lets nothing pass."""
        return self._alone_in_a_row >= _MAX_ALONE_IN_A_ROW

    @property
    def pause(self) -> float:
        """Seconds to wait before the next request."""
        return min(_FIRST_PAUSE * _PAUSE_GROWTH ** min(self._in_a_row, 64), _LONGEST_PAUSE)

    def refuse(self, number: int, labels: bytes) -> None:
        """Note the refusal of `number` series; `labels` are those of the first one."""
        self._in_a_row += 1
        self.most = max(1, number // 2)
        if number == 1:
            self._alone_in_a_row += 1
            self.labels.add(labels)

    def accept(self) -> None:
        """Note an accepted request."""
        self._in_a_row = self._alone_in_a_row = 0
        self.any_accepted = True
        self.most *= 2

"""The fake API's counts of what it served, for comparison with the measured counts."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ._answers import tokens_in


class Truth:
    """What the server served, in counters that only grow; reading returns copies, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[tuple[str, str, str]] = Counter()
        self._tokens: Counter[tuple[str, str, str]] = Counter()
        self._untold: Counter[tuple[str, str, str]] = Counter()

    @property
    def calls(self) -> Counter[tuple[str, str, str]]:
        """Attempts by path (``/chat/completions`` or ``/completions``), model asked for, and outcome.

        Outcomes: ``ok``, ``http_<status>``, ``reset``, ``dropped``, ``stream_error``, ``abandoned``.
        """
        with self._lock:
            return self._calls.copy()

    @property
    def tokens(self) -> Counter[tuple[str, str, str]]:
        """Tokens that a usage object told, by path, model asked for, and kind (the keys of ``KINDS``)."""
        with self._lock:
            return self._tokens.copy()

    @property
    def untold_tokens(self) -> Counter[tuple[str, str, str]]:
        """As ``tokens``, of streams for which no usage was asked; patched usage is counted in neither."""
        with self._lock:
            return self._untold.copy()

    def calls_by_outcome(self) -> Counter[str]:
        """Attempts by outcome, over all paths and models."""
        return _summed(self.calls)

    def tokens_by_kind(self) -> Counter[str]:
        """Told tokens by kind, over all paths and models."""
        return _summed(self.tokens)

    def count(self, path: str, model: str, outcome: str) -> None:
        """Note the end of an attempt."""
        with self._lock:
            self._calls[path, model, outcome] += 1

    def spend(self, path: str, model: str, usage: Mapping[str, Any], *, told: bool) -> None:
        """Note the tokens of an answer."""
        with self._lock:
            for kind, tokens in tokens_in(usage).items():
                (self._tokens if told else self._untold)[path, model, kind] += tokens


def _summed(counts: Counter[tuple[str, str, str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for (_, _, last), count in counts.items():
        total[last] += count
    return total

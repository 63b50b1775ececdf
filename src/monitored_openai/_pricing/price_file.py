"""Follows the user's price file: the prices change after the file has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from monitored_openai._labels import InvalidValue
from monitored_openai._logging import warn_sparsely
from monitored_openai._settings.prices import Prices, read_price_file

_CHECK_SECONDS = 5.0

_Stamp = tuple[int, int, int]


def follow_price_file(path: str | None, prices: Prices, *, every: float = _CHECK_SECONDS) -> Callable[[], Prices]:
    """Return a function that returns the current prices: those of the file, replaced by those of the setting `prices`.

    The function checks the file at most once in `every` seconds. If it cannot read the file, or the file is invalid, it
    logs the problem and keeps the last valid prices. It returns the same object until the prices change.
    """
    return (lambda: prices) if path is None else _PriceFile(path, prices, every).current


class _PriceFile:
    def __init__(self, path: str, prices: Prices, every: float) -> None:
        self._path = path
        self._from_setting = prices
        self._current = prices
        self._stamp: _Stamp | None = None
        self._due = 0.0
        self._every = every

    def current(self) -> Prices:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + self._every
            self._read_if_changed()
        return self._current

    def _read_if_changed(self) -> None:
        try:
            found = Path(self._path).stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                self._current = {**read_price_file(self._path), **self._from_setting}
                self._stamp = stamp
        except (InvalidValue, OSError) as error:
            reason = (
                error
                if isinstance(error, InvalidValue)
                else f"names a file that cannot be read ({type(error).__name__})"
            )
            warn_sparsely(
                "prices_file", "the price file was not read, so the last valid prices apply: the setting %s", reason
            )

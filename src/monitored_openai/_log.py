"""The package's own log lines: one logger, and at most one line a minute about any one thing."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

logger = logging.getLogger("monitored_openai")
logger.addHandler(logging.NullHandler())

_QUIET_SECONDS = 60.0
_said: dict[str, tuple[float, int]] = {}


def warn_sparsely(about: str, message: str, *args: object, exc_info: bool = False) -> None:
    """Log a warning unless one with the same `about` was logged within the last minute; the next one counts those."""
    now = time.monotonic()
    last, hushed = _said.get(about, (float("-inf"), 0))
    if now - last < _QUIET_SECONDS:
        _said[about] = (last, hushed + 1)
        return
    _said[about] = (now, 0)
    if hushed:
        message += " (%d more like this in the last %.0f s)"
        args = (*args, hushed, now - last)
    with suppress(Exception):  # the program's own handlers and filters may raise, and this may be in a call of its own
        logger.warning(message, *args, exc_info=exc_info)

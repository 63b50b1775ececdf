"""The package's own log lines: one logger, and at most one line a minute about any one thing.

The logger has no handler, so in a program without logging its warnings reach stderr by Python's last resort.
"""

from __future__ import annotations

import logging
import time
import traceback
from contextlib import suppress

logger = logging.getLogger("monitored_openai")
DECIDED = "monitored_openai_decided"
"""The attribute of a record that the settings in question let pass; no other settings decide on it."""


def _for_last_resort(record: logging.LogRecord) -> bool:
    """Name the package in a line that goes to stderr unformatted, and leave out an exception's message, which may hold
    content: the program did not choose to log there.
    """
    if logger.hasHandlers():
        return True
    record.msg = f"{logger.name}: {record.msg}"
    if record.exc_info:
        kind, _, frames = record.exc_info
        record.exc_text = "".join([*traceback.format_tb(frames), kind.__name__ if kind else ""])
        record.exc_info = None
    return True


logger.addFilter(_for_last_resort)

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

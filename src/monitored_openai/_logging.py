"""The package's own log lines: one logger, and at most one line a minute about any one thing.

The logger has no handler, so in a program without logging its warnings reach stderr by Python's last resort.
"""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections import deque
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
_said: dict[str, tuple[list[float], deque[None]]] = {}
"""By kind: the time of the last warning, and one item for each suppressed since. List and deque are changed by single
operations, which no other thread, finalizer or signal handler can interrupt; a lock could be held for ever after a fork.
"""


def warn_sparsely(kind: str, message: str, *args: object, exc_info: bool = False) -> None:
    """Log a warning, at most one of each kind a minute; the next one states how many were suppressed."""
    now = time.monotonic()
    last, suppressed = _said.setdefault(kind, ([-math.inf], deque()))
    try:
        before = last.pop()  # the one that has it decides
    except IndexError:
        suppressed.append(None)
        return
    is_due = now - before >= _QUIET_SECONDS
    last.append(now if is_due else before)
    if not is_due:
        suppressed.append(None)
        return
    if number := len(suppressed):
        for _ in range(number):
            suppressed.popleft()
        message += " (%d more like this in the last %.0f s)"
        args = (*args, number, now - before)
    with suppress(Exception):  # the program's own handlers and filters may raise, and this may be in a call of its own
        logger.warning(message, *args, exc_info=exc_info)

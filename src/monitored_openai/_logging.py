"""The package's logger, and a function that logs each kind of warning at most once a minute.

The logger has no handler. In a program that does not configure logging, Python's last-resort handler writes the
warnings to stderr.
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
"""Marks a log record about one settings object; `log_warnings` of other settings objects does not suppress it."""


def _for_last_resort(record: logging.LogRecord) -> bool:
    """Prepare a record for the last-resort handler: add the package's name, remove an exception's message.

    The message may contain content of a call, and the program did not choose to log to stderr.
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
"""By kind: the time of the last warning, and one item for each warning suppressed since.

A lock could stay locked forever after a fork. Each change of the list or the deque is one atomic operation instead,
which no other thread, finalizer or signal handler can interrupt.
"""


def warn_sparsely(kind: str, message: str, *args: object, exc_info: bool = False) -> None:
    """Log a warning, at most one of each kind in 60 s; the next one states the number of suppressed ones."""
    now = time.monotonic()
    last, suppressed = _said.setdefault(kind, ([-math.inf], deque()))
    try:
        before = last.pop()  # only the thread that gets the item decides
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
    # The program's own handlers and filters may raise, and this may run inside one of its calls.
    with suppress(Exception):
        logger.warning(message, *args, exc_info=exc_info)

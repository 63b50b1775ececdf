"""SIGTERM, for those who ask for it: deliver in time, then let the process end as it would have."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from monitored_openai._logging import logger

_installed: list[object] = []


def handle_sigterm(at_exit: Callable[[], None], begin: Callable[[], None]) -> None:
    """Put a handler before the one there is; once for a process, and only from its main thread.

    Where nobody else handles the signal, `at_exit` is called and the signal sent again; else `begin`, and it is the
    other's to end the process.
    """
    if _installed or threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGTERM)
    if before is None or before is signal.SIG_IGN:  # somebody's in C, or somebody's wish
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if callable(before):
            begin()
            before(number, frame)
            return
        at_exit()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        signal.signal(signal.SIGTERM, handle)
    except ValueError:  # a subinterpreter
        logger.warning("SIGTERM cannot be handled here")
        return
    _installed.append(before)

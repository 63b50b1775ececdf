"""Handles SIGTERM if the settings require it: delivers the telemetry, then lets the process end as usual."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from monitored_openai._logging import logger

_installed: list[object] = []


def handle_sigterm(at_exit: Callable[[], None], begin: Callable[[], None]) -> None:
    """Install a handler that runs before the current one: once in a process, and only on its main thread.

    Without another handler, call `at_exit` and send the signal again. Otherwise call `begin` and then that handler,
    which ends the process.
    """
    if _installed or threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGTERM)
    if before is None or before is signal.SIG_IGN:  # a handler in C, or the program ignores the signal
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

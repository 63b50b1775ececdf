"""Makes a few calls and ends, in one of many ways: ``python tests/programs/ending.py WAY``.

Every process that takes part makes ``CALLS`` calls, and then at once ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from monitored_openai import MonitoredOpenAI

CALLS = 7
EXIT_CODE = 3


@cache
def client(pid: int) -> MonitoredOpenAI:
    """One for each process: the connections of a client cannot be used on both sides of a fork."""
    return MonitoredOpenAI(max_retries=0, timeout=20)


def call(number: int = 0) -> None:
    client(os.getpid()).chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": f"question {number}"}]
    )


def calls() -> None:
    for number in range(CALLS):
        call(number)


def returns() -> None:
    calls()


def exits() -> None:
    calls()
    sys.exit(EXIT_CODE)


def raises() -> None:
    calls()
    raise ZeroDivisionError("as an uncaught exception")


def is_interrupted() -> None:
    # Python forgets that it was interrupted, and exits with 1, when any thread evaluates source text at its exit,
    # as modules do that are then imported.
    calls()
    client(os.getpid()).monitoring.flush(10)
    call()
    signal.raise_signal(signal.SIGINT)


def is_terminated() -> None:
    calls()
    signal.raise_signal(signal.SIGTERM)


def handles_its_termination() -> None:
    def handler(*_: object) -> None:
        sys.exit(EXIT_CODE)

    signal.signal(signal.SIGTERM, handler)
    calls()
    signal.raise_signal(signal.SIGTERM)


def has_a_late_thread() -> None:
    def later() -> None:
        main_thread = threading.main_thread()
        deadline = time.monotonic() + 20
        while main_thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        calls()

    call()
    threading.Thread(target=later).start()


def forks() -> None:
    calls()
    child = os.fork()
    calls()
    if child:
        _, status = os.waitpid(child, 0)
        sys.exit(os.waitstatus_to_exitcode(status))


def starts(method: str) -> None:
    calls()
    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=calls)
    child.start()
    child.join(30)
    sys.exit(child.exitcode)


def pools(method: str) -> None:
    calls()
    with multiprocessing.get_context(method).Pool(2) as pool:
        pool.map(call, range(CALLS), chunksize=1)
        pool.close()  # leaving the block would end the workers by a signal, with which nothing is delivered
        pool.join()


WAYS: dict[str, Callable[[], None]] = {
    "return": returns,
    "exit": exits,
    "exception": raises,
    "interrupt": is_interrupted,
    "termination": is_terminated,
    "handled termination": handles_its_termination,
    "late thread": has_a_late_thread,
    "fork": forks,
    **{f"process by {method}": partial(starts, method) for method in ("fork", "spawn", "forkserver")},
    **{f"pool by {method}": partial(pools, method) for method in ("fork", "spawn")},
}

if __name__ == "__main__":
    WAYS[sys.argv[1]]()

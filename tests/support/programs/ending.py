"""Makes a few calls and ends, in one of many ways: ``python tests/support/programs/ending.py WAY``.

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

from monitored_openai import MonitoredOpenAI, Monitoring
from tests.support.servers._http import wait_until

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


def monitoring() -> Monitoring:
    return client(os.getpid()).monitoring


def is_kept() -> bool:
    """Whether the spool has all entries, and the totals of all."""
    exporter = monitoring()._runner._exporter
    keeper = exporter._state.keeper if exporter is not None else None
    return keeper is not None and keeper._kept == CALLS


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
    wait_until(lambda: monitoring().stats().folded == CALLS)
    call()
    signal.raise_signal(signal.SIGINT)


def is_terminated() -> None:
    calls()
    signal.raise_signal(signal.SIGTERM)


def is_terminated_later() -> None:
    calls()
    wait_until(is_kept)
    signal.raise_signal(signal.SIGTERM)


def exits_without_python() -> None:
    calls()
    wait_until(is_kept)
    os._exit(EXIT_CODE)


def is_killed() -> None:
    calls()
    wait_until(is_kept)
    os.kill(os.getpid(), signal.SIGKILL)


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
    "termination later": is_terminated_later,
    "os._exit": exits_without_python,
    "kill": is_killed,
    "handled termination": handles_its_termination,
    "late thread": has_a_late_thread,
    "fork": forks,
    **{f"process by {method}": partial(starts, method) for method in ("fork", "spawn", "forkserver")},
    **{f"pool by {method}": partial(pools, method) for method in ("fork", "spawn")},
}

if __name__ == "__main__":
    WAYS[sys.argv[1]]()

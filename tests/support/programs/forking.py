"""Forks in one of many situations, and prints the number of all calls: ``python tests/support/programs/forking.py WHAT``."""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from monitored_openai import MonitoredOpenAI
from monitored_openai._exporter.runtime.process import PROCESS
from tests.support.handles import ask, http, in_process_transport

CHILDREN = 4
CALLS = 25


def client() -> MonitoredOpenAI:
    return MonitoredOpenAI(http_client=http.Client(transport=in_process_transport()))


def in_children(number: int, work: Callable[[], object]) -> None:
    """Do it in so many children; their failures are this process's."""
    _wait([_child(work) for _ in range(number)])


def _child(work: Callable[[], object]) -> int:
    child = os.fork()
    if not child:
        faulthandler.dump_traceback_later(45, exit=True)  # rather than hang, say where
        work()
        sys.exit(0)  # as a program ends, so that what is registered with atexit is done
    return child


def _wait(children: list[int]) -> None:
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert not any(codes), codes


def some_calls(monitored: MonitoredOpenAI) -> None:
    stats = monitored.monitoring.stats()
    assert (stats.calls, stats.active, stats.folded, stats.pushes, stats.dropped) == (0, 0, 0, 0, {}), stats
    for number in range(CALLS):
        ask(monitored, f"in a child {number}")


def under_two_hammering_threads() -> int:
    monitored = client()
    ask(monitored)  # the SDK's resources are made under a lock up to Python 3.11, which a fork must not catch
    monitored.monitoring.flush(20)  # a fork waits for the exporter's imports, but not for ever, and threads slow them
    made = [1, 0]
    stop = threading.Event()

    def hammer(which: int) -> None:
        while not stop.wait(0.001):  # as calls over a network do; without any wait the main thread would starve
            ask(monitored, f"in thread {which}")
            made[which] += 1

    threads = [threading.Thread(target=hammer, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    children = []
    for already in range(CHILDREN):
        while sum(made) < 20 * (already + 1):
            time.sleep(0.001)
        children.append(_child(lambda: some_calls(monitored)))
    stop.set()
    for thread in threads:
        thread.join()
    _wait(children)
    return sum(made) + CHILDREN * CALLS


def with_a_client_made_beforehand() -> int:
    monitored = client()
    in_children(CHILDREN, lambda: some_calls(monitored))
    return CHILDREN * CALLS


def soon_after_the_first_call() -> int:
    monitored = client()
    ask(monitored)
    time.sleep(float(sys.argv[2]))
    in_children(1, lambda: some_calls(monitored))
    return 1 + CALLS


def while_locks_are_held() -> int:
    monitored = client()
    ask(monitored)
    handle = monitored.monitoring
    handle.flush(10)
    locks: list[Any] = [handle._runner.ledger.lock, handle._runner.metrics._lock, PROCESS._lock, PROCESS.sharing]
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.set()
        let_go.wait(60)
        for lock in locks:
            lock.release()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)

    def work() -> None:
        some_calls(monitored)
        ask(client())

    try:
        in_children(2, work)
    finally:
        let_go.set()
        holder.join()
    return 1 + 2 * (CALLS + 1)


def _streamed() -> Iterator[object]:
    delta = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024-08-06"}
    event = {**delta, "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]}
    body = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for _ in range(6)) + b"data: [DONE]\n\n"
    head = {"content-type": "text/event-stream"}
    transport = http.MockTransport(lambda request: http.Response(200, content=body, headers=head))
    with MonitoredOpenAI(http_client=http.Client(transport=transport)) as monitored:
        yield from ask(monitored, stream=True)


def with_open_streams() -> int:
    streams = [_streamed() for _ in range(3)]
    for stream in streams:
        next(stream)

    def work() -> None:
        list(streams.pop())  # read to the end
        streams.pop()  # left and collected
        gc.collect()
        some_calls(client())
        # the third is still open when the process ends

    in_children(2, work)
    for stream in streams:
        list(stream)
    return 3 + 2 * CALLS


def and_collects_garbage() -> int:
    monitored = client()
    ask(monitored)
    monitored.monitoring.flush(10)
    ask(monitored)

    def work() -> None:
        gc.collect()
        some_calls(monitored)
        gc.collect()

    in_children(2, work)
    ask(monitored)
    assert monitored.monitoring.flush(10).complete
    return 3 + 2 * CALLS


def after_the_handle_was_closed() -> int:
    monitored = client()
    ask(monitored)
    assert monitored.monitoring.close(10).complete

    def work() -> None:
        ask(monitored)
        stats = monitored.monitoring.stats()
        assert (stats.dropped, stats.metrics_dropped) == ({"closed": 1}, {"closed": 1}), stats

    in_children(1, work)
    return 1


SITUATIONS = {
    function.__name__.replace("_", " "): function
    for function in (
        under_two_hammering_threads,
        with_a_client_made_beforehand,
        soon_after_the_first_call,
        while_locks_are_held,
        with_open_streams,
        and_collects_garbage,
        after_the_handle_was_closed,
    )
}

if __name__ == "__main__":
    total = SITUATIONS[sys.argv[1]]()
    print(json.dumps({"calls": total}))  # noqa: T201

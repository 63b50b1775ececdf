"""The end of the exporter's thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time

from monitored_openai._exporter.runtime.fork_gate import ForkGate
from monitored_openai._exporter.runtime.thread import ExporterThread


def test_what_a_loop_is_told_when_it_has_stopped_is_cancelled_and_waited_for_by_nobody() -> None:
    thread = ExporterThread(lambda: None, ForkGate())
    stopped, told = threading.Event(), threading.Event()

    def stop() -> None:
        thread._loop.stop()
        stopped.set()
        told.wait(30)

    thread.call(stop)
    assert stopped.wait(30)
    late = thread.submit(asyncio.sleep(60))
    told.set()
    thread._thread.join(30)
    too_late = thread.submit(asyncio.sleep(60))
    done, _ = concurrent.futures.wait([late, too_late], timeout=30)
    assert done == {late, too_late}
    assert late.cancelled()
    assert too_late.cancelled()


def test_whatever_a_loop_is_told_while_it_ends_comes_to_an_end() -> None:
    for _ in range(300):
        thread = ExporterThread(lambda: None, ForkGate())
        told = [thread.submit(asyncio.sleep(60))]
        thread.call(thread._loop.stop)
        while thread.is_alive:
            told.append(thread.submit(asyncio.sleep(60)))
            time.sleep(0)  # without it, thousands of tasks would have to be ended
        assert not concurrent.futures.wait(told, timeout=30).not_done

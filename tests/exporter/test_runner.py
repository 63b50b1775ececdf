"""The exporter of a handle: start, stop, flush on call, death of its thread."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from monitored_openai._exporter.runtime.process import PROCESS
from tests.support.handles import MANUAL, ask, call, handle, imbalance, in_process, settled
from tests.support.servers._steps import Gate
from tests.support.servers.loki import FakeLoki, Hold, NeverAnswer, Status
from tests.support.servers.remote_write import RemoteWriteProxy

CALLS = "gen_ai_client_operation_duration_seconds_count"


def test_a_flush_that_nobody_waits_for_ends_when_its_handle_is_closed(loki: FakeLoki) -> None:
    loki.always = NeverAnswer()
    with handle(logs_url=loki.push_url, **MANUAL) as monitoring:
        call(monitoring, 3)
        flush = monitoring._runner.begin_flush()
        assert flush is not None
        loki.wait_until(lambda: loki.faulted == 1)
        monitoring.close(0)
        assert flush.result(30) is False


def test_a_handle_that_is_closed_while_its_exporter_starts_does_nothing_more(proxy: RemoteWriteProxy) -> None:
    async def all_tasks() -> int:
        return len(asyncio.all_tasks())

    def tasks() -> int:
        return PROCESS.thread().submit(all_tasks()).result(30)

    before = tasks()
    PROCESS.forks.close()
    try:
        with handle(metrics_url=proxy.write_url, push_interval=0.01) as monitoring:
            call(monitoring)
            monitoring.close(0)
    finally:
        PROCESS.forks.open()
    proxy.wait_until(lambda: tasks() == before)
    assert proxy.requests == []


def test_a_closed_handle_makes_room_for_a_new_one_with_an_instance_of_its_own(proxy: RemoteWriteProxy) -> None:
    for _ in range(2):
        with handle(metrics_url=proxy.write_url, **MANUAL) as monitoring:
            call(monitoring, 2)
            settled(monitoring)

    assert len(proxy.latest(CALLS)) == 2
    assert proxy.total(CALLS) == 4


def test_with_flush_on_call_a_call_has_delivered_when_it_returns(loki: FakeLoki, proxy: RemoteWriteProxy) -> None:
    with (
        handle(logs_url=loki.push_url, metrics_url=proxy.write_url, flush_on_call=True, **MANUAL) as monitoring,
        in_process(monitoring) as client,
    ):
        ask(client)
        settled(monitoring)  # the exporter may have taken longer to start than a call waits
        for number in range(2, 5):
            ask(client)
            assert (len(loki.entries), proxy.total(CALLS)) == (number, number)


async def test_with_flush_on_call_an_event_loop_is_not_held_up(loki: FakeLoki) -> None:
    gate = Gate()
    loki.fail_next(Hold(gate))
    with (
        handle(logs_url=loki.push_url, flush_on_call=True, **MANUAL) as monitoring,
        in_process(monitoring) as client,
    ):
        ask(client)
        assert monitoring.stats().delivered == 0
        await asyncio.to_thread(gate.wait_reached)  # it is on its way without anybody's waiting for it
        gate.set()
        await monitoring.aflush(20)
        assert monitoring.stats().delivered == 1


async def test_with_flush_on_call_the_calls_of_an_event_loop_during_a_push_share_the_next_one(
    proxy: RemoteWriteProxy,
) -> None:
    with (
        handle(metrics_url=proxy.write_url, flush_on_call=True, **MANUAL) as monitoring,
        in_process(monitoring) as client,
    ):
        gates = Gate(), Gate()
        for gate in gates:
            proxy.fail_next(Hold(gate))
        ask(client)
        await asyncio.to_thread(gates[0].wait_reached)
        ask(client)
        gates[0].set()
        await asyncio.to_thread(gates[1].wait_reached)
        for _ in range(20):
            ask(client)
        gates[1].set()
        await asyncio.to_thread(proxy.wait_until, lambda: proxy.total(CALLS) == 22)
        await monitoring.aflush(20)  # waits for a push in progress
        assert len(proxy.stored) < 8


async def test_with_flush_on_call_a_silent_back_end_does_not_hold_up_the_totals_of_an_event_loops_calls(
    loki: FakeLoki, proxy: RemoteWriteProxy
) -> None:
    loki.always = NeverAnswer()
    with (
        handle(logs_url=loki.push_url, metrics_url=proxy.write_url, flush_on_call=True, **MANUAL) as monitoring,
        in_process(monitoring) as client,
    ):
        for number in range(1, 5):
            ask(client)
            await asyncio.to_thread(proxy.wait_until, partial(_has, proxy, number))


def _has(proxy: RemoteWriteProxy, calls: int) -> bool:
    return proxy.total(CALLS) == calls


async def test_with_flush_on_call_and_a_dead_back_end_an_event_loops_calls_pile_no_flushes_up(loki: FakeLoki) -> None:
    async def all_tasks() -> int:
        return len(asyncio.all_tasks())

    with (
        handle(logs_url=loki.push_url, flush_on_call=True, **MANUAL) as monitoring,
        in_process(monitoring) as client,
    ):
        ask(client)
        await monitoring.aflush(30)
        loki.refuse()
        ask(client)
        before = PROCESS.thread().submit(all_tasks()).result(30)
        for _ in range(50):
            ask(client)
        assert PROCESS.thread().submit(all_tasks()).result(30) < before + 10
        loki.listen()
        await monitoring.aflush(30)
        assert (len(loki.entries), imbalance(monitoring.stats())) == (52, (0, 0))


async def test_with_flush_on_call_a_failing_back_end_gets_quick_retries_for_two_seconds(loki: FakeLoki) -> None:
    with (
        handle(logs_url=loki.push_url, flush_on_call=True, **MANUAL) as monitoring,
        in_process(monitoring) as client,
    ):
        ask(client)
        await monitoring.aflush(30)
        loki.always = Status(503)
        began = time.monotonic()
        ask(client)
        exporter = monitoring._runner._exporter
        assert exporter is not None
        await asyncio.to_thread(loki.wait_until, lambda: loki.faulted >= 4)
        await asyncio.to_thread(loki.wait_until, lambda: not exporter._flush_gate.flush_in_progress)
        assert time.monotonic() - began >= 2
        loki.always = None
        ask(client)
        await asyncio.to_thread(loki.wait_until, lambda: len(loki.entries) == 3)


def test_an_exporter_whose_thread_has_died_is_started_again_by_the_next_call(loki: FakeLoki) -> None:
    with handle(logs_url=loki.push_url) as monitoring:
        call(monitoring)
        settled(monitoring)
        assert monitoring._runner._thread is not None
        monitoring._runner._thread.call(monitoring._runner._thread._loop.stop)
        monitoring._runner._thread._thread.join(10)
        call(monitoring, 3)
        settled(monitoring)
    assert len(loki.entries) == 4


def test_an_exporter_whose_thread_has_died_with_work_in_hand_is_started_again_by_the_next_call(loki: FakeLoki) -> None:
    with handle(logs_url=loki.push_url) as monitoring:
        call(monitoring)
        settled(monitoring)
        assert monitoring._runner._thread is not None
        monitoring._runner.calls.wake_if_idle()
        monitoring._runner._thread.call(monitoring._runner._thread._loop.stop)
        monitoring._runner._thread._thread.join(10)
        call(monitoring, 3)
        loki.wait_until(lambda: len(loki.entries) == 4)

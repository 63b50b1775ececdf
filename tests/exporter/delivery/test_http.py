"""The sender by itself: what a request that is broken off at any point leaves behind."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any

from monitored_openai._exporter.delivery.http import Sender
from monitored_openai._exporter.delivery.retry import Reply
from monitored_openai._settings.model import MonitoringSettings
from tests.support.servers.loki import FakeLoki


@types.coroutine
def cancelled_at(number: int, work: Coroutine[Any, Any, object]) -> Generator[Any, Any, bool]:
    """Run it in the present task, which is cancelled when it waits for the n-th time; whether it waited so often."""
    resume: Any = work.send
    value: object = None
    waited = 0
    while True:
        try:
            waits_for = resume(value)
        except StopIteration:
            return waited >= number
        waited += 1
        if waited == number:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        try:
            value, resume = (yield waits_for), work.send
        except BaseException as error:
            value, resume = error, work.throw


def test_a_request_broken_off_at_any_point_takes_no_connection_with_it() -> None:
    async def broken_off(sender: Sender, number: int) -> bool:
        try:
            return await asyncio.create_task(_drive(cancelled_at(number, sender.post(b"{}", {}))))
        except asyncio.CancelledError:
            return True

    async def breaks_off(number: int) -> bool:
        sender = Sender(loki.push_url, "logs", MonitoringSettings(logs_url=loki.push_url))
        broken = [await broken_off(sender, number) for _ in range(3)]
        await answered(sender)
        await sender.aclose()
        return broken[0]

    with FakeLoki() as loki:
        number = 1
        while asyncio.run(breaks_off(number)):
            number += 1
    assert number > 5


async def answered(sender: Sender) -> None:
    outcome = await asyncio.wait_for(sender.post(b"{}", {}), 60)
    assert isinstance(outcome, Reply), (outcome, sender.trouble)


async def _drive(work: Any) -> bool:
    return bool(await work)

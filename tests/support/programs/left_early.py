"""Leaves asynchronous streams early in many ways, and prints the complaints of the event loop about each.

``python left_early.py ours|bare STREAMS SEED``: in each way, the reader leaves so many streams after one chunk. Then it
drops them, or holds them until the loop ends.

At its end a loop closes all living generators in the order of their addresses, thus in another order in each process.
It complains about each one that another generator closes at the same time. SEED sets the order instead, so that two
programs with equal generators get equal complaints. For the same reason the garbage collector runs only when it is told to.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import random
import sys
from typing import Any

import openai

from monitored_openai import AsyncMonitoredOpenAI
from tests.support.handles import MODEL

REQUEST: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}


class _Ordered(list[Any]):
    def discard(self, generator: Any) -> None:
        if generator in self:
            self.remove(generator)

    add = list.append


class Loop(asyncio.SelectorEventLoop):
    """A loop that closes the generators in an order that depends on the seed only."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._began: dict[int, int] = {}
        self._numbers = itertools.count()
        self.closed: list[str] = []

    def _asyncgen_firstiter_hook(self, agen: Any) -> None:
        self._began[id(agen)] = next(self._numbers)
        super()._asyncgen_firstiter_hook(agen)  # type: ignore[misc]

    async def shutdown_asyncgens(self) -> None:
        living = sorted(self._asyncgens, key=lambda agen: self._began[id(agen)])  # type: ignore[has-type]
        self.closed = [agen.__qualname__ for agen in living]
        random.Random(self._seed).shuffle(living)
        self._asyncgens = _Ordered(living)
        del living
        await super().shutdown_asyncgens()


async def leave(client: openai.AsyncOpenAI, how: str, held: list[Any], has_read: asyncio.Event) -> None:
    """Read one chunk, and no more."""
    chat = client.chat.completions
    reading: Any
    if how == "raw":
        reading = (await chat.with_raw_response.create(**REQUEST, stream=True)).http_response.aiter_raw()
    elif how == "helper":
        manager = chat.stream(**REQUEST)
        held.append(manager)
        reading = await manager.__aenter__()
    else:
        reading = await chat.create(**REQUEST, stream=True)
    held.append(reading)
    if how == "collected":
        gc.collect(0)  # later, the collector finalizes the outer generators after the inner ones
    async for _ in reading:
        has_read.set()
        if how == "cancelled":
            await asyncio.Event().wait()
        break


async def leave_all(client: openai.AsyncOpenAI, how: str, streams: int, held: list[Any], *, drops: bool) -> None:
    """Leave so many streams, one after the other."""
    for _ in range(streams):
        has_read = asyncio.Event()
        task = asyncio.ensure_future(leave(client, how, held, has_read))
        if how == "cancelled":
            await has_read.wait()
            task.cancel()
        await asyncio.wait([task])
        del task
        if drops:
            held.clear()
            gc.collect()
            while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110  # the loop makes the tasks that close generators
                await asyncio.sleep(0)


def complaints_of(which: str, how: str, streams: int, seed: int, *, drops: bool) -> tuple[list[str], list[str]]:
    """The complaints of one loop, and the generators that it had to close."""
    complaints: list[str] = []
    held: list[Any] = []
    loop = Loop(seed)
    loop.set_exception_handler(
        lambda _, context: complaints.append(f"{context['message'].partition(' at 0x')[0]}: {context.get('exception')}")
    )
    sys.unraisablehook = lambda found: complaints.append(f"unraisable: {found.exc_value}")
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        kind = AsyncMonitoredOpenAI if which == "ours" else openai.AsyncOpenAI
        runner.run(leave_all(kind(max_retries=0), how, streams, held, drops=drops))
    held.clear()
    gc.collect()
    return sorted(complaints), loop.closed


def main(which: str, streams: int, seed: int) -> None:
    """Leave the streams in every way, and print the complaints and the generators of each."""
    gc.disable()
    found = {
        f"{how}, {'dropped' if drops else 'held'}": complaints_of(which, how, streams, seed, drops=drops)
        for how in ("stream", "collected", "cancelled", "raw", "helper")
        for drops in (False, True)
    }
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

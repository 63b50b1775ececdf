"""Sync and async behind one set of methods, so that each script is written once."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Protocol

from tests.support.servers._steps import Gate

DONE = object()
"""What `step` returns at the end of an iterator."""
_MOST_SECONDS = 20.0
_TURNS = 300
"""Turns of the loop that a client needs at most for what has arrived; time would depend on the load."""


class Way(Protocol):
    """How a script talks to the one kind of client."""

    is_async: bool

    def run(self, script: Coroutine[Any, Any, None]) -> None:
        """Run a script to its end."""

    async def get(self, value: Any) -> Any:
        """What a method of the client gives."""

    async def step(self, iterator: Any) -> Any:
        """One step of an iterator, or `DONE`."""

    async def each(self, stream: Any, see: Callable[[Any], None], most: int | None = None) -> None:
        """Iterate with a loop, breaking it off after so many items."""

    async def enter(self, stack: AsyncExitStack, manager: Any) -> Any:
        """Enter a context manager until the stack is left."""

    async def collect(self) -> None:
        """Let the garbage collector have what nobody holds."""


class Sync:
    is_async = False

    def run(self, script: Coroutine[Any, Any, None]) -> None:
        try:
            script.send(None)
        except StopIteration:
            return
        raise AssertionError("a sync script waited for something")

    async def get(self, value: Any) -> Any:
        return value

    async def step(self, iterator: Any) -> Any:
        return next(iterator, DONE)

    async def each(self, stream: Any, see: Callable[[Any], None], most: int | None = None) -> None:
        for number, item in enumerate(stream, 1):
            see(item)
            if number == most:
                break

    async def enter(self, stack: AsyncExitStack, manager: Any) -> Any:
        return stack.enter_context(manager)

    async def collect(self) -> None:
        gc.collect()


class Async:
    is_async = True

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner

    def run(self, script: Coroutine[Any, Any, None]) -> None:
        self._runner.run(asyncio.wait_for(script, _MOST_SECONDS))

    def cancel_at(self, gate: Gate, script: Coroutine[Any, Any, None]) -> None:
        """Run a script in a task, which is cancelled once the server has come to the gate and the client waits."""
        self._runner.run(self._cancel_at(gate, script))

    async def _cancel_at(self, gate: Gate, script: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(script)
        deadline = time.monotonic() + _MOST_SECONDS
        while not gate.reached and time.monotonic() < deadline:  # noqa: ASYNC110  # it is a thing of threads
            await asyncio.sleep(0.001)
        for _ in range(_TURNS):  # what the server wrote before the gate is taken in, and the client waits for more
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait_for(task, _MOST_SECONDS)

    async def get(self, value: Any) -> Any:
        return await value

    async def step(self, iterator: Any) -> Any:
        return await anext(iterator, DONE)

    async def each(self, stream: Any, see: Callable[[Any], None], most: int | None = None) -> None:
        taken = 0
        async for item in stream:
            see(item)
            taken += 1
            if taken == most:
                break

    async def enter(self, stack: AsyncExitStack, manager: Any) -> Any:
        return await stack.enter_async_context(manager)

    async def collect(self) -> None:
        for _ in range(2):  # what the first round finds is closed by the loop, and only then let go
            gc.collect()
            for _ in range(5):
                await asyncio.sleep(0)

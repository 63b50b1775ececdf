"""The demo's application: ordinary code on the package's clients that counts the errors it sees."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import islice
from typing import Any, TypeAlias
from uuid import uuid4

from monitored_openai import AsyncMonitoredOpenAI, MonitoredOpenAI, MonitoringSettings, attributes
from monitored_openai._cli.demo.counts import Counts
from monitored_openai._cli.demo.openai_server import CALL_HEADER
from monitored_openai._cli.demo.workload import Job, Phase

Watch: TypeAlias = Callable[[Phase], AbstractContextManager[Callable[[], None]]]
"""Returns a context for a phase; the context yields a function, which the application calls after each API call."""
_THREADS, _TASKS = 8, 32


def run(
    phases: Iterable[Phase],
    base_url: str,
    monitoring: MonitoringSettings,
    watch: Watch = lambda _: nullcontext(lambda: None),
) -> Counts:
    """Make all calls, phase by phase; return the number of errors by model.

    Raises:
        ExceptionGroup: a call failed unexpectedly.
    """
    return asyncio.run(_run(phases, {"base_url": base_url, "api_key": "none", "monitoring": monitoring}, watch))


async def _run(phases: Iterable[Phase], options: Any, watch: Watch) -> Counts:
    errors: Counts = Counter()

    async def work(jobs: Iterator[Job], make: Callable[[Job], Awaitable[None]], on_done: Callable[[], None]) -> None:
        for job in jobs:  # several workers share the iterator
            if await _fails(job, make):
                errors[job.model, "errors"] += 1
            on_done()

    with MonitoredOpenAI(**options) as client, ThreadPoolExecutor(_THREADS) as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        async with AsyncMonitoredOpenAI(**options) as async_client:
            for phase in phases:
                in_threads, in_tasks = iter(phase.in_threads), iter(phase.in_tasks)
                with watch(phase) as on_done:
                    async with asyncio.TaskGroup() as workers:
                        for _ in range(_THREADS):
                            make = partial(asyncio.to_thread, partial(call, client))
                            workers.create_task(work(in_threads, make, on_done))
                        for _ in range(_TASKS):
                            workers.create_task(work(in_tasks, partial(call_async, async_client), on_done))
    return errors


async def _fails(job: Job, make: Callable[[Job], Awaitable[None]]) -> bool:
    try:
        with attributes(feature=job.feature):
            await make(job)
    except Exception:
        if not job.fails:
            raise
        return True
    return job.chunks_read is not None


def call(client: MonitoredOpenAI, job: Job) -> None:
    """Make a call and read its stream."""
    reply = _create(client, job)
    if job.arguments.get("stream"):
        with reply:
            for _ in islice(reply, job.chunks_read):
                pass


async def call_async(client: AsyncMonitoredOpenAI, job: Job) -> None:
    """Make a call and read its stream."""
    reply = await _create(client, job)
    if job.arguments.get("stream"):
        async with reply:
            number = 0
            async for _ in reply:
                number += 1
                if number == job.chunks_read:
                    break


def _create(client: MonitoredOpenAI | AsyncMonitoredOpenAI, job: Job) -> Any:
    client = client.with_options(default_headers={CALL_HEADER: uuid4().hex}, **job.client_options)
    endpoint: Any = client.completions if "prompt" in job.arguments else client.chat.completions
    return endpoint.create(**job.arguments)

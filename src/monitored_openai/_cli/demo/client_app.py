"""The demo's application: ordinary code on the package's clients that counts the errors it sees."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from monitored_openai import AsyncMonitoredOpenAI, MonitoredOpenAI, MonitoringSettings, attributes
from monitored_openai._cli.demo.counts import Counts
from monitored_openai._cli.demo.workload import Job, Phase

_THREADS, _TASKS = 8, 32


def run(phase: Phase, base_url: str, monitoring: MonitoringSettings, on_done: Callable[[int], None]) -> Counts:
    """Make a phase's calls; return the number of errors by model.

    Args:
        phase: the calls.
        base_url: of the API.
        monitoring: the clients' settings.
        on_done: called with the number of finished calls after each call.

    Raises:
        Exception: a call failed that should not; those of tasks come as an exception group.
    """
    failed: list[str] = []
    options: Any = {"base_url": base_url, "api_key": "none", "monitoring": monitoring}

    def do(job: Job) -> None:
        with _expecting_failure(job, failed):
            call(client.with_options(**job.client_options), job.arguments, job.chunks_read)

    with MonitoredOpenAI(**options) as client, ThreadPoolExecutor(_THREADS) as pool:
        finished = pool.map(do, phase.in_threads)
        try:
            for done, _ in enumerate(finished, start=1):
                on_done(done)
        finally:
            pool.shutdown(cancel_futures=True)
    if phase.in_tasks:
        asyncio.run(_run_in_tasks(phase, options, failed, on_done))
    errors: Counts = Counter((model, "errors") for model in failed)
    return errors


async def _run_in_tasks(phase: Phase, options: Any, failed: list[str], on_done: Callable[[int], None]) -> None:
    jobs, done = iter(phase.in_tasks), itertools.count(len(phase.in_threads) + 1)

    async def work() -> None:
        for job in jobs:  # all tasks draw from one iterator
            with _expecting_failure(job, failed):
                await call_async(client.with_options(**job.client_options), job.arguments, job.chunks_read)
            on_done(next(done))

    async with AsyncMonitoredOpenAI(**options) as client, asyncio.TaskGroup() as tasks:
        for _ in range(_TASKS):
            tasks.create_task(work())


def call(client: MonitoredOpenAI, arguments: Mapping[str, Any], most_chunks: int | None = None) -> None:
    """Make a call and read its stream, to the end or up to `most_chunks`."""
    endpoint: Any = client.completions if "prompt" in arguments else client.chat.completions
    reply = endpoint.create(**arguments)
    if arguments.get("stream"):
        with reply:
            for number, _ in enumerate(reply, start=1):
                if number == most_chunks:
                    break


async def call_async(
    client: AsyncMonitoredOpenAI, arguments: Mapping[str, Any], most_chunks: int | None = None
) -> None:
    """Make a call and read its stream, to the end or up to `most_chunks`."""
    endpoint: Any = client.completions if "prompt" in arguments else client.chat.completions
    reply = await endpoint.create(**arguments)
    if arguments.get("stream"):
        async with reply:
            number = 0
            async for _ in reply:
                number += 1
                if number == most_chunks:
                    break


@contextmanager
def _expecting_failure(job: Job, failed: list[str]) -> Iterator[None]:
    try:
        with attributes(feature=job.feature):
            yield
    except Exception:
        if not job.fails:
            raise
        failed.append(job.model)
    else:
        if job.chunks_read is not None:
            failed.append(job.model)

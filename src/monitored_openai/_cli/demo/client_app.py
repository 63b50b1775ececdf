"""The demo's application: ordinary code on the package's clients, which counts what it sees itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from monitored_openai import AsyncMonitoredOpenAI, MonitoredOpenAI, MonitoringSettings, attributes
from monitored_openai._cli.demo.counts import Figures
from monitored_openai._cli.demo.workload import Job, Phase

_API_KEY = "no-key-needed"  # on 127.0.0.1
_THREADS = 8
_TASKS = 32


def run(phase: Phase, base_url: str, monitoring: MonitoringSettings, on_done: Callable[[int], None]) -> Figures:
    """Make a phase's calls; how many came to nothing, by model.

    `on_done` is told how many calls have ended. Raises what a call raises that was not to fail.
    """
    failed = _run_in_threads(phase, base_url, monitoring, on_done)
    if phase.in_tasks:
        failed += asyncio.run(_run_in_tasks(phase, base_url, monitoring, on_done))
    return failed


def _run_in_threads(
    phase: Phase, base_url: str, monitoring: MonitoringSettings, on_done: Callable[[int], None]
) -> Figures:
    failed: Figures = Counter()
    with (
        MonitoredOpenAI(base_url=base_url, api_key=_API_KEY, monitoring=monitoring) as client,
        ThreadPoolExecutor(_THREADS) as pool,
    ):
        futures = [pool.submit(_ask, client, job) for job in phase.in_threads]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                failed += future.result()
                on_done(done)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return failed


async def _run_in_tasks(
    phase: Phase, base_url: str, monitoring: MonitoringSettings, on_done: Callable[[int], None]
) -> Figures:
    failed: Figures = Counter()
    at_once = asyncio.Semaphore(_TASKS)

    async def limited(job: Job) -> Figures:
        async with at_once:
            return await _ask_async(client, job)

    async with AsyncMonitoredOpenAI(base_url=base_url, api_key=_API_KEY, monitoring=monitoring) as client:
        tasks = [asyncio.ensure_future(limited(job)) for job in phase.in_tasks]
        try:
            for done, task in enumerate(asyncio.as_completed(tasks), start=len(phase.in_threads) + 1):
                failed += await task
                on_done(done)
        finally:
            for left in tasks:
                left.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return failed


def _ask(client: MonitoredOpenAI, job: Job) -> Figures:
    client = client.with_options(**job.client_options) if job.client_options else client
    endpoint: Any = client.completions if job.is_legacy else client.chat.completions
    try:
        with attributes(feature=job.feature):
            answer = endpoint.create(**job.arguments())
        if job.streamed:
            with answer:
                for number, _ in enumerate(answer, start=1):
                    if number == job.most_chunks:
                        break
    except Exception:
        if not job.raises:
            raise
        return _failure(job)
    return _failure(job) if job.leaves else Counter()


async def _ask_async(client: AsyncMonitoredOpenAI, job: Job) -> Figures:
    client = client.with_options(**job.client_options) if job.client_options else client
    endpoint: Any = client.completions if job.is_legacy else client.chat.completions
    try:
        with attributes(feature=job.feature):
            answer = await endpoint.create(**job.arguments())
        if job.streamed:
            async with answer:
                number = 0
                async for _ in answer:
                    number += 1
                    if number == job.most_chunks:
                        break
    except Exception:
        if not job.raises:
            raise
        return _failure(job)
    return _failure(job) if job.leaves else Counter()


def _failure(job: Job) -> Figures:
    return Counter({(job.model, "errors"): 1})

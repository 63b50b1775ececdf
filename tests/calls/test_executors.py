"""Blocks reach into the threads of a pool with `carry`, or with the pattern of `contextvars` that the docs show."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from threading import Barrier

import pytest

from monitored_openai import attributes, carry, no_content
from monitored_openai._calls.context import current_attributes
from tests.support.handles import MANUAL, ask, handle, in_process
from tests.support.servers.loki import FakeLoki

OTHER: ContextVar[str] = ContextVar("other", default="none")


@pytest.fixture
def pool() -> Iterator[Executor]:
    with carry(ThreadPoolExecutor(2)) as made:
        yield made


def feature() -> str | None:
    return current_attributes.get().get("feature")


def test_calls_in_a_carrying_pool_have_the_blocks_around_submit(loki: FakeLoki, pool: Executor) -> None:
    with handle(logs_url=loki.push_url, **MANUAL) as monitoring, in_process(monitoring) as client:
        with attributes(feature="search"), no_content():
            pool.submit(ask, client, "secret").result(20)
        with attributes(feature="chat"):
            list(pool.map(ask, [client] * 2, ["one", "two"]))
        pool.submit(ask, client, "bare").result(20)
        assert monitoring.flush(20).complete
    entries = [json.loads(entry.line) for entry in loki.entries]
    assert [call.get("attributes", {}).get("feature") for call in entries] == ["search", "chat", "chat", None]
    assert ["request" in call for call in entries] == [False, True, True, True]


def test_without_carry_a_pool_loses_the_blocks_and_the_documented_pattern_keeps_them() -> None:
    with ThreadPoolExecutor(1) as bare, attributes(feature="search"):
        assert bare.submit(feature).result(20) is None
        assert bare.submit(copy_context().run, feature).result(20) == "search"


def test_functions_that_run_at_the_same_time_have_a_context_each(pool: Executor) -> None:
    both = Barrier(2, timeout=20)

    def together() -> str | None:
        both.wait()
        return feature()

    futures = []
    for name in ("one", "two"):
        with attributes(feature=name):
            futures.append(pool.submit(together))
    assert [future.result(20) for future in futures] == ["one", "two"]


def test_a_thread_keeps_nothing_of_an_earlier_function(pool: Executor) -> None:
    def leak() -> None:
        OTHER.set("leaked")

    pool.submit(leak).result(20)
    assert set(pool.map(lambda _: OTHER.get(), range(10))) == {"none"}


def test_the_executor_is_one_for_asyncio_too(pool: Executor) -> None:
    async def work() -> str | None:
        with attributes(feature="search"):
            return await asyncio.get_running_loop().run_in_executor(pool, feature)

    assert asyncio.run(work()) == "search"


def test_errors_and_shutdown_are_those_of_the_pool() -> None:
    inner = ThreadPoolExecutor(1)
    outer = carry(inner)
    with pytest.raises(ZeroDivisionError):
        outer.submit(divmod, 1, 0).result(20)
    assert isinstance(outer, Executor)
    outer.shutdown(cancel_futures=True)
    with pytest.raises(RuntimeError, match="shutdown"):
        inner.submit(feature)


def test_a_pool_of_processes_is_refused() -> None:
    with ProcessPoolExecutor(1) as processes, pytest.raises(TypeError, match="threads, not ProcessPoolExecutor"):
        carry(processes)

"""The cases: the work that a bare and a monitored client repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import openai

from benchmarks.api import (
    CHUNKS,
    MODEL,
    Answer,
    Clients,
    completion,
    prose,
    question,
    refusal,
    response,
    response_stream,
    stream,
)

Work = Callable[[int], None]
"""Performs the given number of operations."""

CALLS_AT_ONCE, STREAMS_AT_ONCE, THREADS = 200, 50, 8
SMALL_QUESTION, SMALL_ANSWER = 60, 40
LARGE_QUESTION, LARGE_ANSWER = 20_000, 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of work."""

    name: str
    opens: Callable[[Clients], AbstractContextManager[Work]]
    at_once: int = 1
    """Operations in one slice, the unit of timing; async operations run concurrently."""
    slices: int
    """Slices in one round."""
    unit: str = "call"
    bar: float | None = None
    """Limit of the median added time, in microseconds per operation."""


@contextmanager
def _small(clients: Clients) -> Iterator[Work]:
    yield _calls(clients.sync(completion(SMALL_ANSWER)), question(SMALL_QUESTION))


@contextmanager
def _large(clients: Clients) -> Iterator[Work]:
    yield _calls(clients.sync(completion(LARGE_ANSWER)), question(LARGE_QUESTION))


@contextmanager
def _tools(clients: Clients) -> Iterator[Work]:
    yield _calls(clients.sync(completion(0, tools=True)), question(SMALL_QUESTION, tools=True))


@contextmanager
def _errors(clients: Clients) -> Iterator[Work]:
    create, asked = clients.sync(refusal()).chat.completions.create, question(SMALL_QUESTION)

    def work(operations: int) -> None:
        for _ in range(operations):
            try:
                create(**asked)
            except openai.BadRequestError:
                continue
            raise AssertionError("the call should have failed")

    yield work


@contextmanager
def _threads(clients: Clients) -> Iterator[Work]:
    calls = _calls(clients.sync(completion(SMALL_ANSWER)), question(SMALL_QUESTION))
    with ThreadPoolExecutor(THREADS) as pool:
        yield lambda operations: list(pool.map(calls, [operations // THREADS] * THREADS)).clear()


@contextmanager
def _stream(clients: Clients) -> Iterator[Work]:
    create, asked = clients.sync(stream()).chat.completions.create, question(SMALL_QUESTION)

    def work(operations: int) -> None:
        for _ in range(operations // CHUNKS):
            assert sum(1 for _ in create(**asked, stream=True)) == CHUNKS

    yield work


@contextmanager
def _response(clients: Clients) -> Iterator[Work]:
    create, asked = clients.sync(response(SMALL_ANSWER)).responses.create, prose(SMALL_QUESTION)

    def work(operations: int) -> None:
        for _ in range(operations):
            create(model=MODEL, input=asked)

    yield work


@contextmanager
def _response_stream(clients: Clients) -> Iterator[Work]:
    create, asked = clients.sync(response_stream()).responses.create, prose(SMALL_QUESTION)

    def work(operations: int) -> None:
        for _ in range(operations // CHUNKS):
            assert sum(1 for _ in create(model=MODEL, input=asked, stream=True)) == CHUNKS + 2

    yield work


@contextmanager
def _async_calls(clients: Clients) -> Iterator[Work]:
    with _on_a_loop(clients, completion(SMALL_ANSWER, pauses=True)) as (run, create):
        asked = question(SMALL_QUESTION)

        async def work(operations: int) -> None:
            await asyncio.gather(*(create(**asked) for _ in range(operations)))

        yield lambda operations: run(work(operations))


@contextmanager
def _async_streams(clients: Clients) -> Iterator[Work]:
    with _on_a_loop(clients, stream(pauses=True)) as (run, create):
        asked = question(SMALL_QUESTION)

        async def one() -> None:
            chunks = 0
            async for _ in await create(**asked, stream=True):
                chunks += 1
            assert chunks == CHUNKS

        async def work(operations: int) -> None:
            await asyncio.gather(*(one() for _ in range(operations // CHUNKS)))

        yield lambda operations: run(work(operations))


@contextmanager
def _on_a_loop(
    clients: Clients, answer: Answer
) -> Iterator[tuple[Callable[[Awaitable[None]], None], Callable[..., Awaitable[Any]]]]:
    with asyncio.Runner() as runner:
        client = clients.concurrent(answer)
        yield runner.run, client.chat.completions.create  # type: ignore[misc]  # the runner accepts only coroutines
        runner.run(client.close())


def _calls(client: openai.OpenAI, asked: dict[str, Any]) -> Work:
    create = client.chat.completions.create

    def work(operations: int) -> None:
        for _ in range(operations):
            create(**asked)

    return work


SMALL = Case(name="small call", opens=_small, slices=200, bar=20)
LARGE = Case(name="large call: 20 KB in, 8 KB out", opens=_large, slices=200)
ERROR = Case(name="error (400)", opens=_errors, slices=200)
CASES = {
    "small": SMALL,
    "large": LARGE,
    "tools": Case(name="tools", opens=_tools, slices=200),
    "error": ERROR,
    "threads": Case(name=f"{THREADS} threads", opens=_threads, at_once=5 * THREADS, slices=5),
    "async": Case(name=f"{CALLS_AT_ONCE} concurrent async calls", opens=_async_calls, at_once=CALLS_AT_ONCE, slices=3),
    "stream": Case(name=f"stream of {CHUNKS} chunks", opens=_stream, at_once=CHUNKS, slices=4, unit="chunk", bar=1),
    "response": Case(name="small response", opens=_response, slices=200, bar=20),
    "response-stream": Case(
        name=f"response's stream of {CHUNKS} deltas",
        opens=_response_stream,
        at_once=CHUNKS,
        slices=4,
        unit="chunk",
        bar=1,
    ),
    "async-stream": Case(
        name=f"async stream of {CHUNKS} chunks",
        opens=_async_streams,
        at_once=CHUNKS,
        slices=4,
        unit="chunk",
        bar=1,
    ),
    "async-streams": Case(
        name=f"{STREAMS_AT_ONCE} concurrent async streams",
        opens=_async_streams,
        at_once=STREAMS_AT_ONCE * CHUNKS,
        slices=1,
        unit="chunk",
        bar=1,
    ),
}

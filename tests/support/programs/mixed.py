"""A mixed workload over threads and tasks: ``python tests/support/programs/mixed.py CALLS NAME``; prints the number of calls.

A fifth each of plain chat, streamed chat, legacy completions (every second one streamed), calls that fail and are
retried with success, and calls that fail for good; half of all from four threads, half from tasks.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai

from monitored_openai import AsyncMonitoredOpenAI, MonitoredOpenAI, attributes
from tests.support.servers._behaviour import Behaviour

MODELS = ("gpt-4o", "gpt-4o-mini")
LEGACY_MODEL = "gpt-3.5-turbo-instruct"
MOST_RETRIES = 2
TASKS_AT_ONCE = 20

Ask = Callable[..., Any]


def retried(number: int) -> dict[str, str]:
    return Behaviour(status=(429, 503)[number % 2], times=1 + number % MOST_RETRIES).header()


def failing(number: int) -> dict[str, str]:
    return Behaviour(status=(400, 500, 401, 404)[number % 4]).header()


def request(client: openai.OpenAI | openai.AsyncOpenAI, number: int) -> tuple[Ask, dict[str, Any]]:
    """The method and the arguments of a call, by its number."""
    kind, text = number % 5, f"{NAME} question {number} " + "word " * (number % 50)
    if kind == 2:
        streamed = {"stream": True} if number % 2 else {}
        return client.completions.create, {"model": LEGACY_MODEL, "prompt": text, **streamed}
    chat: dict[str, Any] = {
        "model": MODELS[number // 5 % 2],
        "messages": [{"role": "user", "content": text}],
        **({"stream": True} if kind == 1 else {}),
        **({"extra_headers": retried(number // 5)} if kind == 3 else {}),
        **({"extra_headers": failing(number // 5)} if kind == 4 else {}),
    }
    return client.chat.completions.create, chat


def made(client: openai.OpenAI, number: int) -> str:
    create, arguments = request(client, number)
    with attributes(program=NAME):
        try:
            answer = create(**arguments)
            if arguments.get("stream"):
                list(answer)
        except openai.APIStatusError as error:
            return f"http_{error.status_code}"
    return "ok"


async def made_in_a_task(client: openai.AsyncOpenAI, number: int, room: asyncio.Semaphore) -> str:
    create, arguments = request(client, number)
    async with room:
        with attributes(program=NAME):
            try:
                answer = await create(**arguments)
                if arguments.get("stream"):
                    async for _ in answer:
                        pass
            except openai.APIStatusError as error:
                return f"http_{error.status_code}"
    return "ok"


async def in_tasks(numbers: range) -> list[str]:
    async with AsyncMonitoredOpenAI(max_retries=MOST_RETRIES, timeout=60) as client:
        room = asyncio.Semaphore(TASKS_AT_ONCE)
        return await asyncio.gather(*(made_in_a_task(client, number, room) for number in numbers))


def in_threads(numbers: range) -> list[str]:
    with MonitoredOpenAI(max_retries=MOST_RETRIES, timeout=60) as client, ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda number: made(client, number), numbers))


if __name__ == "__main__":
    CALLS, NAME = int(sys.argv[1]), sys.argv[2]
    outcomes = Counter(in_threads(range(CALLS // 2)) + asyncio.run(in_tasks(range(CALLS // 2, CALLS))))
    print(json.dumps(outcomes))  # noqa: T201

"""Calls of every endpoint: a number of rounds, half in four threads, half in tasks; prints the number of each kind."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai

from monitored_openai import AsyncMonitoredOpenAI, MonitoredOpenAI

SOUND = ("said.mp3", b"sound", "audio/mpeg")
Make = Callable[[Any, str], Any]

SINGLE: tuple[tuple[str, Make], ...] = (
    ("chat", lambda c, text: c.responses.create(model="gpt-4o", input=text)),
    ("chat", lambda c, text: c.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": text}])),
    ("embeddings", lambda c, text: c.embeddings.create(model="text-embedding-3-small", input=text)),
    ("image_generation", lambda c, text: c.images.generate(model="gpt-image-1", prompt=text)),
    ("speech", lambda c, text: c.audio.speech.create(model="tts-1", input=text, voice="alloy")),
    ("transcription", lambda c, text: c.audio.transcriptions.create(model="whisper-1", file=SOUND)),
    (
        "transcription",
        lambda c, text: c.audio.transcriptions.create(model="gpt-4o-transcribe", file=SOUND, prompt=text),
    ),
    ("moderation", lambda c, text: c.moderations.create(model="omni-moderation-latest", input=text)),
    (
        "batch",
        lambda c, text: c.batches.create(completion_window="24h", endpoint="/v1/responses", input_file_id="file-1"),
    ),
)
ASKED: dict[str, Any] = {"model": "gpt-4o-mini"}


def in_threads(rounds: int) -> Counter[str]:
    """The rounds of plain calls, and of streams and responses in the background."""
    with MonitoredOpenAI(timeout=60) as client, ThreadPoolExecutor(4) as pool:
        return sum(pool.map(lambda number: one_round(client, f"sync {number}"), range(rounds)), Counter())


def one_round(client: openai.OpenAI, text: str) -> Counter[str]:
    for _, make in SINGLE:
        make(client, text)
    list(client.responses.create(**ASKED, input=f"streamed {text}", stream=True))
    later = client.responses.create(**ASKED, input=f"later {text}", background=True)
    client.responses.retrieve(later.id)
    client.responses.retrieve(later.id)
    broken = client.responses.create(**ASKED, input=f"broken {text}", stream=True)
    event: Any = next(broken)
    broken.close()
    client.responses.retrieve(event.response.id)
    return Counter(kind for kind, _ in SINGLE) + Counter(chat=3, retrieve=3)


async def in_tasks(rounds: int) -> Counter[str]:
    """The same from tasks."""
    async with AsyncMonitoredOpenAI(timeout=60) as client:
        counts = await asyncio.gather(*(one_round_of_task(client, f"async {number}") for number in range(rounds)))
        return sum(counts, Counter())


async def one_round_of_task(client: openai.AsyncOpenAI, text: str) -> Counter[str]:
    for _, make in SINGLE:
        await make(client, text)
    async for _ in await client.responses.create(**ASKED, input=f"streamed {text}", stream=True):
        pass
    later = await client.responses.create(**ASKED, input=f"later {text}", background=True)
    await client.responses.retrieve(later.id)
    await client.responses.retrieve(later.id)
    broken = await client.responses.create(**ASKED, input=f"broken {text}", stream=True)
    event: Any = await anext(broken)
    await broken.close()
    await client.responses.retrieve(event.response.id)
    return Counter(kind for kind, _ in SINGLE) + Counter(chat=3, retrieve=3)


if __name__ == "__main__":
    ROUNDS = int(sys.argv[1])
    made = in_threads(ROUNDS // 2) + asyncio.run(in_tasks(ROUNDS // 2))
    print(json.dumps(made))  # noqa: T201

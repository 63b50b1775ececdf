"""FastAPI: one client for the application, calls labelled by feature, and a flush when the server stops.

    uvicorn fastapi_app:app

The variables MONITORED_OPENAI_* name the back ends for the telemetry.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from monitored_openai import AsyncMonitoredOpenAI, attributes

client = AsyncMonitoredOpenAI()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Deliver the remaining telemetry at the end: a signal ends uvicorn without Python's exit handlers."""
    yield
    await client.monitoring.aflush(timeout=3.0)
    await client.close()


app = FastAPI(lifespan=lifespan)


@app.get("/ask")
async def ask(question: str) -> dict[str, str | None]:
    """Return the whole answer."""
    with attributes(feature="ask"):
        answer = await client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": question}]
        )
    return {"answer": answer.choices[0].message.content}


@app.get("/stream")
async def stream(question: str) -> StreamingResponse:
    """Stream the answer; the call ends with the stream, and counts as abandoned if the browser disconnects."""
    with attributes(feature="stream"):
        chunks = await client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": question}], stream=True
        )

    async def texts() -> AsyncIterator[str]:
        async with chunks:
            async for chunk in chunks:
                if chunk.choices and (text := chunk.choices[0].delta.content):
                    yield text

    return StreamingResponse(texts(), media_type="text/plain")

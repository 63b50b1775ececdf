"""FastAPI: one client for the application, calls labelled by feature, a flush when the server is stopped.

    uvicorn fastapi_app:app

Where the telemetry goes is in MONITORED_OPENAI_* variables.
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
    """Deliver what is left: uvicorn ends by a signal, without Python's exit handlers."""
    yield
    await client.monitoring.aflush(timeout=3.0)
    await client.close()


app = FastAPI(lifespan=lifespan)


@app.get("/ask")
async def ask(question: str) -> dict[str, str | None]:
    """Answer in one piece."""
    with attributes(feature="ask"):
        answer = await client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": question}]
        )
    return {"answer": answer.choices[0].message.content}


@app.get("/stream")
async def stream(question: str) -> StreamingResponse:
    """Answer as it comes; the call ends with the stream, and is abandoned if the browser leaves."""
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

"""Applications for servers that fork and end in different ways; each request makes five calls.

With ``HOOKED`` set, the ASGI application delivers at its shutdown, as the page on exits advises.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from monitored_openai import AsyncMonitoredOpenAI, MonitoredOpenAI
from tests.support.handles import MODEL, ask, http, in_process_transport

_CALLS = 5
_MESSAGES: Any = [{"role": "user", "content": "hello"}]

client = MonitoredOpenAI(http_client=http.Client(transport=in_process_transport()))
async_client = AsyncMonitoredOpenAI(http_client=http.AsyncClient(transport=in_process_transport()))
if "CALLED_BEFOREHAND" in os.environ:
    ask(client, "before the workers are forked")


async def asgi(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """The application for uvicorn."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if "HOOKED" in os.environ:
            await async_client.monitoring.aflush()
        await send({"type": "lifespan.shutdown.complete"})
        return
    for _ in range(_CALLS):
        await async_client.chat.completions.create(model=MODEL, messages=_MESSAGES)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The application for gunicorn."""
    for _ in range(_CALLS):
        ask(client)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

"""Makes calls in uvloop's loop: ``python own_loop.py``."""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from typing import Any

from monitored_openai import AsyncMonitoredOpenAI
from tests.support.handles import MODEL, http, in_process_transport

CALLS = 100
_MESSAGES: Any = [{"role": "user", "content": "hello"}]
uvloop: Any = import_module("uvloop")


async def main() -> None:
    client = AsyncMonitoredOpenAI(http_client=http.AsyncClient(transport=in_process_transport()))
    create = client.chat.completions.create
    await asyncio.gather(*(create(model=MODEL, messages=_MESSAGES) for _ in range(CALLS)))
    flushed = await client.monitoring.aflush(20)
    await create(model=MODEL, messages=_MESSAGES)  # delivered at the end
    print(json.dumps({"calls": CALLS + 1, "complete": flushed.complete}))  # noqa: T201


if __name__ == "__main__":
    uvloop.run(main())

"""Makes a call while OpenTelemetry traces every httpx request: ``python traced.py URL``; prints the traced requests."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import import_module
from typing import Any

import httpx

from monitored_openai import MonitoredOpenAI
from tests.support.handles import ask, http, in_process_transport


def main(url: str) -> None:
    sdk: Any = import_module("opentelemetry.sdk.trace")
    export: Any = import_module("opentelemetry.sdk.trace.export")
    memory: Any = import_module("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(memory))
    instrumentation: Any = import_module("opentelemetry.instrumentation.httpx")
    instrumentation.HTTPXClientInstrumentor().instrument(tracer_provider=provider)

    client = MonitoredOpenAI(http_client=http.Client(transport=in_process_transport()))
    ask(client)
    complete = client.monitoring.flush(20).complete
    before = len(memory.get_finished_spans())

    async def others() -> None:
        async with httpx.AsyncClient() as another:
            await another.get(url)

    asyncio.run(others())
    after = len(memory.get_finished_spans())
    print(json.dumps({"complete": complete, "ours": before, "others": after - before}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])

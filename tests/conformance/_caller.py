"""One client after another, sync and async, and the single record of each of its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import openai
import pytest

from monitored_openai import AsyncMonitoredOpenAI, CallRecord, MonitoredOpenAI, Monitoring
from tests.conformance._stage import KEEPING, Api, records_of
from tests.conformance._ways import Async, Sync, Way
from tests.support.servers.openai_api import Behaviour


class Caller:
    """Makes calls of one resource, and gathers the record of each step."""

    def __init__(self, way: Way, client: Any, resource: str = "responses") -> None:
        self._way, self._client, self._resource = way, client, resource

    def of(self, resource: str) -> Caller:
        """The same for another resource; skips where the SDK lacks it."""
        try:
            attrgetter(resource)(self._client)
        except AttributeError:
            pytest.skip(f"openai {openai.__version__} has no {resource}")
        return Caller(self._way, self._client, resource)

    def do(self, method: str, *args: Any, most: int | None = None, **given: Any) -> tuple[Any, CallRecord]:
        """What a method of the resource gives, a stream read to its end or so far; and the one record of it."""
        made: list[Any] = []

        async def script() -> None:
            made.append(await self._way.get(getattr(attrgetter(self._resource)(self._client), method)(*args, **given)))
            if given.get("stream"):
                await self._way.each(made[0], made.append, most)
                await self._way.get(made[0].close())

        self._way.run(script())
        (record,) = self.records()
        return made[-1], record

    def records(self) -> list[CallRecord]:
        return records_of(self._client.monitoring)


@pytest.fixture(name="server")
def a_server() -> Iterator[Api]:
    with Api() as running:
        running.begin(Behaviour())
        yield running


@pytest.fixture(name="caller", params=["sync", "async"])
def a_caller(request: pytest.FixtureRequest, server: Api) -> Iterator[Caller]:
    handle = Monitoring(KEEPING)
    options: dict[str, Any] = {"api_key": "sk-test", "base_url": server.base_url, "max_retries": 0}
    if request.param == "sync":
        with MonitoredOpenAI(**options, monitoring=handle) as client:
            yield Caller(Sync(), client)
    else:
        with asyncio.Runner() as runner:
            monitored = AsyncMonitoredOpenAI(**options, monitoring=handle)
            yield Caller(Async(runner), monitored)
            runner.run(monitored.close())
    handle.close()

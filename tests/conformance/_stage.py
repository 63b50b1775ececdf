"""The environment of a call: the loopback server, the bare client, our client, and the result of each client."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import openai

import monitored_openai
from monitored_openai import CallRecord, Monitoring, MonitoringSettings
from tests.conformance._facts import facts
from tests.conformance._outcomes import OK, Outcome
from tests.conformance._paths import Path
from tests.conformance._readings import Reading, See
from tests.conformance._ways import Async, Sync, Way
from tests.support.servers._steps import Request
from tests.support.servers._truth import Truth
from tests.support.servers.openai_api import Behaviour, OpenAIServer

RECORDS: list[CallRecord] = []
FLUSH_SECONDS = 10.0

PLAIN = "OpenAI"
AZURE = "AzureOpenAI"


def keep(record: CallRecord) -> None:
    """What the tests' settings have as `on_record`."""
    RECORDS.append(record)


KEEPING = MonitoringSettings(on_record=keep)


class Api(OpenAIServer):
    """The fake API, which can forget everything, so that two clients get the very same answers."""

    def begin(self, behaviour: Behaviour) -> None:
        self._numbers = itertools.count(1)
        self.truth = Truth()
        self.stored.clear()
        self.last_reply = None
        self._told.clear()
        self.default = behaviour
        self.requests.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the caller saw, in order, and what the server got."""

    seen: list[Any]
    requests: list[Request]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One case: a path, what is done with the result, what happens, and which client makes the call."""

    path: Path
    reading: Reading
    outcome: Outcome = OK
    flavour: str = PLAIN
    is_async: bool = False


class Stage:
    """The server, and one client of each kind, made when first needed."""

    def __init__(self, server: Api, runner: asyncio.Runner) -> None:
        self.server = server
        self._sync = Sync()
        self._async = Async(runner)
        self._clients: dict[Any, Any] = {}
        self._gates = itertools.count()

    def way(self, cell: Cell) -> Way:
        return self._async if cell.is_async else self._sync

    def bare(self, cell: Cell) -> Any:
        """The official client."""
        name = f"Async{cell.flavour}" if cell.is_async else cell.flavour
        return self._client(getattr(openai, name), cell)

    def ours(self, cell: Cell, settings: MonitoringSettings = KEEPING) -> Any:
        """Our client; its server is known to take `stream_options`."""
        name = f"AsyncMonitored{cell.flavour}" if cell.is_async else f"Monitored{cell.flavour}"
        return self._client(getattr(monitored_openai, name), cell, monitoring=settings)

    def _client(self, kind: type[Any], cell: Cell, **monitoring: Any) -> Any:
        key = (kind, *monitoring.values())
        if key not in self._clients:
            where = {"base_url": self.server.base_url}
            if cell.flavour == AZURE:
                where = {"azure_endpoint": self.server.url, "api_version": "2024-10-21"}
            client = self._clients[key] = kind(api_key="sk-test", max_retries=0, **where, **monitoring)
            if monitoring:
                self._make_known(client, self.way(cell))
        return self._clients[key]

    def _make_known(self, client: Any, way: Way) -> None:
        """Have a stream succeed, so that a later 400 is not put down to the injected `stream_options`."""

        async def stream() -> None:
            made = client.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": ""}], stream=True
            )
            await way.each(await way.get(made), lambda chunk: None)

        self.server.begin(Behaviour())
        way.run(stream())

    def play(self, client: Any, cell: Cell) -> Sight:
        """Play the case with a client."""
        seen: list[Any] = []
        outcome, way = cell.outcome, self.way(cell)
        gate = f"{next(self._gates)}"
        self.server.begin(replace(outcome.behaviour, hold=gate) if outcome.behaviour.hold else outcome.behaviour)
        if limits := outcome.limits:
            client = client.with_options(**limits)
        script = _script(way, client, cell, partial(_note, seen))
        with _short_collections(), self._closed() if outcome.refused else nullcontext():
            if outcome.cancels:
                self._async.cancel_at(self.server.gate(gate), script)
            else:
                way.run(script)
        return Sight(seen=seen, requests=list(self.server.requests))

    def close(self) -> None:
        """Close the clients."""
        self._async.run(self._async.collect())
        for client in self._clients.values():
            closing = client.close()
            if closing is not None:
                self._async.run(closing)

    @contextmanager
    def _closed(self) -> Iterator[None]:
        self.server.refuse()
        try:
            yield
        finally:
            self.server.listen()


@contextmanager
def _short_collections() -> Iterator[None]:
    """Spare the script's collections all objects that exist already; only meanwhile: Hypothesis looks for its own."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _script(way: Way, client: Any, cell: Cell, see: See) -> None:
    try:
        async with AsyncExitStack() as stack:
            await cell.reading.read(way, [await cell.path.open(way, client, stack, see)], see)
    except AssertionError:
        raise
    except (Exception, asyncio.CancelledError) as error:
        see(error)


def _note(seen: list[Any], value: Any) -> None:
    try:
        seen.append(facts(value))
    except Exception as error:
        raise AssertionError("what the caller saw cannot be noted") from error


def records_of(monitoring: Monitoring) -> list[CallRecord]:
    """The records that came out since the last time; every call has ended."""
    assert monitoring.stats().active == 0, "a call has not ended"
    assert monitoring.flush(FLUSH_SECONDS).complete
    records = RECORDS.copy()
    RECORDS.clear()
    return records

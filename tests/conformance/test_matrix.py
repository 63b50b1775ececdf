"""Each path, client, way to read and outcome: same as on the bare SDK, and recorded once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from monitored_openai import MonitoringSettings
from tests.conformance._compare import assert_same, assert_true, compared
from tests.conformance._outcomes import FAILURES
from tests.conformance._paths import PATHS, Path
from tests.conformance._stage import AZURE, PLAIN, Cell, Stage, keep, records_of

CLIENTS = [(flavour, is_async) for flavour in (PLAIN, AZURE) for is_async in (False, True)]

NOT_INJECTING = MonitoringSettings(on_record=keep, inject_stream_usage=False)


def cells(path: Path) -> Iterator[tuple[str, Cell]]:
    """A path with each reading, and with each failure and the plainest reading."""
    for name, reading in path.readings.items():
        if path.core or not reading.only_core:
            yield name, Cell(path=path, reading=reading)
    plainest = next(iter(path.readings.values()))
    for outcome in FAILURES:
        if outcome.applies(path):
            yield outcome.name, Cell(path=path, reading=plainest, outcome=outcome)


def cases() -> Iterator[Any]:
    """The cells of all paths for each client; on Azure only what stands for its kind, and the plainest of the rest."""
    for path in PATHS:
        for number, (name, cell) in enumerate(cells(path)):
            for flavour, is_async in CLIENTS:
                rare = flavour == AZURE and (bool(cell.outcome.paths) or (not path.core and number > 0))
                if not rare and (is_async or not cell.outcome.only_async):
                    kind = "async" if is_async else "sync"
                    case = replace(cell, flavour=flavour, is_async=is_async)
                    yield pytest.param(case, id="-".join(filter(None, (path.name, name, kind, flavour))))


@pytest.mark.parametrize("cell", list(cases()))
def test_a_call_is_as_on_the_bare_sdk_and_recorded_once(stage: Stage, cell: Cell) -> None:
    record, ours = compared(stage, cell)
    assert_true(cell, record, ours, stage.server.truth, stage.server.port)


@pytest.mark.parametrize("name", [path.name for path in PATHS if path.injects])
@pytest.mark.parametrize("is_async", [False, True])
def test_without_injection_the_request_is_the_very_same(stage: Stage, name: str, is_async: bool) -> None:
    path = next(path for path in PATHS if path.name == name)
    cell = Cell(path=path, reading=path.readings["loop"], is_async=is_async)
    bare = stage.play(stage.bare(cell), cell)
    client = stage.ours(cell, NOT_INJECTING)
    records_of(client.monitoring)
    ours = stage.play(client, cell)

    assert_same(cell, bare, ours, injects=False)
    (record,) = records_of(client.monitoring)
    assert (record.usage, record.usage_unknown, record.error_type) == (None, "not_reported", None)

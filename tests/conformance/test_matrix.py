"""Every path, on every client, with every reading of the result and every outcome: as on the bare SDK, and recorded once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from monitored_openai import MonitoringSettings
from tests.conformance._compare import assert_same, assert_true
from tests.conformance._outcomes import FAILURES
from tests.conformance._paths import PATHS
from tests.conformance._stage import AZURE, PLAIN, RECORDS, Cell, Stage, keep, records_of

CLIENTS = [(flavour, is_async) for flavour in (PLAIN, AZURE) for is_async in (False, True)]
NOT_INJECTING = MonitoringSettings(on_record=keep, inject_stream_usage=False)


def cases() -> Iterator[Any]:
    """Each path with each reading, and with each failure and the plainest reading; on Azure what stands for its kind."""
    for path in PATHS:
        plainest = next(iter(path.readings.values()))
        cells = [(name, Cell(path=path, reading=reading)) for name, reading in path.readings.items()]
        cells += [(one.name, Cell(path=path, reading=plainest, outcome=one)) for one in FAILURES if one.applies(path)]
        for name, cell in cells:
            for flavour, is_async in CLIENTS:
                if (flavour == PLAIN or path.core or cell is cells[0][1]) and (is_async or not cell.outcome.only_async):
                    kind = "async" if is_async else "sync"
                    case = replace(cell, flavour=flavour, is_async=is_async)
                    yield pytest.param(case, id="-".join(filter(None, (path.name, name, kind, flavour))))


@pytest.mark.parametrize("cell", list(cases()))
def test_a_call_is_as_on_the_bare_sdk_and_recorded_once(stage: Stage, cell: Cell) -> None:
    bare = stage.play(stage.bare(cell), cell)
    client = stage.ours(cell)
    RECORDS.clear()
    ours = stage.play(client, cell)

    assert_same(cell, bare, ours)
    (record,) = records_of(client.monitoring)
    assert_true(cell, record, ours, stage.server.truth, stage.server.port)

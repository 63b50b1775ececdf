"""With monitoring disabled, or with any part of it broken, the caller sees the same as on the bare SDK."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from monitored_openai import CallRecord, MonitoringSettings, _json
from monitored_openai._exporter.handle import monitoring_for
from tests.conformance._compare import assert_same
from tests.conformance._outcomes import FAILURES, OK
from tests.conformance._paths import PATHS
from tests.conformance._stage import FLUSH_SECONDS, RECORDS, Cell, Stage, keep

OUTCOMES = {one.name: one for one in (OK, *FAILURES)}
CHOSEN = "ok 400 500 500-twice reset invalid-json error-event drop-mid-stream cancelled cancelled-mid-stream".split()
READINGS = "break_and_close leave_with_early drop_unread drop_unparsed leave_unread".split()


def raise_on_record(record: CallRecord) -> None:
    raise RuntimeError("on_record is broken")


def raise_on_redact(text: str, field: str) -> str:
    raise RuntimeError("redact is broken")


@pytest.fixture(scope="module")
def dead() -> Iterator[MonitoringSettings]:
    """Back ends where nobody listens, and a redaction that raises."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        settings = MonitoringSettings(redact=raise_on_redact, metrics_url=url, logs_url=url, queue_size=10)
        yield settings
        monitoring_for(settings).close(0.01)


@pytest.fixture(params=["disabled", "broken on_record", "broken redact, dead back ends"])
def settings(request: pytest.FixtureRequest, dead: MonitoringSettings) -> MonitoringSettings:
    if request.param == "disabled":
        return MonitoringSettings(enabled=False, on_record=keep)
    return MonitoringSettings(on_record=raise_on_record) if request.param == "broken on_record" else dead


def cases() -> Iterator[Any]:
    for path in PATHS:
        if not path.core:
            continue
        plainest, *_ = path.readings.values()
        cells = [Cell(path=path, reading=plainest, outcome=OUTCOMES[name]) for name in CHOSEN]
        cells = [cell for cell in cells if cell.outcome.applies(path)]
        cells += [Cell(path=path, reading=path.readings[name]) for name in READINGS if name in path.readings]
        for cell in cells:
            what = cell.outcome.name if cell.reading is plainest else cell.reading.read.__name__
            for is_async in (False, True):
                if is_async or not cell.outcome.only_async:
                    kind = "async" if is_async else "sync"
                    yield pytest.param(replace(cell, is_async=is_async), id=f"{path.name}-{what}-{kind}")


@pytest.mark.parametrize("cell", list(cases()))
def test_the_caller_sees_no_difference(stage: Stage, cell: Cell, settings: MonitoringSettings) -> None:
    bare = stage.play(stage.bare(cell), cell)
    client = stage.ours(cell, settings)
    before = client.monitoring.stats().calls
    ours = stage.play(client, cell)

    assert_same(cell, bare, ours, injects=settings.enabled)
    assert client.monitoring.stats().calls - before == settings.enabled
    assert client.monitoring.stats().active == 0
    assert RECORDS == []


class Picky(dict[str, str]):
    """Headers that do not like to be asked for the one that marks raw responses."""

    def get(self, name: str, default: Any = None) -> Any:
        if name == "X-Stainless-Raw-Response":
            raise RuntimeError("odd")
        return super().get(name, default)


NOT_OPENED = {"extra_headers": Picky({"x-mine": "1"})}
NOT_RECORDED: dict[str, Any] = {}
"""The JSON library fails on the exporter's thread, in a way that it should not."""


def fail_to_parse(text: bytes) -> None:
    raise RuntimeError("broken")


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("name", "odd"),
    [
        *((name, NOT_RECORDED) for name in ("create", "parse", "raw", "body", "stream", "raw-stream", "helper")),
        # The other methods hand on headers of their own making.
        *((name, NOT_OPENED) for name in ("create", "stream")),
    ],
)
def test_a_fault_of_ours_is_counted_and_not_seen(
    stage: Stage, name: str, is_async: bool, odd: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = next(path for path in PATHS if path.name == name)
    path = replace(path, body={**path.body, **odd})
    cell = Cell(path=path, reading=next(iter(path.readings.values())), is_async=is_async)
    bare = stage.play(stage.bare(cell), cell)
    client = stage.ours(cell)
    client.monitoring.flush(FLUSH_SECONDS)
    RECORDS.clear()
    before = client.monitoring.stats()
    if odd is NOT_RECORDED:
        monkeypatch.setattr(_json, "from_json", fail_to_parse)
    ours = stage.play(client, cell)

    assert_same(cell, bare, ours, injects=odd is NOT_RECORDED)
    client.monitoring.flush(FLUSH_SECONDS)
    after = client.monitoring.stats()
    assert RECORDS == []
    assert after.calls - before.calls == 1
    assert after.metrics_dropped["fault"] - before.metrics_dropped.get("fault", 0) == 1
    assert after.active == 0

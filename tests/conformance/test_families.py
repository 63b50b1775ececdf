"""Every endpoint besides the completions, on its core paths: same as the bare SDK, and recorded once and correctly."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import replace
from operator import attrgetter
from typing import Any

import openai
import pytest

from monitored_openai import CallRecord
from tests.conformance._compare import KINDS, compared, expected_error
from tests.conformance._family_paths import FAMILY_PATHS, FamilyPath
from tests.conformance._outcomes import OK
from tests.conformance._paths import Path
from tests.conformance._stage import AZURE, PLAIN, Cell, Sight, Stage


def cells(path: FamilyPath) -> Iterator[tuple[str, Cell]]:
    plainest = next(iter(path.readings.values()))
    for name, reading in path.readings_chosen():
        yield name, Cell(path=path, reading=reading)
    for outcome in path.outcomes():
        if outcome is not OK:
            yield outcome.name, Cell(path=path, reading=plainest, outcome=outcome)


def cases() -> Iterator[Any]:
    """On Azure only the plainest case of what stands for its kind."""
    for path in FAMILY_PATHS:
        for number, (name, cell) in enumerate(cells(path)):
            for flavour in (PLAIN, AZURE) if path.core and number == 0 else (PLAIN,):
                for is_async in (False, True):
                    if is_async or not cell.outcome.only_async:
                        kind = "async" if is_async else "sync"
                        case = replace(cell, flavour=flavour, is_async=is_async)
                        yield pytest.param(case, id="-".join(filter(None, (path.name, name, kind, flavour))))


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")  # what the newest SDK says of old methods
@pytest.mark.parametrize("cell", list(cases()))
def test_a_call_is_as_on_the_bare_sdk_and_recorded_once(stage: Stage, cell: Cell) -> None:
    skip_what_the_sdk_lacks(stage.bare(cell), cell.path)
    record, ours = compared(stage, cell)
    assert_true(stage, cell, record, ours)


def skip_what_the_sdk_lacks(client: Any, path: Path) -> None:
    try:
        method = attrgetter(path.method)(client)
    except AttributeError:
        pytest.skip(f"openai {openai.__version__} has no {path.method}")
    if lacking := path.body.keys() - inspect.signature(method).parameters.keys():
        pytest.skip(f"openai {openai.__version__} has no {sorted(lacking)} in {path.method}")


def assert_true(stage: Stage, cell: Cell, record: CallRecord, sight: Sight) -> None:
    path, outcome = cell.path, cell.outcome
    assert isinstance(path, FamilyPath)
    error = expected_error(cell)
    provider = "azure.ai.openai" if cell.flavour == AZURE else "unknown"
    assert (record.operation, record.provider) == (path.operation, provider)
    assert (record.error_type, record.http_status, record.retries) == (error, outcome.status, outcome.retries)
    assert (record.error_message is None) == (error in (None, "abandoned"))
    assert (record.request_model, record.streamed) == (path.body.get("model"), path.streams)
    assert record.duration > 0
    _assert_usage(stage, cell, record, error)
    _assert_chunks(path, record, sight)
    if sight.requests and sight.requests[-1].headers["content-type"] == "application/json":
        assert record.request == json.loads(sight.requests[-1].body)
    if outcome.status == 200 and error is None and outcome.behaviour.body is None:
        served = stage.server.last_reply
        assert record.response == path.kept(served)
        assert record.response_model == path.model
        assert record.response_id == (served.get("id") if isinstance(served, dict) else None)


def _assert_usage(stage: Stage, cell: Cell, record: CallRecord, error: str | None) -> None:
    told, path = stage.server.truth.tokens_by_kind(), cell.path
    assert isinstance(path, FamilyPath)
    refused = record.http_status is None or record.http_status >= 400
    seconds, characters = (None, None) if refused else (path.seconds, path.characters)
    reason = error if error == "abandoned" else cell.outcome.usage_unknown
    if path.free or (record.http_status is not None and refused):
        assert (record.usage, record.usage_unknown) == (None, None)
    elif (reason or not told) and seconds is None and characters is None:
        assert (record.usage, record.usage_unknown) == (None, reason or path.untold)
    else:
        assert (record.usage is not None, record.usage_unknown) == (True, None)
        assert record.usage is not None
        assert {kind: n for kind in KINDS if (n := getattr(record.usage, f"{kind}_tokens"))} == dict(told)
        assert (record.usage.input_seconds, record.usage.input_characters) == (seconds, characters)


def _assert_chunks(path: FamilyPath, record: CallRecord, sight: Sight) -> None:
    if not path.streams:
        assert (record.chunks, record.time_to_first_chunk, record.chunk_intervals) == (None, None, ())
        return
    assert record.chunks is not None
    if path.kind == "stream" and not path.method.endswith(".stream"):
        events = [one[1] for one in sight.seen if isinstance(one[1], dict) and "type" in one[1]]
        if "loop_twice" not in path.readings:
            assert record.chunks == sum(map(path.begins, events))
        assert record.chunks <= sum(map(path.begins, events))
    assert len(record.chunk_intervals) == max(record.chunks - 1, 0)
    assert (record.time_to_first_chunk is not None) == (record.chunks > 0)
    if record.time_to_first_chunk is not None:
        assert 0 < record.time_to_first_chunk + sum(record.chunk_intervals) <= record.duration * 1.001

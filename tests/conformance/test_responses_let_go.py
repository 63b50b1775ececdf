"""Objects that the SDK's user holds, and the objects that are freed when the user releases them."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance._paths import CHAT, Path
from tests.conformance._readings import VALUE
from tests.conformance._stage import Cell, Stage, records_of
from tests.support.servers.openai_api import Behaviour

CELL = Cell(path=Path(name="let-go", method="chat.completions.create", body=CHAT, readings=VALUE), reading=VALUE[""])


@pytest.fixture(autouse=True)
def without_collector(stage: Stage) -> Iterator[None]:
    stage.server.begin(Behaviour())
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def read_to_its_end(client: Any) -> weakref.ref[Any]:
    with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        response.read()
        return weakref.ref(response.http_response)


def dropped_unread(client: Any) -> weakref.ref[Any]:
    return weakref.ref(client.chat.completions.with_raw_response.create(**CHAT, stream=True).http_response)


@pytest.mark.parametrize(("let_go", "error"), [(read_to_its_end, None), (dropped_unread, "abandoned")])
def test_a_response_goes_as_soon_as_on_the_bare_sdk_and_its_call_ends(
    stage: Stage, let_go: Callable[[Any], weakref.ref[Any]], error: str | None
) -> None:
    client = stage.ours(CELL)
    records_of(client.monitoring)
    bare, ours = let_go(stage.bare(CELL)), let_go(client)
    assert (ours() is None) == (bare() is None)  # the SDK's 1.x and 2.x leave both to the garbage collector
    gc.collect()
    assert ours() is None
    (record,) = records_of(client.monitoring)
    assert (record.error_type, record.usage is None) == (error, error is not None)


def test_a_response_read_to_its_end_can_be_pickled_and_copied(stage: Stage) -> None:
    client = stage.ours(CELL)
    with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        response.read()
    whole = response.http_response
    assert pickle.loads(pickle.dumps(whole)).content == whole.content  # noqa: S301  # our own bytes
    assert copy.copy(whole).content == whole.content
    records_of(client.monitoring)

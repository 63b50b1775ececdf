"""What the SDK's user holds on to, and what goes when it is let go of."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance._paths import CHAT, Path
from tests.conformance._readings import VALUE
from tests.conformance._stage import Cell, Stage, records_of
from tests.servers.openai_api import Behaviour

CELL = Cell(path=Path(name="let-go", method="chat.completions.create", body=CHAT, readings=VALUE), reading=VALUE[""])


@pytest.fixture(autouse=True)
def without_collector(stage: Stage) -> Iterator[None]:
    stage.server.begin(Behaviour())
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_a_response_of_a_stream_goes_with_the_last_reference_to_it(stage: Stage) -> None:
    client = stage.ours(CELL)
    records_of(client.monitoring)
    with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        response.read()
        held = weakref.ref(response.http_response)
    del response
    assert held() is None
    (record,) = records_of(client.monitoring)
    assert record.usage is not None


def test_an_unread_response_that_is_dropped_ends_its_call_at_once(stage: Stage) -> None:
    client = stage.ours(CELL)
    records_of(client.monitoring)
    raw: Any = client.chat.completions.with_raw_response.create(**CHAT, stream=True)
    held = weakref.ref(raw.http_response)
    del raw
    assert held() is None
    (record,) = records_of(client.monitoring)
    assert record.error_type == "abandoned"


def test_a_response_read_to_its_end_can_be_pickled_and_copied(stage: Stage) -> None:
    client = stage.ours(CELL)
    with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        response.read()
    whole = response.http_response
    assert pickle.loads(pickle.dumps(whole)).content == whole.content  # noqa: S301  # our own bytes
    assert copy.copy(whole).content == whole.content
    records_of(client.monitoring)

"""Calls by libraries that bypass the SDK's resources: `client.post` with their own path."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from openai import AsyncStream, NotFoundError, Stream
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.conformance._paths import CHAT, LEGACY, Path
from tests.conformance._readings import VALUE
from tests.conformance._stage import Cell, Stage, records_of
from tests.support.servers.openai_api import Behaviour


@pytest.fixture(autouse=True)
def plain_answers(stage: Stage) -> None:
    stage.server.begin(Behaviour())


PATH = Path(name="post", method="post", body={}, readings=VALUE)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("path", ["/chat/completions", "chat/completions", "/chat/completions?beta=true"])
def test_a_posted_path_is_seen_once(stage: Stage, path: str, is_async: bool) -> None:
    cell = Cell(path=PATH, reading=VALUE[""], is_async=is_async)
    client, way = stage.ours(cell), stage.way(cell)
    records_of(client.monitoring)

    async def post() -> None:
        answer = await way.get(client.post(path, cast_to=ChatCompletion, body=dict(CHAT)))
        assert type(answer) is ChatCompletion

    way.run(post())
    (record,) = records_of(client.monitoring)
    assert (record.operation, record.request_model, record.error_type) == ("chat", "gpt-4o", None)
    assert record.usage is not None


@pytest.mark.parametrize("is_async", [False, True])
def test_a_posted_stream_is_seen_once(stage: Stage, is_async: bool) -> None:
    cell = Cell(path=PATH, reading=VALUE[""], is_async=is_async)
    client, way = stage.ours(cell), stage.way(cell)
    records_of(client.monitoring)
    kind: Any = AsyncStream[ChatCompletionChunk] if is_async else Stream[ChatCompletionChunk]
    body = {**CHAT, "stream": True}

    async def post() -> None:
        made = client.post("/chat/completions", cast_to=ChatCompletionChunk, body=body, stream=True, stream_cls=kind)
        await way.each(await way.get(made), lambda chunk: None)

    way.run(post())
    (record,) = records_of(client.monitoring)
    assert (record.streamed, record.error_type, record.usage is not None) == (True, None, True)
    assert body == {**CHAT, "stream": True}


def test_a_whole_url_is_the_path_below_the_clients_base_and_no_other(stage: Stage) -> None:
    cell = Cell(path=PATH, reading=VALUE[""])
    client = stage.ours(cell)
    records_of(client.monitoring)
    for base in (stage.server.base_url, f"{stage.server.base_url}/else"):
        with suppress(NotFoundError):
            client.post(f"{base}/chat/completions", cast_to=ChatCompletion, body=dict(CHAT))
    (record,) = records_of(client.monitoring)
    assert (record.operation, record.usage is not None) == ("chat", True)


def test_what_is_no_known_path_is_let_through(stage: Stage) -> None:
    cell = Cell(path=PATH, reading=VALUE[""])
    client = stage.ours(cell)
    records_of(client.monitoring)
    bare: Any = stage.bare(cell)
    for path in ("/nothing/here", 7):
        errors = []
        for one in (bare, client):
            with pytest.raises(Exception) as raised:  # noqa: PT011  # whatever it is, it is the same
                one.post(path, cast_to=Completion, body=dict(LEGACY))
            errors.append((type(raised.value), str(raised.value)))
        assert errors[0] == errors[1]
    assert records_of(client.monitoring) == []

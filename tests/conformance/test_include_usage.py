"""Injected requests for a stream's usage: hidden from the caller, and stopped if a server refuses them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from monitored_openai import AsyncMonitoredOpenAI, CallRecord, MonitoredOpenAI, Monitoring
from tests.conformance._facts import facts
from tests.conformance._paths import CHAT
from tests.conformance._stage import KEEPING, Api, records_of
from tests.conformance._ways import Async, Sync, Way
from tests.support.servers.openai_api import Behaviour

ASKING = {"include_usage": True}
OTHER_400 = Behaviour(status=400)


class Caller:
    """Streams from a server that nobody has asked anything before."""

    def __init__(self, way: Way, bare: Any, ours: Any) -> None:
        self.way, self.bare, self.ours = way, bare, ours

    def stream(self, client: Any, method: str = "create", **more: Any) -> list[Any]:
        """The facts of all chunks; or those of the exception."""
        seen: list[Any] = []

        async def script() -> None:
            try:
                made = getattr(client.chat.completions, method)(**{**CHAT, "stream": True, **more})
                await self.way.each(await self.way.get(made), seen.append)
            except openai.OpenAIError as error:
                seen.append(error)

        self.way.run(script())
        return seen

    def record(self) -> CallRecord:
        (record,) = records_of(self.ours.monitoring)
        return record


@pytest.fixture
def monitoring() -> Iterator[Monitoring]:
    """A handle of its own, which knows no server yet."""
    handle = Monitoring(KEEPING)
    yield handle
    handle.close()


@pytest.fixture
def server() -> Iterator[Api]:
    with Api(keep_requests=True) as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest, server: Api, monitoring: Monitoring) -> Iterator[Caller]:
    options: dict[str, Any] = {"api_key": "sk-test", "base_url": server.base_url, "max_retries": 0}
    if request.param == "sync":
        with openai.OpenAI(**options) as bare, MonitoredOpenAI(**options, monitoring=monitoring) as ours:
            yield Caller(Sync(), bare, ours)
        return
    with asyncio.Runner() as runner:
        way = Async(runner)
        plain, monitored = openai.AsyncOpenAI(**options), AsyncMonitoredOpenAI(**options, monitoring=monitoring)
        yield Caller(way, plain, monitored)
        way.run(plain.close())
        way.run(monitored.close())


def asked(server: Api) -> list[bool]:
    """Of each request whether it had the field; and forget them."""
    had = ["stream_options" in json.loads(request.body) for request in server.requests]
    server.requests.clear()
    return had


def test_the_chunks_are_those_of_a_plain_stream_and_the_usage_is_known(server: Api, caller: Caller) -> None:
    server.begin(Behaviour())
    plain = caller.stream(caller.bare)
    assert server.truth.tokens_by_kind() == {}
    server.begin(Behaviour())
    hidden = caller.stream(caller.ours)

    assert [facts(chunk) for chunk in hidden] == [facts(chunk) for chunk in plain]
    assert all("usage" not in chunk.to_dict() and "usage" not in chunk.model_fields_set for chunk in hidden)
    assert asked(server) == [True]
    record = caller.record()
    assert record.usage is not None
    assert record.usage.input_tokens == server.truth.tokens_by_kind()["input"]
    assert record.usage.output_tokens == server.truth.tokens_by_kind()["output"]
    assert record.chunks == len(plain)


@pytest.mark.parametrize(
    "own",
    [
        {"stream_options": ASKING},
        {"stream_options": {"include_usage": False}},
        {"stream_options": {"include_obfuscation": False}},
        {"stream_options": None},
        {"extra_body": {"stream_options": ASKING}},
        {"extra_body": {"stream_options": {"include_usage": False}}},
        {"extra_body": {"stream_options": None}},
    ],
)
def test_what_the_caller_says_about_stream_options_is_left_alone(
    server: Api, caller: Caller, own: dict[str, Any]
) -> None:
    server.begin(Behaviour())
    plain = caller.stream(caller.bare, **own)
    server.begin(Behaviour())
    ours = caller.stream(caller.ours, **own)

    assert [facts(chunk) for chunk in ours] == [facts(chunk) for chunk in plain]
    said = own.get("stream_options", own.get("extra_body", {}).get("stream_options"))
    assert json.loads(server.requests[0].body)["stream_options"] == said
    record = caller.record()
    assert record.request is not None
    assert record.request["stream_options"] == said
    assert (record.usage is not None) == (said == ASKING)
    assert record.chunks == len(plain)


def test_a_field_that_is_not_given_says_nothing(server: Api, caller: Caller) -> None:
    server.begin(Behaviour())
    caller.stream(caller.ours, stream_options=openai.NOT_GIVEN)

    assert asked(server) == [True]
    assert caller.record().usage is not None


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_refuses_the_field_still_answers_and_is_not_asked_again(
    server: Api, caller: Caller, status: int
) -> None:
    server.begin(Behaviour())
    plain = caller.stream(caller.bare)
    server.begin(Behaviour(stream_options=status, patch={"id": "chatcmpl-1"}))
    ours = caller.stream(caller.ours)

    assert [facts(chunk) for chunk in ours] == [facts(chunk) for chunk in plain]
    assert asked(server) == [True, False]
    record = caller.record()
    assert (record.error_type, record.http_status, record.retries) == (None, 200, 0)
    assert (record.usage, record.usage_unknown) == (None, "not_reported")
    assert record.request == {**CHAT, "stream": True}

    caller.stream(caller.ours)
    assert asked(server) == ([False] if status == 400 else [True, False]), "one that names no field may be chance"
    caller.stream(caller.ours)
    caller.stream(caller.ours.with_options(timeout=20))
    assert asked(server) == [False, False]
    assert len(records_of(caller.ours.monitoring)) == 3


def test_a_refusal_that_gives_no_reason_is_believed_the_second_time(server: Api, caller: Caller) -> None:
    server.begin(Behaviour())
    server.script([OTHER_400, Behaviour(), OTHER_400, Behaviour()])
    for _ in range(3):
        assert len(caller.stream(caller.ours)) > 2
    assert asked(server) == [True, False, True, False, False]
    assert len(records_of(caller.ours.monitoring)) == 3


def test_a_server_with_other_reasons_for_its_400_gets_no_second_request_in_the_end(server: Api, caller: Caller) -> None:
    server.begin(OTHER_400)
    for _ in range(5):
        (error,) = caller.stream(caller.ours)
        assert isinstance(error, openai.BadRequestError)
    assert asked(server) == [True, False, True, False, True, False, True, True]
    assert len(records_of(caller.ours.monitoring)) == 5


def test_the_refusal_of_one_server_says_nothing_about_another(server: Api, caller: Caller) -> None:
    server.begin(Behaviour(stream_options=400))
    caller.stream(caller.ours)
    server.begin(Behaviour())
    with Api(keep_requests=True) as other:
        caller.stream(caller.ours.with_options(base_url=other.base_url))
        assert asked(other) == [True]
    caller.stream(caller.ours)
    assert asked(server) == [False]
    assert len(records_of(caller.ours.monitoring)) == 3


def test_a_new_server_whose_400_has_another_reason_gets_the_request_twice_and_the_caller_one_error(
    server: Api, caller: Caller
) -> None:
    server.begin(OTHER_400)
    (plain,) = caller.stream(caller.bare)
    server.begin(OTHER_400)
    (ours,) = caller.stream(caller.ours)

    assert asked(server) == [True, False]
    assert (type(ours), str(ours), ours.body) == (type(plain), str(plain), plain.body)
    assert type(ours.__context__) is type(plain.__context__)
    record = caller.record()
    assert (record.error_type, record.http_status) == ("bad_request", 400)

    server.begin(Behaviour())
    caller.stream(caller.ours)
    assert asked(server) == [True], "nothing was learned from it"
    records_of(caller.ours.monitoring)


def test_a_400_of_a_server_that_took_the_field_before_is_final(server: Api, caller: Caller) -> None:
    server.begin(Behaviour())
    caller.stream(caller.ours)
    records_of(caller.ours.monitoring)
    server.begin(OTHER_400)
    (error,) = caller.stream(caller.ours)

    assert isinstance(error, openai.BadRequestError)
    assert asked(server) == [True]
    assert caller.record().error_type == "bad_request"


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_an_error_that_no_field_causes_is_final(server: Api, caller: Caller, status: int) -> None:
    server.begin(Behaviour(status=status))
    caller.stream(caller.ours)

    assert asked(server) == [True]
    assert caller.record().http_status == status


def test_a_refused_field_and_then_a_retry_and_then_success(server: Api, caller: Caller) -> None:
    server.begin(Behaviour())
    server.script([Behaviour(stream_options=400), Behaviour(status=429), Behaviour()])
    chunks = caller.stream(caller.ours.with_options(max_retries=2))

    assert len(chunks) > 2
    assert asked(server) == [True, False, False]
    record = caller.record()
    assert (record.error_type, record.retries) == (None, 1)


@pytest.mark.parametrize("method", ["with_raw_response", "with_streaming_response"])
def test_nothing_is_injected_where_the_caller_reads_the_bytes(server: Api, caller: Caller, method: str) -> None:
    server.begin(Behaviour())
    create = getattr(caller.ours.chat.completions, method).create(**CHAT, stream=True)

    async def script() -> None:
        if method == "with_raw_response":
            raw = await caller.way.get(create)
            await caller.way.each(raw.parse(), lambda chunk: None)
            return
        opened = create.__aenter__() if caller.way.is_async else create.__enter__()
        response = await caller.way.get(opened)
        await caller.way.get(response.read())
        closing = create.__aexit__ if caller.way.is_async else create.__exit__
        await caller.way.get(closing(None, None, None))

    caller.way.run(script())
    assert asked(server) == [False]
    assert caller.record().usage_unknown == "not_reported"


def test_of_a_usage_in_every_chunk_the_last_counts_and_all_are_seen(server: Api, caller: Caller) -> None:
    server.begin(Behaviour(usage_everywhere=True))
    plain = caller.stream(caller.bare)
    server.begin(Behaviour(usage_everywhere=True))
    ours = caller.stream(caller.ours)

    assert [facts(chunk) for chunk in ours] == [facts(chunk) for chunk in plain]
    record = caller.record()
    assert record.usage is not None
    assert record.usage.output_tokens == server.truth.tokens_by_kind()["output"] == ours[-1].usage.completion_tokens


def test_a_first_chunk_without_choices_is_passed_on(server: Api, caller: Caller) -> None:
    server.begin(Behaviour(azure=True))
    first = caller.stream(caller.ours)[0]

    assert first.choices == []
    assert first.model_extra["prompt_filter_results"]
    record = caller.record()
    assert (record.response_model, record.response_id) == ("gpt-4o-2024-08-06", "chatcmpl-1")


def test_openai_itself_which_takes_the_field_never_gets_a_request_twice(monitoring: Monitoring) -> None:
    bodies: list[dict[str, Any]] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(400, json={"error": {"message": "bad messages"}})

    with httpx.Client(transport=httpx.MockTransport(refuse)) as http_client:
        client = MonitoredOpenAI(api_key="sk-test", http_client=http_client, monitoring=monitoring)
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Why?"}], stream=True)

    assert [body["stream_options"] for body in bodies] == [ASKING]
    (record,) = records_of(monitoring)
    assert (record.server, record.provider) == ("api.openai.com", "openai")

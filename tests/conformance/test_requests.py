"""Odd requests: the SDK sends or refuses them as usual, and the record has what was sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest

from monitored_openai import CallRecord, MonitoredOpenAI
from tests.conformance._compare import assert_same
from tests.conformance._outcomes import FAILURES, OK, Outcome
from tests.conformance._paths import CHAT, PATHS, STREAMED, TOOL, Path
from tests.conformance._readings import VALUE
from tests.conformance._stage import KEEPING, Cell, Sight, Stage, records_of
from tests.support.servers.openai_api import Behaviour

OUTCOMES = {outcome.name: outcome for outcome in FAILURES}
QUESTION = {"role": "user", "content": "Why?"}
CREATE = "chat.completions.create"
OMIT = getattr(openai, "omit", openai.NOT_GIVEN)
READINGS = {path.name: path.readings for path in PATHS}


def cell(body: dict[str, Any], outcome: Outcome, *, is_async: bool, method: str = CREATE) -> Cell:
    streams = body.get("stream") is True or method.endswith(".stream")
    readings = READINGS["stream"] if streams else VALUE
    opens = "enter" if method.endswith(".stream") else ""
    path = Path(name="odd", method=method, body=body, readings=readings, opens=opens)
    return Cell(path=path, reading=next(iter(readings.values())), outcome=outcome, is_async=is_async)


def play(
    stage: Stage,
    make: Callable[[], dict[str, Any]],
    outcome: Outcome = OK,
    *,
    is_async: bool = False,
    method: str = CREATE,
    afterwards: Callable[[dict[str, Any]], None] = lambda body: None,
) -> tuple[list[CallRecord], Sight]:
    """Compare a request, made anew for each client; the records, and what was seen."""
    bare = stage.play(stage.bare(of_bare := cell(make(), outcome, is_async=is_async, method=method)), of_bare)
    of_ours = cell(body := make(), outcome, is_async=is_async, method=method)
    client = stage.ours(of_ours)
    records_of(client.monitoring)
    ours = stage.play(client, of_ours)
    afterwards(body)
    assert_same(of_ours, bare, ours)
    return records_of(client.monitoring), ours


def generator() -> dict[str, Any]:
    return {**CHAT, "messages": (message for message in [QUESTION, QUESTION])}


def generator_of_tools() -> dict[str, Any]:
    return {**CHAT, "tools": iter([TOOL]), **STREAMED}


def objects() -> dict[str, Any]:
    said = openai.types.chat.ChatCompletionMessage(role="assistant", content="Because.", refusal=None)
    return {**CHAT, "messages": [QUESTION, said, QUESTION]}


def not_given() -> dict[str, Any]:
    return {**CHAT, "temperature": openai.NOT_GIVEN, "tools": OMIT, "stream": openai.NOT_GIVEN, "user": None}


def image() -> dict[str, Any]:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgo" * 1000}}
    return {**CHAT, "messages": [{"role": "user", "content": [{"type": "text", "text": "What?"}, part]}]}


def large() -> dict[str, Any]:
    return {**CHAT, "messages": [{"role": "user", "content": "x" * 10_000_000}]}


def nested() -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(150):
        value = {"a": [value]}
    return {**CHAT, "extra_body": {"deep": value}}


def other_model() -> dict[str, Any]:
    return {**CHAT, "extra_body": {"model": "gpt-4o-mini", "messages": [QUESTION]}}


def nul() -> dict[str, Any]:
    return {**CHAT, "messages": [{"role": "user", "content": "a\0b\u2028"}]}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "make", [generator, generator_of_tools, objects, not_given, image, large, nested, other_model, nul]
)
def test_an_odd_request_is_sent_as_ever_and_recorded_as_sent(
    stage: Stage, make: Callable[[], dict[str, Any]], is_async: bool
) -> None:
    (record,), sight = play(stage, make, is_async=is_async)

    sent = json.loads(sight.requests[0].body)
    if record.streamed:
        del sent["stream_options"]
    assert record.request == sent
    assert record.error_type is None
    assert record.request_model == sent["model"]


def surrogate() -> dict[str, Any]:
    return {**CHAT, "messages": [{"role": "user", "content": "a\ud800b"}]}


def not_serialisable() -> dict[str, Any]:
    return {**CHAT, "extra_body": {"what": object()}}


def endless() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return {**CHAT, "extra_body": value}


def bad_header() -> dict[str, Any]:
    return {**CHAT, "extra_headers": {"x-mine": "\u20ac"}}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("make", [surrogate, not_serialisable, endless, bad_header])
def test_a_request_that_cannot_be_sent_fails_as_ever_and_is_recorded_once(
    stage: Stage, make: Callable[[], dict[str, Any]], is_async: bool
) -> None:
    (record,), sight = play(stage, make, is_async=is_async)

    if not sight.requests:
        assert (record.error_type, record.http_status, record.usage) == ("other", None, None)
    else:  # that SDK version sends it after all
        assert (record.error_type, record.http_status) == (None, 200)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("body", [{}, {"model": "gpt-4o"}, {**CHAT, "stream": "yes", "nonsense": 1}])
def test_what_the_sdk_itself_refuses_is_no_call(stage: Stage, body: dict[str, Any], is_async: bool) -> None:
    records, sight = play(stage, lambda: dict(body), is_async=is_async)

    assert (records, sight.requests) == ([], [])
    assert sight.seen[0][0] is TypeError


def mutable() -> dict[str, Any]:
    return {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "first"}]}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
        "extra_body": {"top_k": 1},
    }


def change(body: dict[str, Any]) -> None:
    body["messages"][0]["content"][0]["text"] = "second"
    body["messages"].append(QUESTION)
    body["tools"][0]["function"]["parameters"]["properties"]["x"] = {"type": "string"}
    body["tools"].clear()
    body["extra_body"]["top_k"] = 2


@pytest.mark.parametrize("outcome", [OK, *(OUTCOMES[name] for name in ("400", "refused", "timeout", "cancelled"))])
@pytest.mark.parametrize("streamed", [{}, STREAMED])
def test_what_the_caller_changes_after_the_call_is_not_in_the_record(
    stage: Stage, outcome: Outcome, streamed: dict[str, Any]
) -> None:
    def make() -> dict[str, Any]:
        return {**mutable(), **streamed}

    (record,), _ = play(stage, make, outcome, is_async=True, afterwards=change)

    body = mutable()
    expected = {**body, **body.pop("extra_body"), **streamed}
    assert record.request == {name: part for name, part in expected.items() if name != "extra_body"}


@pytest.fixture
def interrupted() -> Iterator[MonitoredOpenAI]:
    def interrupt(request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    with httpx.Client(transport=httpx.MockTransport(interrupt)) as http_client:
        yield MonitoredOpenAI(api_key="sk-test", http_client=http_client, monitoring=KEEPING)


def test_an_interrupt_reaches_the_caller_and_ends_the_call_as_cancelled(interrupted: MonitoredOpenAI) -> None:
    records_of(interrupted.monitoring)
    with pytest.raises(KeyboardInterrupt):
        interrupted.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Why?"}])

    (record,) = records_of(interrupted.monitoring)
    assert (record.error_type, record.http_status, record.provider) == ("cancelled", None, "openai")


def test_other_endpoints_of_the_same_resource_are_no_calls_of_the_model(stage: Stage) -> None:
    probe = cell(dict(CHAT), OK, is_async=False)
    client = stage.ours(probe)
    records_of(client.monitoring)
    stage.server.begin(Behaviour())

    assert client.chat.completions.retrieve("chatcmpl-1").id == "chatcmpl-1"
    assert client.chat.completions.update("chatcmpl-1", metadata={"a": "b"}).id == "chatcmpl-1"
    assert client.models.list().data[0].id == "gpt-4o"
    assert records_of(client.monitoring) == []

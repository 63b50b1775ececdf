"""Features of responses alone: background runs, resumed streams, later retrieval, failures with a 2xx status."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from monitored_openai import CallRecord
from tests.conformance._caller import Caller
from tests.conformance._family_paths import ASKED
from tests.conformance._paths import CHAT
from tests.conformance._stage import Api
from tests.support.servers.openai_api import Behaviour

BACKGROUND: dict[str, Any] = {**ASKED, "background": True}
UNFINISHED = Behaviour(patch={"status": "in_progress", "usage": None, "output": []})


def told(record: CallRecord) -> tuple[str, str | None, str | None, str | None]:
    """What a record says of its kind, and why it has no tokens and no cost."""
    return (record.operation, "known" if record.usage else record.usage_unknown, record.unpriced, record.error_type)


def test_what_is_made_in_the_background_counts_once_when_a_look_at_it_tells_the_usage(
    server: Api, caller: Caller
) -> None:
    made, record = caller.do("create", **BACKGROUND)
    assert told(record) == ("chat", "background", "background", None)
    assert (record.response_id, record.finish_reasons) == (made.id, ("queued",))

    server.default = UNFINISHED
    assert told(caller.do("retrieve", made.id)[1]) == ("retrieve", None, None, None)
    server.default = Behaviour()
    finished, record = caller.do("retrieve", made.id)
    assert told(record) == ("retrieve", "known", "unknown_provider", None)
    assert record.usage is not None
    assert (record.usage.input_tokens, record.usage.output_tokens) == (
        finished.usage.input_tokens,
        finished.usage.output_tokens,
    )
    assert record.response_model == "gpt-4o-2024-08-06"
    assert told(caller.do("retrieve", made.id)[1]) == ("retrieve", None, None, None)
    assert told(caller.do("retrieve", made.id, stream=True)[1]) == ("retrieve", None, None, None)


def test_what_nobody_owes_adds_nothing_however_often_it_is_looked_at(server: Api, caller: Caller) -> None:
    made, record = caller.do("create", **ASKED)
    assert told(record)[:2] == ("chat", "known")

    _, again = caller.do("retrieve", made.id)
    assert told(again) == ("retrieve", None, None, None)
    assert (again.cost, again.response_id, again.response) == (None, made.id, record.response)
    assert told(caller.do("cancel", made.id)[1]) == ("cancel", None, None, None)


def test_a_look_at_what_says_no_id_adds_nothing(server: Api, caller: Caller) -> None:
    made, _ = caller.do("create", **ASKED)
    server.default = Behaviour(omit=("id",))
    assert told(caller.do("retrieve", made.id)[1]) == ("retrieve", None, None, None)


@pytest.mark.parametrize("again", ["retrieve", "stream", "cancel"])
def test_a_stream_that_was_broken_off_is_made_good_by_a_later_look(server: Api, caller: Caller, again: str) -> None:
    event, record = caller.do("create", **ASKED, stream=True, most=4)
    assert told(record) == ("chat", "abandoned", "usage_unknown", "abandoned")

    name, given = record.response_id, {"stream": True, "starting_after": event.sequence_number}
    method = "cancel" if again == "cancel" else "retrieve"
    _, resumed = caller.do(method, name, **given if again == "stream" else {})
    assert told(resumed)[:2] == (method, "known")
    assert resumed.usage is not None
    assert resumed.usage.output_tokens == server.truth.tokens_by_kind()["output"]
    assert told(caller.do("retrieve", name)[1]) == ("retrieve", None, None, None)


def test_a_stream_in_the_background_that_is_read_to_its_end_is_no_longer_owed(server: Api, caller: Caller) -> None:
    _, record = caller.do("create", **BACKGROUND, stream=True)
    assert told(record)[:2] == ("chat", "known")
    assert told(caller.do("retrieve", record.response_id)[1]) == ("retrieve", None, None, None)


@pytest.mark.parametrize("streamed", [{}, {"stream": True}])
@pytest.mark.parametrize(
    ("code", "error"),
    [("rate_limit_exceeded", "rate_limit"), ("server_error", "server_error"), ("invalid_image", "bad_request")],
)
def test_a_response_that_failed_has_the_type_of_its_error(
    server: Api, caller: Caller, code: str, error: str, streamed: dict[str, Any]
) -> None:
    server.default = Behaviour(fails=code)
    _, record = caller.do("create", **ASKED, **streamed)
    assert told(record) == ("chat", error, "usage_unknown", error)
    assert (record.error_message, record.http_status) == ("The fake API was asked to fail.", 200)
    assert record.finish_reasons == ("failed",)


def test_a_failure_is_told_once_by_the_call_or_by_the_first_look_at_what_was_in_the_background(
    server: Api, caller: Caller
) -> None:
    server.default = Behaviour(fails="server_error")
    made, record = caller.do("create", **ASKED)
    assert record.error_type == "server_error"
    assert told(caller.do("retrieve", made.id)[1]) == ("retrieve", None, None, None)

    server.default = Behaviour(fails="server_error", patch={"error": None})
    made, record = caller.do("create", **BACKGROUND)
    assert told(record) == ("chat", "background", "background", None)
    server.default = Behaviour()
    assert [caller.do("retrieve", made.id)[1].error_type for _ in range(2)] == ["server_error", None]


def test_a_stream_with_an_error_in_its_middle_is_made_good_by_a_later_look(server: Api, caller: Caller) -> None:
    made, _ = caller.do("create", **ASKED)
    unfinished = {**made.to_dict(), "status": "in_progress", "usage": None}
    begun = {"type": "response.created", "sequence_number": 0, "response": unfinished}
    event = {"type": "error", "code": "server_error", "message": "oh", "param": None, "sequence_number": 1}
    events = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in (begun, event))
    server.default = Behaviour(body=events, content_type="text/event-stream")
    _, record = caller.do("create", **ASKED, stream=True)
    assert (told(record), record.finish_reasons) == (
        ("chat", "server_error", "usage_unknown", "server_error"),
        ("failed",),
    )
    server.default = Behaviour()
    assert told(caller.do("retrieve", made.id)[1])[:2] == ("retrieve", "known")


def test_an_error_as_an_event_of_a_stream_is_the_error_of_the_call(server: Api, caller: Caller) -> None:
    event = '{"type": "error", "code": "rate_limit_exceeded", "message": "slower", "param": null, "sequence_number": 1}'
    server.default = Behaviour(body=f"event: error\ndata: {event}\n\n", content_type="text/event-stream")
    _, record = caller.do("create", **ASKED, stream=True)
    assert told(record) == ("chat", "rate_limit", "usage_unknown", "rate_limit")
    assert record.error_message == "slower"


def test_a_stream_that_just_stops_leaves_the_usage_unknown_and_what_was_said_in_the_record(
    server: Api, caller: Caller
) -> None:
    server.default = Behaviour(done=False)
    _, record = caller.do("create", **ASKED, stream=True)
    assert told(record) == ("chat", "not_reported", "usage_unknown", None)
    assert isinstance(record.response, dict)
    assert record.response["output"] == server.last_reply["output"]
    assert told(caller.do("retrieve", record.response_id)[1])[:2] == ("retrieve", "known")


@pytest.mark.parametrize("most", [5, 7])
def test_what_a_broken_off_stream_had_said_is_in_the_record(server: Api, caller: Caller, most: int) -> None:
    _, record = caller.do("create", **ASKED, stream=True, most=most)
    assert isinstance(record.response, dict)
    (item,) = record.response["output"]
    whole = server.last_reply["output"][0]["content"][0]["text"]
    said = item["content"][0]["text"]
    assert 0 < len(said) < len(whole) or most == 7
    assert whole.startswith(said)


def test_a_look_at_what_is_not_there_is_a_call_that_failed(server: Api, caller: Caller) -> None:
    with pytest.raises(openai.NotFoundError):
        caller.do("retrieve", "resp_unknown")
    (record,) = caller.records()
    assert told(record) == ("retrieve", None, None, "model_not_found")  # the code of the fake API for this status


@pytest.mark.parametrize("streamed", [{}, {"stream": True}])
def test_a_cost_in_the_reply_is_told_beside_our_own_and_not_as_it(
    server: Api, caller: Caller, streamed: dict[str, Any]
) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "cost": 0.00125, "is_byok": False}
    server.default = Behaviour(patch={"usage": usage, "provider": "someone"})
    _, record = caller.of("chat.completions").do("create", **CHAT, **streamed)
    assert (record.provider_cost, record.cost, record.unpriced) == (0.00125, None, "unknown_provider")
    assert record.usage is not None
    assert (record.usage.input_tokens, record.usage.output_tokens) == (5, 2)


ODD: dict[str, dict[str, Any]] = {
    "null usage": {"usage": None},
    "no ids": {"id": None, "created_at": None},
    "more fields": {"x_groq": {"id": "1"}, "provider": "someone", "usage": {"input_tokens": 5, "cost": "much"}},
    "no output": {"output": None, "status": None},
    "odd output": {"output": {"0": 1}, "model": 7, "service_tier": [1]},
}


@pytest.mark.parametrize("odd", ODD)
def test_what_other_servers_make_of_a_response_breaks_nothing(server: Api, caller: Caller, odd: str) -> None:
    server.default = Behaviour(patch=ODD[odd])
    _, record = caller.do("create", **ASKED)
    assert (record.operation, record.error_type, record.provider_cost) == ("chat", None, None)
    assert (record.usage is None) == (odd == "null usage")

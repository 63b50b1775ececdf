"""One call in progress: its clock, its single end, the data that it keeps, and its isolation from the caller."""

from __future__ import annotations

import dataclasses
import json
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from monitored_openai import CallRecord, Usage, attributes, no_content
from monitored_openai._calls import call as call_module
from monitored_openai._calls.call import Call
from monitored_openai._calls.pending_usage import PendingUsage
from monitored_openai._calls.record_builder import build_record
from monitored_openai._endpoints.chat import CHAT
from tests.support.handles import MODEL, ask, client, http
from tests.support.records import COST
from tests.support.servers.loki import FakeLoki
from tests.support.servers.openai_api import Behaviour, OpenAIServer

ASKED = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
URL = "http://api.test/v1/chat/completions"


class Clock:
    """Seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(call_module, "perf_counter", made)
    return made


def call(emit: Callable[[Call], None] = lambda ended: None, **fields: Any) -> Call:
    plain: dict[str, Any] = {
        "provider": "openai",
        "server": "api.test",
        "body": ASKED,
        "extra_body": None,
        "streamed": False,
        "buffered": True,
        "injection": None,
        "keeps_content": True,
    }
    return Call(CHAT, emit=emit, **(plain | fields))


def record_of(made: Call) -> CallRecord:
    return build_record(made.result, "id-1", price=lambda call, parsed: COST, pending_usage=PendingUsage())


def response(status: int = 200, body: Any = None, headers: dict[str, str] | None = None, **asked: str) -> Any:
    request = http.Request("POST", URL, json=ASKED, headers=asked)
    return http.Response(status, json=body or ANSWER, headers=headers, request=request)


def unread() -> Any:
    return http.Response(200, content=iter([b""]), request=http.Request("POST", URL, json=ASKED))


ANSWER = {
    "id": "chatcmpl-1",
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "fine"}}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2},
}


def chunk_of(choices: list[Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "created": 1, "model": MODEL, "object": "chat.completion.chunk", "choices": choices}


def chunk(content: str) -> ChatCompletionChunk:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": None}
    return ChatCompletionChunk.construct(**chunk_of([choice]))


def failed(error: BaseException, **fields: Any) -> CallRecord:
    """The record of a call whose request raised this."""
    made = call(**fields)
    with pytest.raises(type(error)), made:
        raise error
    return record_of(made)


def status_error(status: int, message: str = "no", **asked: str) -> openai.APIStatusError:
    answered = response(status, {"error": {"message": message}}, {"x-request-id": "req_1"}, **asked)
    body = {"message": message, "code": "context_length_exceeded", "type": "invalid_request_error"}
    return openai.BadRequestError(message, response=answered, body=body)


# Its end


def test_a_plain_call_is_recorded_with_what_its_response_says(clock: Clock) -> None:
    ended: list[Call] = []
    made = call(ended.append)
    with made:
        clock.now += 0.5
        made.on_response(response(headers={"x-request-id": "req_1", "openai-processing-ms": "9", "x-other": "1"}), 2)
    assert ended == [made]
    record = record_of(made)
    assert (record.duration, record.http_status, record.retries, record.error_type) == (0.5, 200, 2, None)
    assert (record.request_id, record.headers) == ("req_1", {"openai-processing-ms": "9"})
    assert (record.usage, record.cost, record.usage_unknown) == (Usage(input_tokens=5, output_tokens=2), COST, None)
    assert (record.request, record.response) == (ASKED, ANSWER)
    assert (record.request_model, record.response_model, record.finish_reasons) == (
        MODEL,
        "gpt-4o-2024-08-06",
        ("stop",),
    )
    assert (record.streamed, record.chunks, record.time_to_first_chunk) == (False, None, None)


def test_of_many_ends_in_many_threads_one_counts() -> None:
    ended: list[Call] = []
    made = call(ended.append, streamed=True)
    together = threading.Barrier(8)

    def end(way: Callable[[], object]) -> None:
        together.wait(10)
        way()

    ways = [made.on_closed, made.on_process_exit] * 4
    threads = [threading.Thread(target=end, args=(way,)) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert ended == [made]


def test_a_sink_that_raises_does_not_reach_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    def breaks(ended: Call) -> None:
        raise RuntimeError("broken")

    made = call(breaks)
    with made:
        made.on_response(response(), 0)
    assert made.result.size() > 0


def test_a_response_that_is_still_to_be_read_does_not_end_the_call_and_its_loss_abandons_it() -> None:
    ended: list[Call] = []
    made = call(ended.append, streamed=True, buffered=False)
    with made:
        made.on_response(unread(), 0)
    assert ended == []
    made.on_closed()
    assert (ended, record_of(made).error_type, record_of(made).usage_unknown) == ([made], "abandoned", "abandoned")


@pytest.mark.parametrize(("waits", "word"), [(True, "cancelled"), (False, "abandoned")])
def test_the_end_of_the_process_ends_a_call_by_whether_it_was_waiting(waits: bool, word: str) -> None:
    made = call(streamed=True, buffered=False)
    if waits:
        with made:
            made.on_process_exit()
    else:
        made.on_process_exit()
    assert record_of(made).error_type == word


# Its clock


def test_the_time_the_caller_spends_between_chunks_is_left_out(clock: Clock) -> None:
    made = call(streamed=True, buffered=False)
    with made:
        clock.now += 0.25
        made.on_response(unread(), 0)
    made.start_stream()
    for waited in (0.5, 0.125, 2.0):
        clock.now += 60  # the caller is busy
        assert made.on_chunk(chunk("a"), waited)
    clock.now += 60
    made.on_stream_end(0.125)
    record = record_of(made)
    assert (record.duration, record.time_to_first_chunk) == (3.0, 0.75)
    assert (record.chunk_intervals, record.chunks) == ((0.125, 2.0), 3)


def test_a_stream_without_a_chunk_has_no_time_to_the_first() -> None:
    made = call(streamed=True, buffered=False)
    with pytest.raises(StopIteration), made:
        raise StopIteration
    record = record_of(made)
    assert (record.chunks, record.time_to_first_chunk, record.chunk_intervals) == (0, None, ())


# What went wrong


def test_an_error_status_is_recorded_with_what_the_error_carries() -> None:
    record = failed(status_error(400, "too long", **{"x-stainless-retry-count": "2"}))
    assert (record.error_type, record.http_status, record.retries) == ("bad_request", 400, 2)
    assert (record.error_message, record.request_id, record.request) == ("too long", "req_1", ASKED)
    assert (record.usage, record.usage_unknown, record.cost, record.unpriced) == (None, None, None, None)


@pytest.mark.parametrize("sent", ["-5", "x", "", "1.5"])
def test_a_retry_count_of_the_callers_own_making_is_unknown(sent: str) -> None:
    assert failed(status_error(400, **{"x-stainless-retry-count": sent})).retries is None


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def test_an_error_that_cannot_be_printed_is_an_error_all_the_same() -> None:
    record = failed(Unprintable())
    assert (record.error_type, record.error_message) == ("other", None)


@pytest.mark.parametrize("off", ["setting", "block"])
def test_without_content_an_error_is_named_and_its_message_which_may_repeat_the_prompt_is_not_kept(off: str) -> None:
    def asked() -> list[CallRecord]:
        keeps = off != "setting"
        errors = (
            status_error(400, "Invalid: 'hello'"),
            ValueError("hello"),
            openai.APIConnectionError(request=REQUEST),
        )
        return [failed(error, keeps_content=keeps) for error in errors]

    if off == "block":
        with no_content():
            records = asked()
    else:
        records = asked()
    assert [record.error_message for record in records] == [
        "BadRequestError (context_length_exceeded)",
        "ValueError",
        "APIConnectionError",
    ]
    assert [(record.request, record.response, record.content_captured) for record in records] == [
        (None, None, False)
    ] * 3


REQUEST = http.Request("POST", URL, json=ASKED)


@pytest.mark.parametrize("code", ["tell me about hello", "x" * 65, "hello\n", "", None])
def test_a_code_that_may_be_content_is_not_kept_either(code: Any) -> None:
    error = openai.APIError("hello", REQUEST, body={"code": code})
    assert failed(error, keeps_content=False).error_message == "APIError"


# What it keeps


def test_what_a_block_says_at_the_start_of_a_call_holds_to_its_end() -> None:
    with attributes(user="alice"), no_content():
        made = call()
    with made:
        made.on_response(response(), 0)
    record = record_of(made)
    assert (record.attributes, record.request, record.response) == ({"user": "alice"}, None, None)
    assert record.usage == Usage(input_tokens=5, output_tokens=2)


def test_a_call_that_sheds_its_content_keeps_what_the_metrics_need_and_nothing_large() -> None:
    made = call()
    with made:
        made.on_response(response(), 0)
    before, full = made.result.size(), record_of(made)
    made.result.discard_content()
    record = record_of(made)
    assert (before > 200, made.result.size()) == (True, 0)
    assert record == dataclasses.replace(full, request=None, response=None, content_captured=False)


def test_what_a_request_says_of_whom_it_is_for_is_kept_without_its_content_too() -> None:
    told = {"user": "u-1", "safety_identifier": "s-1", "metadata": {"team": "shop"}}
    made = call(body={**ASKED, **told}, extra_body={"user": "u-2", "prompt_cache_key": "k"}, keeps_content=False)
    with made:
        made.on_response(response(), 0)
    expected = {**told, "user": "u-2", "prompt_cache_key": "k"}
    assert record_of(made).identifiers == expected
    made.result.discard_content()
    assert record_of(made).identifiers == expected


@pytest.mark.parametrize("keeps_content", [True, False], ids=["content", "no-content"])
@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"previous_response_id": "resp_1"}, {"previous_response_id": "resp_1"}),
        ({"conversation": "conv_1"}, {"conversation": "conv_1"}),
        ({"conversation": {"id": "conv_1"}}, {"conversation": "conv_1"}),
        (
            {"prompt": {"id": "pmpt_1", "version": "3", "variables": {"name": "alice"}}},
            {"prompt_id": "pmpt_1", "prompt_version": "3"},
        ),
        ({"prompt": {"id": "pmpt_1", "version": None}}, {"prompt_id": "pmpt_1"}),
        ({"conversation": {"id": 7}, "previous_response_id": 7, "prompt": {"id": ["x"]}}, {}),
        ({"prompt": "Say hello.", "conversation": None}, {}),
        ({"prompt": ["Say", "hello"], "conversation": ["conv_1"]}, {}),
    ],
)
def test_conversation_and_prompt_identify_a_call(told: Any, expected: Any, keeps_content: bool) -> None:
    assert record_of(call(body={**ASKED, **told}, keeps_content=keeps_content)).identifiers == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"user": "", "safety_identifier": None, "prompt_cache_key": 7, "metadata": None}, {}),
        ({"user": ["u"], "metadata": {}}, {}),
        ({"metadata": {"team": "shop", "n": 7, 8: "x"}}, {"metadata": {"team": "shop"}}),
        ({"metadata": "shop"}, {}),
    ],
)
def test_identifiers_of_another_form_than_the_apis_are_left_out(told: Any, expected: Any) -> None:
    assert record_of(call(body={**ASKED, **told})).identifiers == expected


def test_the_attributes_of_a_client_are_those_of_its_calls_and_a_block_nearer_to_the_call_wins() -> None:
    of_client = {"team": "x", "feature": "search"}
    plain = call(attributes=of_client)
    with attributes(team="y", user="alice"):
        inside = call(attributes=of_client)
    assert record_of(plain).attributes == of_client
    assert record_of(inside).attributes == {"team": "y", "feature": "search", "user": "alice"}


def test_a_long_error_message_counts_as_content_and_is_shed() -> None:
    made = call()
    with pytest.raises(ValueError, match="xxx"), made:
        raise ValueError("x" * 100_000)
    assert made.result.size() >= 100_000
    made.result.discard_content()
    assert (made.result.size(), record_of(made).error_message, record_of(made).error_type) == (0, None, "other")


def test_a_body_read_in_pieces_is_kept_up_to_a_limit_and_beyond_it_counts_as_not_read() -> None:
    body = json.dumps(ANSWER).encode()
    short, long = call(buffered=False), call(buffered=False)
    for made, pieces in ((short, [body[:50], body[50:]]), (long, [b"x" * 2**23] * 3)):
        with made:
            made.on_response(unread(), 0)
        for piece in pieces:
            assert made.on_piece(piece, 0.0)
        made.on_stream_end(0.0)
    assert record_of(short).usage == Usage(input_tokens=5, output_tokens=2)
    assert (record_of(long).usage_unknown, long.result.size() < 1000) == ("not_read", True)


def test_a_record_can_be_copied_compared_pickled_and_written_as_json() -> None:
    with attributes(user="alice"):
        made, bare = call(), failed(ValueError("no"), body=None)
    with made:
        made.on_response(response(), 0)
    for record in (record_of(made), bare):
        assert pickle.loads(pickle.dumps(record)) == record  # noqa: S301 - our own
        assert json.loads(json.dumps(dataclasses.asdict(record)))["attributes"] == dict(record.attributes)


def test_who_changes_a_records_attributes_does_not_change_those_of_other_calls() -> None:
    with attributes(user="alice"):
        first, second = call(), call()
    record: Any = record_of(first)
    record.attributes["user"] = "bob"
    assert record_of(second).attributes == {"user": "alice"}


# The trace


def telemetry(context: Any) -> Any:
    """What the program's OpenTelemetry looks like from here."""
    return SimpleNamespace(get_current_span=lambda: SimpleNamespace(get_span_context=lambda: context))


@pytest.mark.parametrize(
    ("module", "ids"),
    [
        (telemetry(SimpleNamespace(trace_id=1, span_id=2, is_valid=True)), ("0" * 31 + "1", "0" * 15 + "2")),
        (telemetry(SimpleNamespace(trace_id=0, span_id=0, is_valid=False)), (None, None)),
        (telemetry(None), (None, None)),
        (SimpleNamespace(), (None, None)),
        (None, (None, None)),
    ],
    ids=["current", "none current", "odd", "other", "not used"],
)
def test_a_call_belongs_to_the_current_trace_if_there_is_one(
    module: Any, ids: tuple[str | None, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", module)
    record = record_of(call())
    assert (record.trace_id, record.span_id) == ids


# From the client to Loki


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as made:
        yield made


@pytest.fixture(scope="module")
def loki() -> Iterator[FakeLoki]:
    with FakeLoki() as made:
        yield made


@pytest.fixture(autouse=True)
def _both(server: OpenAIServer, loki: FakeLoki) -> None:
    """Started before the look at what a test leaves behind."""


def logged(server: OpenAIServer, loki: FakeLoki, work: Callable[[openai.OpenAI], None], **settings: Any) -> list[Any]:
    """What reached Loki of these calls."""
    before = len(loki.entries)
    with client(server.base_url, logs_url=loki.push_url, **settings) as made:
        work(made)
        assert made.monitoring.flush(20).complete
    return loki.entries[before:]


def many_ways(client: openai.OpenAI) -> None:
    """Calls that go well, fail with an echo of the prompt, stream, break off."""
    ask(client, "ALICE")
    echo = json.dumps({"error": {"message": "Invalid content: 'ALICE'", "code": "invalid", "param": "ALICE"}})
    for status in (400, 500):
        with pytest.raises(openai.APIStatusError):
            ask(client, "ALICE", extra_headers=Behaviour(status=status, body=echo).header())
    with pytest.raises(openai.OpenAIError):
        list(ask(client, "ALICE", stream=True, extra_headers=Behaviour(error_event=True).header()))
    assert list(ask(client, "ALICE", stream=True))
    with ask(client, "ALICE", stream=True) as broken_off:
        assert next(iter(broken_off))
    ask(client, "hello", extra_headers=Behaviour(message={"content": "ALICE"}).header())
    client.chat.completions.with_raw_response.create(model=MODEL, messages=[{"role": "user", "content": "ALICE"}])
    client.completions.create(model=MODEL, prompt="ALICE")


@pytest.mark.parametrize("off", ["setting", "block"])
def test_with_content_off_no_text_of_requests_answers_or_errors_is_anywhere(
    off: str, server: OpenAIServer, loki: FakeLoki
) -> None:
    def work(client: openai.OpenAI) -> None:
        if off == "setting":
            many_ways(client)
        else:
            with no_content():
                many_ways(client)

    entries = logged(server, loki, work, capture_content=off != "setting")
    assert len(entries) == 9
    for entry in entries:
        text = entry.line + str(entry.metadata) + str(entry.labels)
        assert "ALICE" not in text
        assert not {"request", "response"} & json.loads(entry.line).keys()
    failed = [json.loads(entry.line)["error_message"] for entry in entries if "error_message" in entry.line]
    assert {message.partition(" ")[0] for message in failed} >= {"BadRequestError", "InternalServerError"}


def test_a_labelled_clients_calls_are_logged_with_its_attributes_and_their_own_identifiers(
    server: OpenAIServer, loki: FakeLoki
) -> None:
    def work(client: Any) -> None:
        labelled = client.with_attributes(team="x", feature="search").with_options(timeout=9)
        with attributes(feature="chat"):
            assert list(ask(labelled, user="u-17", metadata={"who": "me"}, stream=True))
        ask(client)

    labelled, plain = logged(server, loki, work)
    line = json.loads(labelled.line)
    assert line["attributes"] == {"team": "x", "feature": "chat"}
    assert line["identifiers"] == {"user": "u-17", "metadata": {"who": "me"}}
    assert labelled.metadata.items() >= {"team": "x", "feature": "chat", "openai_user": "u-17"}.items()
    assert not {"attributes", "identifiers"} & json.loads(plain.line).keys()


def test_with_content_on_it_is_there_and_patterns_take_it_out(server: OpenAIServer, loki: FakeLoki) -> None:
    plain = logged(server, loki, many_ways)
    assert sum("ALICE" in entry.line for entry in plain) == 9
    redacted = logged(server, loki, many_ways, redact=("ALICE",))
    assert sum("ALICE" in entry.line for entry in redacted) == 0
    assert sum("[redacted]" in entry.line for entry in redacted) == 9


def raises_always(*arguments: object) -> str:
    raise SystemExit(f"ALICE {arguments}")


def test_functions_of_the_users_that_raise_cost_the_content_and_no_call(
    server: OpenAIServer, loki: FakeLoki, caplog: pytest.LogCaptureFixture
) -> None:
    entries = logged(server, loki, many_ways, redact=raises_always, on_record=raises_always)
    assert len(entries) == 9
    assert not [entry for entry in entries if "ALICE" in entry.line]
    assert json.loads(entries[0].line)["content_left_out"] == "the content could not be prepared: SystemExit"


def test_errors_are_logged_whatever_the_sample(server: OpenAIServer, loki: FakeLoki) -> None:
    def work(client: openai.OpenAI) -> None:
        many_ways(client)
        stats = client.monitoring.stats()  # type: ignore[attr-defined]  # a monitored one
        assert stats.calls == 9

    entries = logged(server, loki, work, log_sample_ratio=0)
    assert [json.loads(entry.line)["error_type"] for entry in entries] == [
        "bad_request",
        "server_error",
        "server_error",
        "abandoned",
    ]


@pytest.mark.parametrize(
    "message",
    [{"content": 7}, {"content": ["a"]}, {"content": {"a": 1}}, {"role": 7, "tool_calls": 7}, {"tool_calls": [7]}],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_odd_answer_reaches_the_caller_untouched_and_its_tokens_are_counted(
    message: dict[str, Any], stream: bool, server: OpenAIServer, loki: FakeLoki
) -> None:
    def work(client: openai.OpenAI) -> None:
        behaviour = Behaviour(message=message)
        if stream:
            choice = {"index": 0, "delta": message, "finish_reason": None}
            events = [chunk_of(choices=[choice]), chunk_of(choices=[]) | {"usage": ANSWER["usage"]}]
            body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
            behaviour = Behaviour(body=body, content_type="text/event-stream")
        answer = ask(client, stream=stream, extra_headers=behaviour.header())
        assert not stream or list(answer)

    (entry,) = logged(server, loki, work)
    assert int(entry.metadata["input_tokens"]) > 0

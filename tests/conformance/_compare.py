"""Comparisons of our clients with the bare SDK, and checks of the single record."""

from __future__ import annotations

import json
import re
from functools import partial
from itertools import zip_longest
from typing import Any

from monitored_openai import CallRecord
from tests.conformance._stage import AZURE, Cell, Sight, Stage, records_of
from tests.support.servers._answers import SNAPSHOTS, answer
from tests.support.servers._steps import Request
from tests.support.servers._truth import Truth

ASKED = {"include_usage": True}
_BOUNDARY = re.compile(r"boundary=([0-9a-f]{32})")
_BEHIND_AZURE = SNAPSHOTS["gpt-4o"]
KINDS = (
    "input output input_cached input_audio input_image output_reasoning output_audio output_image "
    "output_accepted_prediction output_rejected_prediction"
).split()


def _json(value: Any, **form: Any) -> bytes:
    return json.dumps(value, **form).encode()


_JSON_FORMS = (
    partial(_json, separators=(",", ":"), ensure_ascii=False),
    partial(_json, ensure_ascii=True),  # httpx before 0.28
)


def assert_same(cell: Cell, bare: Sight, ours: Sight, *, injects: bool = True) -> None:
    """The caller saw the same, and the server got the same but for the injected `stream_options`."""
    different = [(mine, its) for mine, its in zip_longest(ours.seen, bare.seen) if mine != its]
    assert not different
    got = [_without_injected(request) for request in ours.requests] if injects and cell.path.injects else ours.requests
    assert [_wire(request) for request in got] == [_wire(request) for request in bare.requests]


def compared(stage: Stage, cell: Cell) -> tuple[CallRecord, Sight]:
    """The one record of a call that is the same on the bare SDK, and what its caller saw."""
    bare = stage.play(stage.bare(cell), cell)
    client = stage.ours(cell)
    records_of(client.monitoring)
    ours = stage.play(client, cell)
    assert_same(cell, bare, ours)
    (record,) = records_of(client.monitoring)
    return record, ours


def _wire(request: Request) -> Any:
    form = _BOUNDARY.search(request.headers.get("content-type", ""))
    if form is None:
        return (request.method, request.target, request.raw_headers, request.body)
    headers = [(name, value.replace(form[1], "")) for name, value in request.raw_headers]
    return (request.method, request.target, headers, request.body.replace(form[1].encode(), b""))


def _without_injected(request: Request) -> Request:
    """The request as it would have been; fails if nothing was injected."""
    body = json.loads(request.body)
    written = next(form for form in _JSON_FORMS if form(body) == request.body)
    assert body.pop("stream_options") == ASKED
    text = written(body)
    headers = tuple(
        (name, str(len(text)) if name.lower() == "content-length" else value) for name, value in request.raw_headers
    )
    return Request(
        method=request.method, target=request.target, raw_headers=headers, headers=request.headers, body=text
    )


def assert_true(cell: Cell, record: CallRecord, sight: Sight, truth: Truth, port: int) -> None:
    """The record says what happened."""
    path, outcome = cell.path, cell.outcome
    legacy, azure = path.endpoint == "/completions", cell.flavour == AZURE
    assert (record.operation, record.provider, record.server) == (
        "text_completion" if legacy else "chat",
        "azure.ai.openai" if azure else "unknown",
        f"127.0.0.1:{port}",
    )
    error = expected_error(cell)
    assert (record.error_type, record.http_status, record.retries) == (error, outcome.status, outcome.retries)
    assert (record.error_message is None) == (error in (None, "abandoned"))
    assert record.request_model == path.body["model"]
    assert record.streamed == path.streams
    assert record.duration > 0
    assert record.ended_ns >= record.started_ns
    _assert_usage(cell, record, truth)
    _assert_chunks(cell, record, sight)
    if record.request is not None and sight.requests:
        sent = json.loads(sight.requests[-1].body)
        assert record.request == {name: part for name, part in sent.items() if name in _sent_by_caller(cell, sent)}
    if outcome.status == 200 and error is None and outcome.behaviour.body is None:
        _assert_answer(cell, record, sight)


def expected_error(cell: Cell) -> str | None:
    """What the record is to have for an error."""
    path, outcome = cell.path, cell.outcome
    if path.parses and outcome.if_parsed:
        return outcome.if_parsed
    opened = outcome.status == 200
    return "abandoned" if opened and cell.reading.error else outcome.error


def _sent_by_caller(cell: Cell, sent: dict[str, Any]) -> set[str]:
    return set(sent) - ({"stream_options"} if cell.path.injects else set())


def _assert_usage(cell: Cell, record: CallRecord, truth: Truth) -> None:
    told = truth.tokens_by_kind()
    error = expected_error(cell)
    # Of a stream the SDK parses what it has yielded: it raises before the usage has come.
    cut_off = cell.path.streams and cell.path.parses and cell.outcome.if_parsed
    reason = error if error == "abandoned" or cut_off else cell.outcome.usage_unknown
    if cell.outcome.status is not None and cell.outcome.status >= 400:
        assert (record.usage, record.usage_unknown) == (None, None)
    elif reason or not told:
        assert (record.usage, record.usage_unknown) == (None, reason or "not_reported")
    else:
        assert record.usage is not None
        assert record.usage_unknown is None
        assert {kind: n for kind in KINDS if (n := getattr(record.usage, f"{kind}_tokens"))} == dict(told)


def _assert_chunks(cell: Cell, record: CallRecord, sight: Sight) -> None:
    if not cell.path.streams:
        assert (record.chunks, record.time_to_first_chunk, record.chunk_intervals) == (None, None, ())
        return
    assert record.chunks is not None
    if cell.path.kind == "stream" and not cell.path.method.endswith(".stream"):
        assert record.chunks == sum(isinstance(one[0], type) and one[0].__name__ in _CHUNKS for one in sight.seen)
    assert len(record.chunk_intervals) == max(record.chunks - 1, 0)
    assert (record.time_to_first_chunk is not None) == (record.chunks > 0)
    if record.time_to_first_chunk is not None:
        assert record.time_to_first_chunk > 0
        assert record.time_to_first_chunk + sum(record.chunk_intervals) <= record.duration * 1.001


_CHUNKS = ("ChatCompletionChunk", "Completion")


def _assert_answer(cell: Cell, record: CallRecord, sight: Sight) -> None:
    """The answer is there whole: of a stream, put together as if it had not been one."""
    sent = json.loads(sight.requests[-1].body)
    model = _BEHIND_AZURE if cell.flavour == AZURE else SNAPSHOTS.get(sent["model"], sent["model"])
    attempt = (cell.outcome.retries or 0) + 1
    served = answer(cell.path.endpoint, sent, model, attempt, cell.outcome.behaviour)
    if not cell.path.streams:
        assert record.response == served
    assert isinstance(record.response, dict)
    assert [_said(choice) for choice in record.response["choices"]] == [_said(choice) for choice in served["choices"]]
    assert record.finish_reasons == tuple(choice["finish_reason"] for choice in served["choices"])
    assert (record.response_model, record.response_id) == (model, served["id"])
    assert record.service_tier == served.get("service_tier")
    assert record.request_id == f"req_{attempt:016x}"
    assert record.headers["openai-processing-ms"] == str(10 + attempt % 90)


def _said(choice: dict[str, Any]) -> Any:
    message = choice.get("message", {})
    tools = [(call["id"], call["function"]) for call in message.get("tool_calls") or ()]
    return (choice["index"], choice.get("text"), message.get("content") or None, message.get("refusal"), tools)

"""The ways to make a call besides the completions: one row for each method and the variants worth telling apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.conformance import _readings as readings
from tests.conformance._outcomes import FAILURES, OK, Outcome
from tests.conformance._paths import Path, Verdict
from tests.conformance._readings import Reading

ASKED: Mapping[str, Any] = {"model": "gpt-4o", "input": "Why is the sky blue?"}
STREAMED: Mapping[str, Any] = {"stream": True}
FUNCTION = {"type": "function", "name": "note", "strict": True, "parameters": Verdict.model_json_schema()}
_READINGS = {
    "parse_raw drop_unparsed parse read_json read_whole read_bytes read_lines loop steps loop_twice",
    "leave_unread break_and_close close_unread leave_with_early break_and_drop drop_unread",
}
_OUTCOMES = (
    "400 429-twice reset timeout dropped-half-way invalid-json invalid-json-raw invalid-event error-event"
    " drop-mid-stream cancelled cancelled-mid-stream length refusal"
).split()


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyPath(Path):
    """A way to make a call, and what its record calls it."""

    to: str
    operation: str
    model: str | None = "gpt-4o-2024-08-06"
    """The model that the response names."""
    begins: Callable[[Mapping[str, Any]], bool] = lambda event: True
    """Whether an event of a stream is one by which the answer has begun."""

    @property
    def endpoint(self) -> str:
        return self.to

    @property
    def streams(self) -> bool:
        return bool(self.body.get("stream")) or self.method.endswith("responses.stream")

    @property
    def injects(self) -> bool:
        return False

    def readings_chosen(self) -> Iterator[tuple[str, Reading]]:
        chosen = {name for names in _READINGS for name in names.split()} | {""}
        plainest = next(iter(self.readings))
        for name, reading in self.readings.items():
            if (name in chosen and self.core) or name == plainest:
                yield name, reading

    def outcomes(self) -> Iterator[Outcome]:
        yield OK
        for outcome in FAILURES:
            if self.core and outcome.name in _OUTCOMES and outcome.applies(self):
                yield outcome


def _responses(kind: Mapping[str, Reading], name: str, method: str, body: Mapping[str, Any], **more: Any) -> FamilyPath:
    waiting = {"response.created", "response.in_progress", "response.queued"}
    row: dict[str, Any] = {
        "to": "/responses",
        "operation": "chat",
        "begins": lambda event: event["type"] not in waiting,
    }
    return FamilyPath(name=name, method=method, body=body, readings=kind, **(row | more))


_CREATE = "responses.create"
_RAW = "responses.with_raw_response.create"
_BODY = "responses.with_streaming_response.create"
_TOOLS = {**ASKED, "tools": [FUNCTION], "reasoning": {"effort": "low", "summary": "auto"}}
_VERDICT = {**ASKED, "text_format": Verdict}
_COMPACT = {"to": "/responses/compact", "operation": "compaction", "model": None}

RESPONSES = (
    _responses(readings.VALUE, "responses", _CREATE, ASKED, core=True),
    _responses(readings.VALUE, "responses-tools", _CREATE, _TOOLS),
    _responses(readings.VALUE, "responses-extra", _CREATE, {**ASKED, "extra_body": {"top_k": 4}, "user": "me"}),
    _responses(readings.VALUE, "responses-parse", "responses.parse", _VERDICT),
    _responses(readings.VALUE, "responses-compact", "responses.compact", ASKED, **_COMPACT),
    _responses(readings.VALUE, "beta-responses", "beta.responses.create", ASKED),
    _responses(readings.RAW, "responses-raw", _RAW, ASKED, core=True),
    _responses(readings.BODY, "responses-body", _BODY, ASKED, opens="enter", core=True),
    _responses(readings.STREAM, "responses-stream", _CREATE, {**ASKED, **STREAMED}, core=True),
    _responses(readings.STREAM, "responses-stream-tools", _CREATE, {**_TOOLS, **STREAMED}),
    _responses(readings.STREAM, "responses-raw-stream", _RAW, {**ASKED, **STREAMED}, opens="parse"),
    _responses(readings.STREAM, "responses-body-stream", _BODY, {**ASKED, **STREAMED}, opens="enter, parse"),
    _responses(readings.EVENTS, "responses-body-events", _BODY, {**ASKED, **STREAMED}, opens="enter", core=True),
    _responses(readings.STREAM, "responses-helper", "responses.stream", ASKED, opens="enter", core=True),
    _responses(readings.STREAM, "responses-helper-parsed", "responses.stream", _VERDICT, opens="enter"),
)
FAMILY_PATHS = RESPONSES

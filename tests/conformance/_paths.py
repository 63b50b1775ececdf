"""Ways to make a call: a row for each method, its variants, and the requests of interest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import openai
from pydantic import BaseModel

from tests.conformance import _readings as readings
from tests.conformance._readings import Reading, See
from tests.conformance._ways import Way


class Verdict(BaseModel):
    text: str
    number: int


CHAT: Mapping[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
LEGACY: Mapping[str, Any] = {"model": "gpt-3.5-turbo-instruct", "prompt": "The sky is"}
STREAMED: Mapping[str, Any] = {"stream": True}
ASKED: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
TOOL = openai.pydantic_function_tool(Verdict)
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "verdict", "strict": True, "schema": Verdict.model_json_schema()},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A way to make a call, and what there is to be read of it."""

    name: str
    method: str
    body: Mapping[str, Any]
    readings: Mapping[str, Reading]
    opens: str = ""
    """How to come from what the method returns to what is read: `enter` it, `parse` it, or both."""
    parses: bool = False
    """Whether the SDK makes the caller's own model of the answer, so that a cut-off answer is an error."""
    core: bool = False
    """Whether it stands for its kind where all of them would take too long."""
    client: Callable[[Any], Any] = lambda client: client

    @property
    def endpoint(self) -> str:
        return "/chat/completions" if "messages" in self.body else "/completions"

    @property
    def streams(self) -> bool:
        return bool(self.body.get("stream")) or self.method.endswith(".stream")

    @property
    def kind(self) -> str:
        """What there is to be read, by the name of its readings."""
        return next(kind for kind, own in readings.KINDS.items() if own is self.readings)

    @property
    def injects(self) -> bool:
        """Whether the usage is asked for on behalf of the caller."""
        return self.streams and "raw" not in self.method and "streaming" not in self.method and not self.asks

    @property
    def asks(self) -> bool:
        return "stream_options" in self.body or "stream_options" in self.body.get("extra_body", {})

    async def open(self, way: Way, client: Any, stack: AsyncExitStack, see: See) -> Any:
        """Make the call; what is to be read."""
        given: Any = attrgetter(self.method)(self.client(client))(**self.body)
        opened = await way.enter(stack, given) if "enter" in self.opens else await way.get(given)
        see(opened)
        if "parse" in self.opens:
            parsed = opened.parse()
            opened = await way.get(parsed) if "enter" in self.opens else parsed
            see(opened)
        return opened


def _rows(kind: Mapping[str, Reading], rows: Mapping[str, tuple[str, Mapping[str, Any]]], **more: Any) -> list[Path]:
    return [Path(name=name, method=method, body=body, readings=kind, **more) for name, (method, body) in rows.items()]


_CREATE = "chat.completions.create"
_RAW = "chat.completions.with_raw_response"
_BODY = "chat.completions.with_streaming_response"
_VERDICT = {**CHAT, "response_format": Verdict}

PATHS: tuple[Path, ...] = (
    *_rows(readings.VALUE, {"create": (_CREATE, CHAT), "legacy": ("completions.create", LEGACY)}, core=True),
    *_rows(
        readings.VALUE,
        {
            "create-n": (_CREATE, {**CHAT, "n": 3}),
            "create-tools": (_CREATE, {**CHAT, "tools": [TOOL]}),
            "create-schema": (_CREATE, {**CHAT, "response_format": SCHEMA}),
            "create-extra": (_CREATE, {**CHAT, "extra_body": {"top_k": 4}, "extra_headers": {"x-mine": "1"}}),
            "create-unstreamed": (_CREATE, {**CHAT, "stream": False, "user": "me"}),
            "beta-create": ("beta.chat.completions.create", CHAT),
            "legacy-prompts": ("completions.create", {**LEGACY, "prompt": ["a", "b"], "n": 2}),
        },
    ),
    *_rows(readings.VALUE, {"parse": ("chat.completions.parse", _VERDICT)}, parses=True, core=True),
    *_rows(
        readings.VALUE,
        {
            "parse-tools": ("chat.completions.parse", {**CHAT, "tools": [TOOL]}),
            "beta-parse": ("beta.chat.completions.parse", _VERDICT),
        },
        parses=True,
    ),
    *(
        Path(name=name, method=_CREATE, body=CHAT, readings=readings.VALUE, client=client)
        for name, client in {
            "with-options": lambda client: client.with_options(default_headers={"x-mine": "2"}),
            "copy-of-copy": lambda client: client.copy(timeout=20).copy(default_query={"q": "1"}),
        }.items()
    ),
    *_rows(readings.RAW, {"raw": (f"{_RAW}.create", CHAT)}, core=True),
    *_rows(
        readings.RAW,
        {
            "raw-of-resource": ("chat.with_raw_response.completions.create", CHAT),
            "raw-of-client": ("with_raw_response.chat.completions.create", CHAT),
            "legacy-raw": ("completions.with_raw_response.create", LEGACY),
        },
    ),
    *_rows(readings.RAW, {"raw-parse": (f"{_RAW}.parse", _VERDICT)}, parses=True),
    *_rows(readings.BODY, {"body": (f"{_BODY}.create", CHAT)}, opens="enter", core=True),
    *_rows(
        readings.BODY,
        {
            "body-of-resource": ("chat.with_streaming_response.completions.create", CHAT),
            "body-of-client": ("with_streaming_response.chat.completions.create", CHAT),
            "legacy-body": ("completions.with_streaming_response.create", LEGACY),
        },
        opens="enter",
    ),
    *_rows(readings.BODY, {"body-parse": (f"{_BODY}.parse", _VERDICT)}, opens="enter", parses=True),
    *_rows(
        readings.STREAM,
        {"stream": (_CREATE, {**CHAT, **STREAMED}), "legacy-stream": ("completions.create", {**LEGACY, **STREAMED})},
        core=True,
    ),
    *_rows(
        readings.STREAM,
        {
            "stream-asked": (_CREATE, {**CHAT, **ASKED}),
            "stream-n": (_CREATE, {**CHAT, **STREAMED, "n": 3}),
            "stream-tools": (_CREATE, {**CHAT, **STREAMED, "tools": [TOOL]}),
            "stream-extra": (_CREATE, {**CHAT, **STREAMED, "extra_body": {"top_k": 4}}),
            "beta-create-stream": ("beta.chat.completions.create", {**CHAT, **STREAMED}),
            "legacy-stream-asked": ("completions.create", {**LEGACY, **ASKED}),
        },
    ),
    *_rows(
        readings.STREAM,
        {"raw-stream": (f"{_RAW}.create", {**CHAT, **STREAMED})},
        opens="parse",
        core=True,
    ),
    *_rows(
        readings.STREAM,
        {
            "raw-stream-asked": (f"{_RAW}.create", {**CHAT, **ASKED}),
            "raw-stream-of-client": ("with_raw_response.chat.completions.create", {**CHAT, **STREAMED}),
            "legacy-raw-stream": ("completions.with_raw_response.create", {**LEGACY, **STREAMED}),
        },
        opens="parse",
    ),
    *_rows(readings.UNPARSED, {"raw-stream-unparsed": (f"{_RAW}.create", {**CHAT, **STREAMED})}),
    *_rows(
        readings.STREAM,
        {
            "body-stream": (f"{_BODY}.create", {**CHAT, **ASKED}),
            "legacy-body-stream": ("completions.with_streaming_response.create", {**LEGACY, **STREAMED}),
        },
        opens="enter, parse",
    ),
    *_rows(readings.EVENTS, {"body-events": (f"{_BODY}.create", {**CHAT, **ASKED})}, opens="enter", core=True),
    *_rows(
        readings.EVENTS,
        {"legacy-body-events": ("completions.with_streaming_response.create", {**LEGACY, **STREAMED})},
        opens="enter",
    ),
    *_rows(readings.STREAM, {"helper": ("chat.completions.stream", CHAT)}, opens="enter", core=True),
    *_rows(
        readings.STREAM,
        {"beta-helper": ("beta.chat.completions.stream", CHAT)},
        opens="enter",
    ),
    *_rows(
        readings.STREAM,
        {"helper-parsed": ("chat.completions.stream", _VERDICT)},
        opens="enter",
        parses=True,
    ),
)

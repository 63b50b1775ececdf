"""A simulated API and its clients in one process, because a network would hide the cost of monitoring."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import openai

from monitored_openai import AsyncMonitoredOpenAI, MonitoredOpenAI, Monitoring, MonitoringSettings

http: Any = import_module("httpx2" if int(openai.__version__.partition(".")[0]) >= 3 else "httpx")
"""The HTTP library of the installed SDK."""

MODEL = "gpt-4o-mini"
CHUNKS = 500
_HEADERS = {
    "content-type": "application/json",
    "date": "Mon, 23 Nov 2026 12:00:00 GMT",
    "server": "cloudflare",
    "cf-ray": "9a2f3e8c1d4b5a67-FRA",
    "access-control-expose-headers": "X-Request-ID",
    "openai-organization": "an-organization",
    "openai-processing-ms": "412",
    "openai-project": "proj_abcdefghijklmnopqrstuvwx",
    "openai-version": "2020-10-01",
    "strict-transport-security": "max-age=31536000; includeSubDomains; preload",
    "x-content-type-options": "nosniff",
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-limit-tokens": "10000000",
    "x-ratelimit-remaining-requests": "9999",
    "x-ratelimit-remaining-tokens": "9999970",
    "x-ratelimit-reset-requests": "6ms",
    "x-ratelimit-reset-tokens": "0s",
    "x-request-id": "req_0123456789abcdef0123456789abcdef",
}
_USAGE = {
    "prompt_tokens": 19,
    "completion_tokens": 10,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
_LETTERS = "eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddlllluuucccmmmwwffggyyppbbvk"
"""Letters, about as frequent as in English."""
_WORDS = 2000
_TOOL_CALL = {"id": "call_abc123", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bonn"}'}}


def prose(size: int) -> str:
    """Return `size` bytes of text that compress about as well as English; the same text in every run."""
    words = random.Random(size)  # noqa: S311  # not a secret, and the same in every process
    vocabulary = ["".join(words.choices(_LETTERS, k=words.randint(2, 9))) for _ in range(_WORDS)]
    return " ".join(words.choices(vocabulary, weights=[1 / rank for rank in range(1, _WORDS + 1)], k=size))[:size]


def question(size: int, *, tools: bool = False) -> dict[str, Any]:
    """Return the arguments of a call with a prompt of `size` bytes."""
    asked = {"model": MODEL, "messages": [{"role": "user", "content": prose(size)}], "temperature": 0.2}
    return {**asked, "tools": _TOOLS} if tools else asked


_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "What it is like outside.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    for name in ("weather", "forecast")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The API's response to every request."""

    body: bytes | tuple[bytes, ...]
    """The body, or the pieces of a stream, which arrive one by one."""
    usage: bytes = b""
    """Second to last piece of a stream, sent only if the request asks for the usage."""
    status: int = 200
    pauses: bool = False
    """Whether the async API lets other tasks run before it answers, and between the pieces of a stream."""

    def to(self, request: Any) -> Any:
        """Return the response for a sync client."""
        return self._response(self.body if isinstance(self.body, bytes) else iter(self._pieces(request)))

    async def to_async(self, request: Any) -> Any:
        """Return the response for an async client."""
        if self.pauses:
            await asyncio.sleep(0)
        return self._response(self.body if isinstance(self.body, bytes) else self._slowly(self._pieces(request)))

    def _pieces(self, request: Any) -> Sequence[bytes]:
        assert isinstance(self.body, tuple)
        return (*self.body[:-1], self.usage, self.body[-1]) if b'"include_usage"' in request.content else self.body

    async def _slowly(self, pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
        for piece in pieces:
            if self.pauses:
                await asyncio.sleep(0)
            yield piece

    def _response(self, content: bytes | Iterator[bytes] | AsyncIterator[bytes]) -> Any:
        kind = "application/json" if isinstance(content, bytes) else "text/event-stream"
        return http.Response(self.status, content=content, headers={**_HEADERS, "content-type": kind})


def completion(size: int, *, tools: bool = False, pauses: bool = False) -> Answer:
    """Return a chat completion with `size` bytes of text, or one with tool calls."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if tools else prose(size),
        "refusal": None,
        "annotations": [],
    }
    choice = {
        "index": 0,
        "message": {**message, "tool_calls": [_TOOL_CALL, _TOOL_CALL]} if tools else message,
        "logprobs": None,
        "finish_reason": "tool_calls" if tools else "stop",
    }
    return Answer(body=_json({**_head("chat.completion"), "choices": [choice], "usage": _USAGE}), pauses=pauses)


def stream(*, pauses: bool = False) -> Answer:
    """Return a stream of `CHUNKS` chunks, and the chunk with the usage, which the caller does not see."""
    head = _head("chat.completion.chunk")
    words = prose(CHUNKS * 50).split()[: CHUNKS - 1]
    choices = [
        *({"index": 0, "delta": {"content": f" {word}"}, "logprobs": None, "finish_reason": None} for word in words),
        {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"},
    ]
    events = [_event({**head, "choices": [choice]}) for choice in choices]
    usage = _event({**head, "choices": [], "usage": _USAGE})
    return Answer(body=(*events, b"data: [DONE]\n\n"), usage=usage, pauses=pauses)


def response(size: int) -> Answer:
    """Return a response with `size` bytes of text."""
    return Answer(body=_json(_whole_response(prose(size))))


def response_stream() -> Answer:
    """Return a response stream of `CHUNKS` deltas with the events around them."""
    words = [f" {word}" for word in prose(CHUNKS * 50).split()[:CHUNKS]]
    begun = {**_whole_response(""), "status": "in_progress", "output": [], "usage": None}
    deltas = [
        {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": word}
        for word in words
    ]
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        *({**delta, "sequence_number": number, "logprobs": []} for number, delta in enumerate(deltas, 1)),
        {"type": "response.completed", "response": _whole_response("".join(words))},
    ]
    return Answer(body=tuple(b"event: %b\n%b" % (event["type"].encode(), _event(event)) for event in events))


def _whole_response(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "id": "resp_0123456789abcdef",
        "object": "response",
        "created_at": 1_795_000_000,
        "status": "completed",
        "model": "gpt-4o-mini-2024-07-18",
        "output": [{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 19,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 10,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 29,
        },
    }


def refusal() -> Answer:
    """Return an error 400 in the form of the real API."""
    error = {"message": "'messages' must contain text.", "type": "invalid_request_error", "param": None, "code": None}
    return Answer(status=400, body=_json({"error": error}))


def _event(chunk: Any) -> bytes:
    return b"data: %b\n\n" % _json(chunk)


def _head(kind: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-abcdefghijklmnopqrstuvwxyz012",
        "object": kind,
        "created": 1_795_000_000,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Clients:
    """Creates clients of one kind: monitored with a handle, bare without one."""

    monitoring: Monitoring | None = None

    def sync(self, answer: Answer) -> openai.OpenAI:
        """Return a client that receives this answer to every request."""
        connection = http.Client(transport=http.MockTransport(answer.to))
        if self.monitoring is None:
            return openai.OpenAI(api_key="sk-bench", http_client=connection)
        return MonitoredOpenAI(api_key="sk-bench", http_client=connection, monitoring=self.monitoring)

    def concurrent(self, answer: Answer) -> openai.AsyncOpenAI:
        """Return an async client that receives this answer to every request."""
        connection = http.AsyncClient(transport=http.MockTransport(answer.to_async))
        if self.monitoring is None:
            return openai.AsyncOpenAI(api_key="sk-bench", http_client=connection)
        return AsyncMonitoredOpenAI(api_key="sk-bench", http_client=connection, monitoring=self.monitoring)

    def settle(self, seconds: float = 30) -> None:
        """Wait at most `seconds` until the back ends have received everything recorded.

        Raises:
            RuntimeError: The delivery is incomplete, which makes the results meaningless.
        """
        if self.monitoring is not None:
            result = self.monitoring.flush(seconds)
            if not result.complete or result.dropped:
                raise RuntimeError(f"not everything was delivered: {result}")


def monitored(settings: MonitoringSettings) -> Clients:
    """Return the factory of clients with these settings."""
    connection = http.Client(transport=http.MockTransport(completion(10).to))
    with MonitoredOpenAI(api_key="sk-bench", http_client=connection, monitoring=settings) as client:
        return Clients(client.monitoring)

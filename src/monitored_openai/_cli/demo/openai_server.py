"""A small OpenAI-compatible API, which counts what it serves."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from monitored_openai._cli.demo.counts import Figures, Kind
from monitored_openai._cli.demo.replies import Answer, answer_to, chunks, usage_chunk, whole
from monitored_openai._local.http.connection import Connection
from monitored_openai._local.http.server import Server

Fault = Literal["busy", "overloaded", "broken", "too long", "silent", "cut off", "stalled"]
"""What a request may ask to go wrong: busy goes away when it is repeated, the others do not."""
FAULT_HEADER = "x-demo-fault"

_ERRORS: Mapping[str, tuple[int, str, str | None, str]] = {
    "busy": (429, "requests", "rate_limit_exceeded", "Rate limit reached. Please try again in 40ms."),
    "overloaded": (429, "requests", "rate_limit_exceeded", "Rate limit reached. Please try again in 40ms."),
    "broken": (500, "server_error", None, "The server had an error while processing your request. Sorry about that!"),
    "too long": (
        *(400, "invalid_request_error", "context_length_exceeded"),
        "This model's maximum context length is 8192 tokens. Please reduce the length of the messages.",
    ),
}
_MOST_REQUESTS = 500
_LIMITS = {
    "x-ratelimit-limit-requests": str(_MOST_REQUESTS),
    "x-ratelimit-reset-requests": "2m0s",
    "x-ratelimit-limit-tokens": "2000000",
    "x-ratelimit-remaining-tokens": "1900000",
    "x-ratelimit-reset-tokens": "1m30s",
}
_RETRY = {"retry-after-ms": "40"}
_MOST_SILENCE_SECONDS = 10.0
_CHUNKS_UNTIL_FAULT = 5


class Api(Server):
    """Answers chat completions and legacy completions, plain and streamed.

    `served` has what a client can know from the replies: a request that the SDK repeats is one call, and tokens count
    when the reply names them.
    """

    def __init__(self, *, pace: float = 1.0) -> None:
        """`pace`: by how much every answer's time is multiplied."""
        super().__init__()
        self.served: Figures = Counter()
        self._pace = pace
        self._counting = threading.Lock()
        self._numbers = itertools.count(1)

    @property
    def base_url(self) -> str:
        """What the SDK's clients take as their `base_url`."""
        return f"{self.url}/v1"

    def serve(self, connection: Connection) -> None:
        """Answer a request, or fail as it asks for."""
        request = json.loads(connection.body())
        model, fault = request["model"], connection.headers.get(FAULT_HEADER, "")
        repeated = int(connection.headers.get("x-stainless-retry-count", "0")) > 0
        self._count(model, "repeated requests" if repeated else "calls")
        if fault in _ERRORS and not (fault == "busy" and repeated):
            self._refuse(connection, *_ERRORS[fault])
        elif fault == "silent":
            self._count(model, "calls without usage")
            connection.client_leaves_within(_MOST_SILENCE_SECONDS)
            connection.close_connection = True
        else:
            answering = _Answering(connection, request, next(self._numbers), self._pace)
            try:
                usage = answering.stream() if request.get("stream") else answering.whole()
            except ConnectionError:  # the client left while it was being written to
                usage, connection.close_connection = None, True
            self._count_usage(model, usage)

    def _refuse(self, connection: Connection, status: int, kind: str, code: str | None, message: str) -> None:
        error = {"message": message, "type": kind, "param": None, "code": code}
        headers = {**_headers(next(self._numbers), "application/json"), **_RETRY}
        connection.reply(status, json.dumps({"error": error}).encode(), headers)

    def _count_usage(self, model: str, usage: Mapping[str, Any] | None) -> None:
        if usage is None:
            self._count(model, "calls without usage")
            return
        self._count(model, "input tokens", usage["prompt_tokens"])
        self._count(model, "output tokens", usage["completion_tokens"])
        self._count(model, "cached input tokens", usage.get("prompt_tokens_details", {}).get("cached_tokens"))
        self._count(model, "reasoning tokens", usage.get("completion_tokens_details", {}).get("reasoning_tokens"))

    def _count(self, model: str, kind: Kind, number: int | None = 1) -> None:
        with self._counting:
            self.served[model, kind] += number or 0


class _Answering:
    """One good answer on its way; what it returns is the usage that the client was told, if it was."""

    def __init__(self, connection: Connection, request: Mapping[str, Any], number: int, pace: float) -> None:
        self._exchange = connection
        self._chat = "messages" in request
        self._number = number
        self._identity = f"{'chatcmpl' if self._chat else 'cmpl'}-{number}"
        self._pace = pace
        self._told_usage = bool((request.get("stream_options") or {}).get("include_usage"))
        self._answer: Answer = answer_to(request)

    def whole(self) -> Mapping[str, Any] | None:
        """Send it in one piece."""
        if self._left(self._answer.until_first + self._answer.generating):
            return None
        body = json.dumps(whole(self._answer, self._identity, chat=self._chat)).encode()
        self._exchange.reply(200, body, _headers(self._number, "application/json"))
        return self._answer.usage

    def stream(self) -> Mapping[str, Any] | None:
        """Send it as server-sent events, as far as the client, or the fault that it asked for, lets it come."""
        headers = _headers(self._number, "text/event-stream")
        parts = list(chunks(self._answer, self._identity, chat=self._chat))
        if self._left(self._answer.until_first):
            return None
        self._exchange.start(200, {**headers, "Transfer-Encoding": "chunked"})
        fault = self._exchange.headers.get(FAULT_HEADER)
        for sent, part in enumerate(parts):
            if fault in ("cut off", "stalled") and sent == _CHUNKS_UNTIL_FAULT:
                self._exchange.client_leaves_within(_MOST_SILENCE_SECONDS if fault == "stalled" else 0)
                self._exchange.close_connection = True
                return None
            self._exchange.chunk(_event(part))
            if self._left(self._answer.generating / len(parts)):
                return None
        if self._told_usage:
            self._exchange.chunk(_event(usage_chunk(self._answer, self._identity, chat=self._chat)))
        self._exchange.chunk(b"data: [DONE]\n\n")
        self._exchange.chunk(b"")
        return self._answer.usage if self._told_usage else None

    def _left(self, seconds: float) -> bool:
        left = self._exchange.client_leaves_within(seconds * self._pace)
        self._exchange.close_connection = self._exchange.close_connection or left
        return left


def _event(data: Mapping[str, Any]) -> bytes:
    return b"data: %b\n\n" % json.dumps(data).encode()


def _headers(number: int, content_type: str) -> dict[str, str]:
    return {
        "Content-Type": content_type,
        "x-request-id": f"req_{number:012x}",
        "openai-processing-ms": str(20 + number % 40),
        **_LIMITS,
        "x-ratelimit-remaining-requests": str(_MOST_REQUESTS - number % _MOST_REQUESTS),
    }

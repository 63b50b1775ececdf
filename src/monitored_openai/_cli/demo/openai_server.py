"""A small OpenAI-compatible API that counts its calls, errors and tokens."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Literal, NoReturn

from monitored_openai._cli.demo.counts import Counts, Kind
from monitored_openai._cli.demo.replies import UNPRICED_MODEL, Reply, reply_to
from monitored_openai._local.http.connection import Connection
from monitored_openai._local.http.server import Server

Fault = Literal["busy", "overloaded", "broken", "too long", "silent", "cut off", "stalled"]
"""A failure that a request selects; with `busy` the first retry succeeds, with the others no retry does."""
FAULT_HEADER = "x-demo-fault"
CALL_HEADER = "x-demo-call"
"""Identifies a call in all its requests; a request without it is a call of its own."""

_RATE_LIMIT = (429, "requests", "rate_limit_exceeded", "Rate limit reached. Please try again in 40ms.")
_ERRORS: Mapping[str, tuple[int, str, str | None, str]] = {
    "busy": _RATE_LIMIT,
    "overloaded": _RATE_LIMIT,
    "broken": (500, "server_error", None, "The server had an error while processing your request. Sorry about that!"),
    "too long": (
        *(400, "invalid_request_error", "context_length_exceeded"),
        "This model's maximum context length is 8192 tokens. Please reduce the length of the messages.",
    ),
}
"""Status, type, code and message."""
_SECONDS_TO_HANG_UP = {"silent": 10.0, "cut off": 0.0, "stalled": 10.0}
_CHUNKS_BEFORE_FAULT = 5
_REQUEST_LIMIT = 500
_LIMITS = {
    "x-ratelimit-limit-requests": str(_REQUEST_LIMIT),
    "x-ratelimit-reset-requests": "2m0s",
    "x-ratelimit-limit-tokens": "2000000",
    "x-ratelimit-remaining-tokens": "1900000",
    "x-ratelimit-reset-tokens": "1m30s",
}


class Api(Server):
    """Answers chat completions and legacy completions, plain and streamed.

    `served` counts only numbers that a client can learn from the replies: a call and its retries are one call, and tokens
    count if the client received the usage. A client may retry a request that has not arrived: on a busy machine, its
    attempt to connect may exceed the SDK's limit of 5 seconds. So the API counts as many retries as the client states.
    """

    def __init__(self, *, pace: float = 1.0) -> None:
        """Bind a free port; `pace` is a factor for the time that each reply takes."""
        super().__init__()
        self.served: Counts = Counter()
        self._pace = pace
        self._counting = threading.Lock()
        self._numbers = itertools.count(1)
        self._retries: dict[str, int] = {}
        """Retries of each call."""

    @property
    def base_url(self) -> str:
        """The `base_url` for the SDK's clients."""
        return f"{self.url}/v1"

    def serve(self, connection: Connection) -> None:
        """Answer a request, or fail as its fault header asks."""
        try:
            request, number = json.loads(connection.body()), next(self._numbers)
        except ValueError:  # an interrupt of the client has probably cut the request off
            connection.reply(400)
            return
        model, fault = request["model"], connection.headers.get(FAULT_HEADER, "")
        retries = int(connection.headers.get("x-stainless-retry-count", "0"))
        self._count_request(model, connection.headers.get(CALL_HEADER, str(number)), retries)
        if fault in _ERRORS and not (fault == "busy" and retries):
            status, kind, code, message = _ERRORS[fault]
            error = {"message": message, "type": kind, "param": None, "code": code}
            headers = {**_headers(number, "application/json"), "retry-after-ms": "40"}
            connection.reply(status, json.dumps({"error": error}).encode(), headers)
            return
        reply, has_usage = reply_to(request, number), True
        try:
            if fault == "silent":
                _hang_up(connection, fault)
            elif request.get("stream"):
                has_usage = bool((request.get("stream_options") or {}).get("include_usage"))
                self._stream(connection, reply, _headers(number, "text/event-stream"), fault, include_usage=has_usage)
            else:
                self._wait(connection, reply.first_chunk + reply.generation)
                connection.reply(200, json.dumps(reply.body()).encode(), _headers(number, "application/json"))
                incomplete = reply.cites and model != UNPRICED_MODEL
                self._count(model, {"incomplete costs": 1} if incomplete else {})
        except ConnectionError:
            has_usage, connection.close_connection = False, True
        self._count(model, reply.tokens if has_usage else {"calls without usage": 1})

    def _stream(
        self, connection: Connection, reply: Reply, headers: Mapping[str, str], fault: str, *, include_usage: bool
    ) -> None:
        """Send the reply as server-sent events.

        Raises:
            ConnectionError: the client left, or the fault ended the stream.
        """
        chunks = reply.chunks(include_usage=include_usage)
        self._wait(connection, reply.first_chunk)
        connection.start(200, {**headers, "Transfer-Encoding": "chunked"})
        for sent, chunk in enumerate(chunks):
            if fault in _SECONDS_TO_HANG_UP and sent == _CHUNKS_BEFORE_FAULT:
                _hang_up(connection, fault)
            connection.chunk(f"data: {json.dumps(chunk)}\n\n".encode())
            self._wait(connection, reply.generation / len(chunks))
        connection.chunk(b"data: [DONE]\n\n")
        connection.chunk(b"")

    def _wait(self, connection: Connection, seconds: float) -> None:
        if connection.client_leaves_within(seconds * self._pace):
            raise ConnectionAbortedError

    def _count_request(self, model: str, call: str, retries: int) -> None:
        with self._counting:
            before = self._retries.get(call)
            self._retries[call] = max(retries, before or 0)
        if before is None:
            self._count(model, {"calls": 1})
        if retries > (before or 0):
            self._count(model, {"repeated requests": retries - (before or 0)})

    def _count(self, model: str, numbers: Mapping[Kind, int]) -> None:
        with self._counting:
            self.served.update({(model, kind): number for kind, number in numbers.items()})


def _hang_up(connection: Connection, fault: str) -> NoReturn:
    connection.client_leaves_within(_SECONDS_TO_HANG_UP[fault])
    raise ConnectionAbortedError


def _headers(number: int, content_type: str) -> dict[str, str]:
    return {
        "Content-Type": content_type,
        "x-request-id": f"req_{number:012x}",
        "openai-processing-ms": str(20 + number % 40),
        **_LIMITS,
        "x-ratelimit-remaining-requests": str(_REQUEST_LIMIT - number % _REQUEST_LIMIT),
    }

"""A loopback server that speaks the API's chat and legacy completions, plain and streamed, and keeps the truth.

    with OpenAIServer() as server:
        client = OpenAI(base_url=server.base_url, api_key="sk-test")                     # or
        client = AzureOpenAI(azure_endpoint=server.url, api_version="2024-10-21", api_key="x")

Answers and token counts follow from the request alone (``usage_for``). What is to go wrong is a ``Behaviour``, sent
with the request (``extra_headers=Behaviour(status=429, times=2).header()`` or ``extra_body=....extra_body()``), or
scripted for the next requests in the order of their arrival (``server.script([Behaviour(status=500), Behaviour()])``),
or set for all (``server.default = Behaviour(stream_options=400)``); the first of these three that is there counts.
So "fail k times, then succeed" is ``Behaviour(status=503, times=k)`` for one call, or k scripted ones for any.
Errors that the SDK retries ask it to wait one millisecond (``retry-after-ms``) besides ``Retry-After: 0``,
which the SDK takes for "none given" and would answer with its own half second.

To hold an answer, name a gate: ``Behaviour(hold="g")`` before the head, ``Behaviour(hold="g", after=2)`` in a stream
after two chunks; then ``server.gate("g").wait_reached()`` and ``server.gate("g").set()``.
An answer whose client leaves at a gate counts as ``abandoned``; one not held is written at once and counts as served.

``server.truth`` says what was served: attempts, not calls of the SDK; a call that was retried is there several times.
"""

from __future__ import annotations

import gzip
import itertools
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ._answers import CREATED, SNAPSHOTS, answer, chunks, patched, usage_for
from ._behaviour import BODY_KEY, HEADER, Behaviour
from ._http import HttpServer
from ._steps import End, Gate, Reply, Request, Step, chunk, head, whole
from ._truth import Truth

__all__ = ["Behaviour", "Gate", "OpenAIServer", "Truth", "usage_for"]

_PATH = re.compile(r"^(?:/openai/deployments/([^/]+)|/v1)(/chat/completions|/completions)(?:/([^/]+))?$")
_ERRORS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


class OpenAIServer(HttpServer):
    """The server; see the module's text. ``keep_requests`` keeps every request in ``requests``."""

    def __init__(self, *, keep_requests: bool = False, default: Behaviour | None = None) -> None:
        super().__init__(keep_requests=keep_requests)
        self.truth = Truth()
        self.default = default or Behaviour()
        self.deployments: dict[str, str] = {}
        """Model behind each Azure deployment; ``gpt-4o-2024-08-06`` where none is named."""
        self._script: deque[Behaviour] = deque()
        self._gates: dict[str, Gate] = {}
        self._numbers = itertools.count(1)

    @property
    def base_url(self) -> str:
        """What ``OpenAI(base_url=...)`` takes."""
        return f"{self.url}/v1"

    def script(self, behaviours: Iterable[Behaviour]) -> None:
        """Answer the next requests that carry no behaviour of their own like this, in order of arrival."""
        self._script.extend(behaviours)

    def gate(self, name: str) -> Gate:
        """The gate of this name."""
        return self._gates.setdefault(name, Gate())

    async def respond(self, request: Request) -> Reply:
        """Route, and answer as the request's behaviour says."""
        number = next(self._numbers)
        if request.method == "GET" and request.path == "/v1/models":
            listed = [{"id": "gpt-4o", "object": "model", "created": CREATED, "owned_by": "fake"}]
            return _plain(number, {"object": "list", "data": listed})
        found = _PATH.match(request.path)
        if found is None:
            return _error(number, 404, f"Invalid URL ({request.method} {request.path})", {})
        deployment, endpoint, stored = found.groups()
        try:
            body = json.loads(request.body or b"{}")
        except ValueError:
            return _error(number, 400, "We could not parse the JSON body of your request.", {})
        if stored is not None:
            kept = answer(endpoint, {"model": "gpt-4o"}, SNAPSHOTS["gpt-4o"], number, Behaviour())
            return _plain(number, {**kept, "id": stored})
        asked = self._behaviour(request, body)
        model = deployment or str(body.get("model"))
        answered = self.deployments.get(deployment, SNAPSHOTS["gpt-4o"]) if deployment else SNAPSHOTS.get(model, model)
        azure = asked.azure if asked.azure is not None else deployment is not None
        attempt = _Attempt(self, number, endpoint, model, answered, body, replace(asked, azure=azure))
        return Reply(attempt.steps(), lambda: self.truth.count(endpoint, model, "abandoned"))

    def _behaviour(self, request: Request, body: Mapping[str, Any]) -> Behaviour:
        given = json.loads(request.headers.get(HEADER, "null")) or body.get(BODY_KEY)
        if given is not None:
            asked = Behaviour.read(given)
        elif self._script:
            asked = self._script.popleft()
        else:
            asked = self.default
        retries = int(request.headers.get("x-stainless-retry-count", "0"))
        return asked if asked.times is None or retries < asked.times else Behaviour()


class _Attempt:
    """One request and the steps of its answer."""

    def __init__(
        self,
        server: OpenAIServer,
        number: int,
        endpoint: str,
        model: str,
        answered: str,
        body: Mapping[str, Any],
        asked: Behaviour,
    ) -> None:
        self._server, self._number, self._endpoint, self._model = server, number, endpoint, model
        self._answered, self._body, self._asked = answered, body, asked

    def steps(self) -> Iterator[Step]:
        asked = self._asked
        if asked.hold is not None and (asked.after is None or not self._body.get("stream")):
            yield self._server.gate(asked.hold)
        refused = asked.stream_options if "stream_options" in self._body else None
        if asked.reset:
            self._count("reset")
            yield End.RESET
        elif refused is not None:
            text = {400: "Unrecognized request argument supplied: stream_options"}.get(refused, "Unprocessable Entity")
            yield from self._error(refused, text)
        elif asked.body is not None:
            yield from self._raw(asked.body)
        elif asked.status >= 400:
            yield from self._error(asked.status, f"The fake API was asked for status {asked.status}.")
        elif self._body.get("stream"):
            yield from self._stream()
        else:
            yield from self._answer()

    def _count(self, outcome: str) -> None:
        self._server.truth.count(self._endpoint, self._model, outcome)

    def _headers(self, content_type: str) -> dict[str, str]:
        return {**_usual_headers(self._number, content_type), **(self._asked.headers or {})}

    def _error(self, status: int, text: str) -> Iterator[Step]:
        self._count(f"http_{status}")
        yield from _error(self._number, status, text, self._asked.headers or {}).steps

    def _raw(self, body: str | bytes) -> Iterator[Step]:
        status = self._asked.status
        self._count("ok" if status < 400 else f"http_{status}")
        data = body.encode() if isinstance(body, str) else body
        retry = {"Retry-After": "0", "retry-after-ms": "1"} if status >= 400 else {}
        yield whole(status, data, {**self._headers(self._asked.content_type), **retry})

    def _whole_answer(self) -> dict[str, Any]:
        return answer(self._endpoint, self._body, self._answered, self._number, self._asked)

    def _spend(self, usage: Mapping[str, Any], *, told: bool) -> None:
        if "usage" not in (self._asked.patch or {}) and "usage" not in self._asked.omit:
            self._server.truth.spend(self._endpoint, self._model, usage, told=told)

    def _answer(self) -> Iterator[Step]:
        reply = self._whole_answer()
        data = json.dumps(patched(reply, self._asked)).encode()
        headers = self._headers("application/json")
        if self._asked.gzip:
            data = gzip.compress(data)
            headers["Content-Encoding"] = "gzip"
        sent = whole(200, data, headers)
        if self._asked.drop:
            self._count("dropped")
            yield sent[: len(sent) - len(data) // 2]
            yield End.CLOSE
            return
        self._spend(reply["usage"], told=True)
        self._count("ok")
        yield sent

    def _stream(self) -> Iterator[Step]:
        asked, reply = self._asked, self._whole_answer()
        include = bool((self._body.get("stream_options") or {}).get("include_usage"))
        yield head(200, {**self._headers("text/event-stream; charset=utf-8"), "Transfer-Encoding": "chunked"})
        stop = 1 if asked.after is None else asked.after
        for sent, event in enumerate(chunks(reply, asked, include_usage=include, azure=bool(asked.azure))):
            if sent == stop:
                yield from self._interrupted()
                if asked.drop or asked.error_event:
                    return
            if include and not event["choices"] and event["usage"]:
                self._spend(reply["usage"], told=True)
            yield chunk((b": keep-alive\n\n" if asked.comments else b"") + _event(patched(event, asked)))
        if not include:
            self._spend(reply["usage"], told=asked.usage_everywhere)
        self._count("ok")
        yield (chunk(b"data: [DONE]\n\n") if asked.done else b"") + chunk(b"")

    def _interrupted(self) -> Iterator[Step]:
        if self._asked.hold is not None and self._asked.after is not None:
            yield self._server.gate(self._asked.hold)
        if self._asked.drop:
            self._count("dropped")
            yield End.CLOSE
        elif self._asked.error_event:
            self._count("stream_error")
            failure = {"message": "The server had an error.", "type": "server_error", "param": None, "code": None}
            yield chunk(_event({"error": failure})) + chunk(b"")


def _event(data: Mapping[str, Any]) -> bytes:
    return b"data: %b\n\n" % json.dumps(data).encode()


def _usual_headers(number: int, content_type: str) -> dict[str, str]:
    return {
        "Content-Type": content_type,
        "x-request-id": f"req_{number:016x}",
        "openai-processing-ms": str(10 + number % 90),
        "openai-organization": "org-fake",
        "openai-project": "proj_fake",
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-limit-tokens": "2000000",
        "x-ratelimit-remaining-requests": str(9999 - number % 1000),
        "x-ratelimit-remaining-tokens": str(1999000 - number % 1000),
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-reset-tokens": "1m30s",
    }


def _plain(number: int, data: Mapping[str, Any]) -> Reply:
    return Reply([whole(200, json.dumps(data).encode(), _usual_headers(number, "application/json"))])


def _error(number: int, status: int, text: str, headers: Mapping[str, str]) -> Reply:
    kind, code = _ERRORS.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    failure = {"error": {"message": text, "type": kind, "param": None, "code": code}}
    retry = {"Retry-After": "0", "retry-after-ms": "1"}
    usual = {**_usual_headers(number, "application/json"), **retry, **headers}
    return Reply([whole(status, json.dumps(failure).encode(), usual)])

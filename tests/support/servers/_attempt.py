"""One request to the fake API and the steps of its reply."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ._answers import answer, chunks, patched
from ._behaviour import Behaviour
from ._kinds import Answered, Kind
from ._responses import queued
from ._steps import End, Reply, Step, chunk, head, whole

if TYPE_CHECKING:
    from .openai_api import OpenAIServer

_ERRORS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


class Attempt:
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
        kind: Kind | None = None,
    ) -> None:
        self._server, self._number, self._endpoint, self._model = server, number, endpoint, model
        self._answered, self._body, self._asked, self._kind = answered, body, asked, kind

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
        elif self._kind is not None:
            yield from self._of_kind(self._kind)
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
        yield from error(self._number, status, text, self._asked.headers or {}).steps

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

    def _answer(self, other: Mapping[str, Any] | None = None) -> Iterator[Step]:
        reply = other or patched(self._whole_answer(), self._asked)
        data = json.dumps(reply).encode()
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
        if other is not None:
            self._server.tells(self._endpoint, self._model, other)
        else:
            self._spend(self._whole_answer()["usage"], told=True)
        self._count("ok")
        yield sent

    def _of_kind(self, kind: Kind) -> Iterator[Step]:
        reply: Answered = self._body.get("stored") or kind.answer(self._body, self._answered, self._number, self._asked)
        self._server.last_reply = reply
        if not isinstance(reply, dict):
            self._count("ok")
            media = "audio/mpeg" if isinstance(reply, bytes) else "text/plain; charset=utf-8"
            if isinstance(reply, str) and reply.startswith("data: "):
                media = "text/event-stream"
                last = json.loads(reply.strip().rpartition("data: ")[2])
                self._server.tells(self._endpoint, self._model, last)
            yield whole(200, reply if isinstance(reply, bytes) else reply.encode(), self._headers(media))
            return
        if "stored" not in self._body and str(reply.get("id")).startswith(("resp_", "run_")):
            self._server.stored[reply["id"]] = {**reply, "background": False}
        if self._body.get("stream"):
            assert kind.events is not None
            yield from self._stream_of(kind.events(reply, self._asked))
        else:
            later = reply.get("background") is True or (kind.path.endswith("/runs") and "stored" not in self._body)
            later = later and str(reply.get("id")).startswith(("resp_", "run_"))
            yield from self._answer(patched(queued(reply) if later else reply, self._asked))

    def _stream_of(self, events: Iterator[dict[str, Any]]) -> Iterator[Step]:
        asked = self._asked
        yield head(200, {**self._headers("text/event-stream; charset=utf-8"), "Transfer-Encoding": "chunked"})
        stop = 1 if asked.after is None else asked.after
        for sent, event in enumerate(events):
            if sent == stop:
                yield from self._interrupted()
                if asked.drop or asked.error_event:
                    return
            if event.get("sequence_number", 0) <= int(self._body.get("starting_after", -1)):
                continue
            self._server.tells(self._endpoint, self._model, event)
            name, data = (event["event"], event["data"]) if "event" in event else (event["type"], event)
            yield chunk(b"event: %b\n" % name.encode() + _event(data))
        self._count("ok")
        yield chunk(b"")

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


def plain(number: int, data: Mapping[str, Any]) -> Reply:
    return Reply([whole(200, json.dumps(data).encode(), _usual_headers(number, "application/json"))])


def error(number: int, status: int, text: str, headers: Mapping[str, str]) -> Reply:
    kind, code = _ERRORS.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    failure = {"error": {"message": text, "type": kind, "param": None, "code": code}}
    retry = {"Retry-After": "0", "retry-after-ms": "1"}
    usual = {**_usual_headers(number, "application/json"), **retry, **headers}
    return Reply([whole(status, json.dumps(failure).encode(), usual)])

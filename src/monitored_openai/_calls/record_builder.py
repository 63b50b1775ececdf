"""What a call leaves behind, and the record that is read out of it, on the exporter's thread."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from monitored_openai._calls.error_types import error_type_of_code
from monitored_openai._calls.pending_usage import PendingUsage
from monitored_openai._calls.request_fields import identifiers
from monitored_openai._calls.stream_usage import Injection
from monitored_openai._endpoints.base import (
    BACKGROUND,
    Endpoint,
    ParsedResponse,
    StreamAccumulator,
    dictionary,
    read_body,
)
from monitored_openai._json import decode
from monitored_openai._logging import warn_sparsely
from monitored_openai._record import NOTHING, CallRecord, Cost, ErrorType, Usage, UsageUnknown

_KEPT_HEADERS = {
    name.encode(): name
    for name in (
        *("x-request-id", "openai-processing-ms", "openai-organization", "openai-project"),
        *(f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")),
    )
}
MOST_PIECES_BYTES = 16 * 1024 * 1024
"""A body that the caller reads piece by piece is kept up to here; a longer one counts as not read."""

Price = Callable[[str, ParsedResponse, int], "Cost | str"]
"""From provider, answer and end time (ns) to a cost, or to the reason why there is none."""


class Trail:
    """The state of a call, and its reading."""

    family: Endpoint
    provider: str
    request_model: str | None
    attributes: Mapping[str, str]
    _server: str
    _started_ns: int
    _content: bool
    """Whether what is asked and answered is kept."""

    # What most calls never have is set here alone: making a call is work on its caller's thread.
    _plain_body: Any = None
    _extra_body: Any = None
    _form: Mapping[str, Any] | None = None
    _injection: Injection | None = None
    _streamed = False
    _trace: tuple[str, str] | None = None
    _request: bytes | None = None
    _status: int | None = None
    _retries: int | None = None
    _identifiers: Mapping[str, Any] = NOTHING
    _headers: Mapping[bytes, bytes] = MappingProxyType({})
    _response: bytes | None = None
    _pieces: list[bytes] | None = None
    _pieces_bytes = 0
    _chunks: StreamAccumulator | None = None
    _response_type: Any = None
    _answer: ParsedResponse | None = None
    _error: ErrorType | None = None
    _message: str | None = None
    _waited = 0.0
    _waits: Sequence[float] = ()
    _tail = 0.0
    _ended_ns = 0
    _media: str | None = None
    _asked: Usage | None = None

    def record(self, call_id: str, price: Price, owed: PendingUsage) -> CallRecord:
        """What the call was, for good, under an id of its own. On the exporter's thread."""
        answer = self._settled(self.read(), owed)
        error, message = self._outcome(answer)
        told_elsewhere = self.family.repeats or not self.family.billed
        unknown = None if told_elsewhere else _why_unknown(self.family, answer, error, self._status)
        cost = self._cost(answer, unknown, price)
        headers = {_KEPT_HEADERS[name]: value.decode("latin-1") for name, value in kept(self._headers).items()}
        trace_id, span_id = self._trace or (None, None)
        request = self._request_body()
        return CallRecord(
            id=call_id,
            operation=self.family.operation,
            provider=self.provider,
            server=self._server,
            request_model=self.request_model,
            response_model=answer.model,
            response_id=answer.id,
            request_id=headers.pop("x-request-id", None),
            started_ns=self._started_ns,
            ended_ns=self._ended_ns,
            duration=self._waited + sum(self._waits) + self._tail,
            streamed=self._streamed,
            time_to_first_chunk=self._waited + self._waits[0] if self._streamed and self._waits else None,
            chunk_intervals=tuple(self._waits[1:]) if self._streamed else (),
            chunks=len(self._waits) if self._streamed and self._response is None else None,
            error_type=error,
            error_message=message,
            http_status=self._status,
            retries=self._retries,
            finish_reasons=answer.finish_reasons,
            service_tier=answer.service_tier,
            usage=answer.usage,
            usage_unknown=unknown,
            cost=cost if isinstance(cost, Cost) else None,
            unpriced=cost if isinstance(cost, str) else None,
            provider_cost=answer.provider_cost,
            headers=headers,
            request=request if self._content else None,
            response=answer.body if self._content else None,
            content_captured=self._content,
            attributes=dict(self.attributes),
            identifiers=self._identifiers or identifiers(request),
            trace_id=trace_id,
            span_id=span_id,
        )

    def _settled(self, answer: ParsedResponse, owed: PendingUsage) -> ParsedResponse:
        """The answer with only so much in it as no other call's record has told."""
        if self._asked is not None:
            parts = {
                field.name: value for field in dataclasses.fields(Usage) if (value := getattr(self._asked, field.name))
            }
            return dataclasses.replace(answer, usage=dataclasses.replace(answer.usage or Usage(), **parts))
        if not answer.id:
            return dataclasses.replace(answer, usage=None, provider_cost=None) if self.family.repeats else answer
        if self.family.repeats:
            if not answer.finished or not owed.settle(self._server, answer.id):
                return dataclasses.replace(answer, usage=None, provider_cost=None, error_code=None)
        elif self.family.owes and answer.usage is None and not (answer.finished and answer.error_code):
            owed.add(self._server, answer.id)
        return answer

    def _outcome(self, answer: ParsedResponse) -> tuple[ErrorType | None, str | None]:
        """What went wrong with the call, or else with what it asked for."""
        if self._error is not None or answer.error_code is None:
            return self._error, self._message
        return error_type_of_code(answer.error_code), (answer.error_message if self._content else answer.error_code)

    def _cost(self, answer: ParsedResponse, unknown: str | None, price: Price) -> Cost | str | None:
        refused = self._status is not None and self._status >= 400
        if refused or not self.family.billed or (self.family.repeats and answer.usage is None):
            return None
        if answer.unpriced is not None or answer.cost is not None:
            return answer.unpriced or answer.cost
        if unknown == BACKGROUND:
            return BACKGROUND
        if answer.model is None and not self.family.names_model:
            answer = dataclasses.replace(answer, model=self.request_model)
        return price(self.provider, answer, self._ended_ns)

    def read(self) -> ParsedResponse:
        """What is known of the answer."""
        if self._answer is not None:
            return self._answer
        if self._media is not None:
            media = {"content_type": self._media, "bytes": self._pieces_bytes}
            return ParsedResponse(usage_unknown="not_reported", body=media)
        try:
            return self._read_body()
        except Exception:
            warn_sparsely("answer", "a response could not be read", exc_info=True)
            return ParsedResponse(usage_unknown="unreadable")

    def _read_body(self) -> ParsedResponse:
        if self._chunks is not None and self._pieces is None:
            return self.family.answer(self._chunks.body())
        body = self._response if self._response is not None else self._unpacked()
        return read_body(self.family, body) if body is not None else ParsedResponse(usage_unknown="not_read")

    def _unpacked(self) -> bytes | None:
        """The pieces as one and as they were before they were compressed; `None` if there are none, or too many."""
        encodings = [value for name, value in self._headers.items() if name.lower() == b"content-encoding"]
        if not self._pieces or not encodings:
            return b"".join(self._pieces) if self._pieces else None
        unpacked = bytearray()
        packed = self._response_type(200, headers={b"content-encoding": encodings[-1]}, content=iter(self._pieces))
        with suppress(Exception):  # broken off, so that the end is missing
            for piece in packed.iter_bytes():
                unpacked += piece
                if len(unpacked) > MOST_PIECES_BYTES:
                    return None
        return bytes(unpacked)

    def _given(self) -> dict[str, Any]:
        """What the SDK was given for the body."""
        return {**dictionary(self._plain_body), **dictionary(self._extra_body), **(self._form or {})}

    def _request_body(self) -> Mapping[str, Any]:
        """What was asked, from the bytes that were sent or, where none were seen, from what the SDK was given."""
        if self._request is None:
            return self._given()
        try:
            body = dict(dictionary(decode(self._request)))
        except ValueError:
            return {}
        if self._injection is not None and not self._injection.taken_back:
            body.pop("stream_options", None)
        return body


def kept(headers: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Those of a response's headers that are told of."""
    return {lower: value for name, value in headers.items() if (lower := name.lower()) in _KEPT_HEADERS}


def _why_unknown(
    family: Endpoint, answer: ParsedResponse, error: ErrorType | None, status: int | None
) -> UsageUnknown | None:
    """Why there is no usage; `None` when there is, or when the server refused the call and so used nothing."""
    if answer.usage is not None or (status is not None and status >= 400):
        return None
    why = error or answer.usage_unknown or "not_reported"
    return why if family.tells_usage or why != "not_reported" else "never_told"

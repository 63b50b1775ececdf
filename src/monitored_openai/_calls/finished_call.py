"""The raw facts of one call: the bytes, times and errors from which the exporter's thread builds its record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from monitored_openai._calls.api_errors import NO_API_ERROR, ApiError, parse_error
from monitored_openai._calls.request_fields import billed_fields, identifiers
from monitored_openai._endpoints.base import Endpoint, ParsedResponse, StreamAccumulator, dictionary, parse_body
from monitored_openai._endpoints.parsing import error_of
from monitored_openai._json import decode
from monitored_openai._logging import warn_sparsely
from monitored_openai._record import NOTHING, ErrorType, Usage

_RECORDED_HEADERS = {
    name.encode(): name
    for name in (
        *("x-request-id", "openai-processing-ms", "openai-organization", "openai-project"),
        *(f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")),
    )
}
_MOST_NAMES = 1024


class _RecordedNames(dict[bytes, str | None]):
    """The names of headers as a record has them, by their raw names; `None` for a header that no record contains.

    A cache, because the conversion of a name to lower case takes longer than all else in the loop over the headers.
    """

    def __missing__(self, raw: bytes) -> str | None:
        if len(self) >= _MOST_NAMES:
            self.clear()
        name = self[raw] = _RECORDED_HEADERS.get(raw.lower())
        return name


_recorded_names = _RecordedNames()
MOST_PIECES_BYTES = 16 * 1024 * 1024
"""Limit in bytes for a body that the caller reads in pieces; a longer body counts as not read."""


class FinishedCall:
    """The raw facts of a call, complete once it has ended.

    `Call` creates it on the caller's thread. To keep this cheap, most fields have class-level defaults, and creation
    only sets the others.
    """

    endpoint: Endpoint
    provider: str
    server: str
    request_model: str | None
    attributes: Mapping[str, str]
    started_ns: int
    captures_content: bool

    trace: tuple[str, str] | None = None
    """Ids of the trace and the span."""
    streamed = False
    body: Any = None
    """The body that the SDK received from the caller; `None` after `release_body`."""
    extra_body: Any = None
    form: Mapping[str, Any] | None = None
    """Descriptions of the files in a multipart request."""
    usage_injected = False
    """True if the request has `stream_options` that the library added."""
    billed_request: Usage | None = None
    identifiers: Mapping[str, Any] = NOTHING
    billed_fields: Mapping[str, Any] = NOTHING
    """The fields of the request that decide its price, if the call does not keep the request."""
    request: bytes | None = None
    """The body that was sent, if content is captured."""

    status: int | None = None
    retries: int | None = None
    headers: Mapping[bytes, bytes] = MappingProxyType({})
    response: bytes | None = None
    """The whole body, if the SDK read it in one piece."""
    pieces: list[bytes] | None = None
    """The pieces of the body that the caller has read."""
    pieces_bytes = 0
    accumulator: StreamAccumulator | None = None
    response_type: Any = None
    """The HTTP library's response class, which can decompress `pieces`."""
    media_type: str | None = None
    """Content type of a body that is neither text nor JSON; the call does not keep its bytes."""
    parsed: ParsedResponse | None = None

    error: ErrorType | None = None
    message: str | None = None
    error_body: Any = None
    """The body of a response with an error status, as bytes, or the error object of a stream."""
    api_error: ApiError | None = None
    """The facts in the error, once `discard_content` has removed the error itself."""
    wait_before_chunks = 0.0
    """Seconds waited for the response, and for chunks that precede the first output."""
    chunk_waits: Sequence[float] = ()
    """Seconds waited for each chunk or piece."""
    wait_after_chunks = 0.0
    ended_ns = 0

    @property
    def host(self) -> str:
        """The host of the API, without the port."""
        host, colon, port = self.server.rpartition(":")
        return host if colon and port.isdecimal() else self.server

    def size(self) -> int:
        """Return the approximate number of bytes of content held."""
        size = len(self.request or b"") + len(self.response or b"") + len(self.message or "")
        size += len(self.error_body) if isinstance(self.error_body, (bytes, str)) else 0
        if self.accumulator is not None and self.pieces is None:
            return size + self.accumulator.size()
        return size + self.pieces_bytes if self.pieces else size

    def discard_content(self) -> None:
        """Release the content of request and response; keep the facts for the metrics."""
        parsed = self.parse()
        self.api_error = self.read_error(parsed)
        self.parsed = dataclasses.replace(parsed, body=None, error_message=None)
        self.headers = {name.encode(): value.encode("latin-1") for name, value in self.recorded_headers().items()}
        request = self.request_body()
        self.identifiers = self.identifiers or identifiers(request)
        self.billed_fields = self.billed_fields or billed_fields(request, self.provider)
        self.body = self.extra_body = self.request = self.response = None
        self.accumulator = self.pieces = self.message = self.error_body = None
        self.captures_content = False

    def release_body(self) -> None:
        """Release the caller's body, because fewer queued objects mean shorter pauses of the garbage collector."""
        if self.request is None and self.body is not None:
            given = self.given_body()
            self.identifiers, self.billed_fields = identifiers(given), billed_fields(given, self.provider)
        self.body = self.extra_body = None

    def parse(self) -> ParsedResponse:
        """Return the facts in the response. Never raises."""
        if self.parsed is not None:
            return self.parsed
        if self.media_type is not None:
            media = {"content_type": self.media_type, "bytes": self.pieces_bytes}
            return ParsedResponse(usage_unknown="not_reported", body=media)
        try:
            return self._parse_body()
        except Exception:
            warn_sparsely("answer", "a response could not be read", exc_info=True)
            return ParsedResponse(usage_unknown="unreadable")

    def _parse_body(self) -> ParsedResponse:
        if self.accumulator is not None and self.pieces is None:
            return self.endpoint.parse(self.accumulator.body())
        body = self.response if self.response is not None else self._joined_pieces()
        return parse_body(self.endpoint, body) if body is not None else ParsedResponse(usage_unknown="not_read")

    def _joined_pieces(self) -> bytes | None:
        """Return the joined and decompressed pieces; `None` if no pieces exist or the body exceeds the limit."""
        encodings = [value for name, value in self.headers.items() if name.lower() == b"content-encoding"]
        if not self.pieces or not encodings:
            return b"".join(self.pieces) if self.pieces else None
        body = bytearray()
        response = self.response_type(200, headers={b"content-encoding": encodings[-1]}, content=iter(self.pieces))
        with suppress(Exception):  # an interrupted body lacks its end
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MOST_PIECES_BYTES:
                    return None
        return bytes(body)

    def read_error(self, parsed: ParsedResponse) -> ApiError:
        """Return the facts in the error that the API sent, with an error status or inside the parsed response."""
        if self.api_error is not None:
            return self.api_error
        if self.error_body is not None:
            return parse_error(self.error_body, self.status)
        if parsed.error_code is None:
            return NO_API_ERROR
        return parse_error(error_of(dictionary(parsed.body)), self.status)

    def given_body(self) -> dict[str, Any]:
        """Return the body that the caller passed to the SDK."""
        return {**dictionary(self.body), **dictionary(self.extra_body), **(self.form or {})}

    def request_body(self) -> Mapping[str, Any]:
        """Return the body that was sent, without injected fields, else the body that the caller passed to the SDK."""
        if self.request is None:
            return self.given_body()
        try:
            body = dict(dictionary(decode(self.request)))
        except ValueError:
            return {}
        if self.usage_injected:
            body.pop("stream_options", None)
        return body

    def recorded_headers(self) -> dict[str, str]:
        """Return those headers of the response that a record contains."""
        return {
            name: value.decode("latin-1")
            for raw, value in self.headers.items()
            if (name := _recorded_names[raw]) is not None
        }

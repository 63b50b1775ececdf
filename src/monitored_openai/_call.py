"""One call in flight, without I/O: its clock, its chunks, its outcome, and its end exactly once.

A `Call` is the context manager around every wait for the API: its `with` blocks add up the time that the API took, and
what leaves one decides how the call ends. Whatever costs time, decoding bodies above all, waits for `Call.record`,
which runs on the exporter's thread.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from monitored_openai._answer import Answer, Chunks, Family, dictionary, read_body, text
from monitored_openai._attributes import attributes_of_call, content_allowed
from monitored_openai._errors import error_type, status_of
from monitored_openai._identifiers import identifiers
from monitored_openai._injection import Injection
from monitored_openai._json import decode, snapshot
from monitored_openai._log import warn_sparsely
from monitored_openai._record import NOTHING, CallRecord, Cost, ErrorType

_KEPT_HEADERS = {
    name.encode(): name
    for name in (
        *("x-request-id", "openai-processing-ms", "openai-organization", "openai-project"),
        *(f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")),
    )
}
_MOST_PIECES_BYTES = 16 * 1024 * 1024
"""A body that the caller reads piece by piece is kept up to here; a longer one counts as not read."""
_ERROR_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")

Price = Callable[[str, Answer, int], "Cost | str"]
"""From provider, answer and end time (ns) to a cost, or to the reason why there is none."""


class Call:
    """A call from its start to its end; it ends once, whichever way comes first."""

    __slots__ = (
        "_again",
        "_answer",
        "_chunks",
        "_content",
        "_emit",
        "_ended_ns",
        "_error",
        "_extra_body",
        "_first_chunk",
        "_headers",
        "_injection",
        "_intervals",
        "_last_chunk",
        "_mark",
        "_message",
        "_pieces",
        "_pieces_bytes",
        "_plain_body",
        "_request",
        "_response",
        "_retries",
        "_server",
        "_started_ns",
        "_status",
        "_streamed",
        "_trace",
        "_waited",
        "_whole",
        "attributes",
        "body",
        "family",
        "provider",
        "waiting",
    )

    def __init__(
        self,
        family: Family,
        *,
        provider: str,
        server: str,
        body: Any,
        extra_body: object,
        streamed: bool,
        whole: bool,
        injection: Injection | None,
        keeps_content: bool,
        emit: Callable[[Call], None],
        attributes: Mapping[str, str] = NOTHING,
    ) -> None:
        """`whole`: the body is there when the SDK has processed the response, nothing is left to be read.

        `attributes`: the client's.
        """
        self.family = family
        self.provider = provider
        self._extra_body = dict(dictionary(extra_body))
        self.body = body if injection is None else {**body, "stream_options": {"include_usage": True}}
        self._server = server
        self._plain_body = body
        self._streamed = streamed
        self._whole = whole
        self._injection = injection
        self._emit = [emit]
        self.attributes = attributes_of_call(attributes)
        self._content = keeps_content and content_allowed.get()
        self._trace = _current_trace()

        self._request: bytes | None = None
        self._status: int | None = None
        self._retries: int | None = None
        self._headers: Sequence[tuple[bytes, bytes]] = ()
        self._response: bytes | None = None
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._chunks: Chunks | None = None
        self._answer: Answer | None = None
        self._error: ErrorType | None = None
        self._message: str | None = None

        self._first_chunk: float | None = None
        self._intervals = array("d")
        self._last_chunk = 0.0
        self._waited = 0.0
        self._ended_ns = 0
        self._again = False
        self.waiting = False
        self._started_ns = time.time_ns()
        self._mark = perf_counter()

    def __enter__(self) -> Self:
        self.waiting = True
        self._mark = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the call, if this wait was its last one."""
        self._waited += perf_counter() - self._mark
        self.waiting = False
        if error is None:
            if self._status is None or self._response is not None:
                self._end()
        elif isinstance(error, (StopIteration, StopAsyncIteration)):
            self._end()
        else:
            self._fail(error)

    def responded(self, response: Any, retries: int) -> None:
        """Take note of a good response's head, and of its body if that is there already."""
        self._retries = retries
        self._headers = response.headers.raw
        if self._content:
            self._request = response.request.content
        self._status = response.status_code
        if self._injection is not None:
            self._injection.answered()
        if self._whole:
            self._response = response.content

    def tries_again(self) -> bool:
        """Whether to post the request once more: the server refused what we had put into it."""
        again = self._again
        self._again = False
        return again

    @property
    def request_model(self) -> str | None:
        """The model that was asked for."""
        return text(self._extra_body.get("model")) or text(dictionary(self._plain_body).get("model"))

    @property
    def whole(self) -> bool:
        """Whether the body is there when the SDK has processed the response; else it is still to be read."""
        return self._whole

    @property
    def reads_chunks(self) -> bool:
        """Whether the SDK made a stream of the response: its chunks are what there is to read, not its bytes."""
        return self._chunks is not None

    def streams_chunks(self) -> bool:
        """Read the response by its chunks from now on; false if it already is."""
        if self._chunks is not None:
            return False
        self._chunks = self.family.chunks()
        return True

    def takes_chunk(self, chunk: Any) -> bool:
        """Take note of a chunk just received; false when the caller must not see it."""
        try:
            usage_only = self._chunks is not None and self._chunks.add(chunk)
            if self._injection is not None and not self._injection.taken_back:
                if usage_only:
                    return False
                if chunk.usage is None:
                    # A server asked for the usage sends a null with every other chunk, and no such field unasked.
                    chunk.model_fields_set.discard("usage")
        except Exception:
            warn_sparsely("chunk", "a chunk of a stream could not be read", exc_info=True)
        self._ticks()
        return True

    def takes_piece(self, piece: bytes) -> bool:
        """Take note of a piece of the body that the caller reads as bytes; the caller always sees it."""
        self._pieces_bytes += len(piece)
        if self._pieces_bytes <= _MOST_PIECES_BYTES:
            self._pieces.append(piece)
        else:
            self._pieces.clear()
        if self._streamed:
            self._ticks()
        return True

    def dropped(self) -> None:
        """The response was closed, or nobody holds it any more: if the call has not ended, it ends as abandoned."""
        if not self.waiting and self._emit:
            self._error = "abandoned"
            self._end()

    def interrupted(self) -> None:
        """The process ends: if the call has not ended, it ends here."""
        if self._emit:
            self._error = "cancelled" if self.waiting else "abandoned"
            self._end()

    def size(self) -> int:
        """About how many bytes of content an ended call holds."""
        pieces = self._pieces_bytes if self._pieces else 0
        kept = self._chunks.size() if self._chunks is not None else pieces
        return kept + len(self._request or b"") + len(self._response or b"") + len(self._message or "")

    def sheds_content(self) -> None:
        """Let go of what was asked and answered, keeping what the metrics need."""
        self._answer = dataclasses.replace(self._read(), body=None)
        self._headers = [header for header in self._headers if header[0].lower() in _KEPT_HEADERS]
        self._plain_body = {"model": self.request_model, **self._identifiers()}
        self._request = self._response = self._chunks = self.body = None
        self._pieces = []
        self._extra_body = {}
        self._message = None
        self._content = False

    def record(self, call_id: str, price: Price) -> CallRecord:
        """What the call was, for good, under an id of its own. On the exporter's thread."""
        answer = self._read()
        unknown = _why_unknown(answer, self._error, self._status)
        cost = price(self.provider, answer, self._ended_ns) if self._status is None or self._status < 400 else None
        headers = {
            _KEPT_HEADERS[lower]: value.decode("latin-1")
            for name, value in self._headers
            if (lower := name.lower()) in _KEPT_HEADERS
        }
        trace_id, span_id = self._trace or (None, None)
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
            duration=self._waited,
            streamed=self._streamed,
            time_to_first_chunk=self._first_chunk,
            chunk_intervals=tuple(self._intervals),
            chunks=(len(self._intervals) + (self._first_chunk is not None)) if self._streamed else None,
            error_type=self._error,
            error_message=self._message,
            http_status=self._status,
            retries=self._retries,
            finish_reasons=answer.finish_reasons,
            service_tier=answer.service_tier,
            usage=answer.usage,
            usage_unknown=unknown,
            cost=cost if isinstance(cost, Cost) else None,
            unpriced=cost if isinstance(cost, str) else None,
            headers=headers,
            request=self._request_body() if self._content else None,
            response=answer.body if self._content else None,
            content_captured=self._content,
            attributes=dict(self.attributes),
            identifiers=self._identifiers(),
            trace_id=trace_id,
            span_id=span_id,
        )

    def _identifiers(self) -> dict[str, Any]:
        return identifiers(dictionary(self._plain_body), self._extra_body)

    def _ticks(self) -> None:
        if self._first_chunk is None:
            self._first_chunk = self._waited
        else:
            self._intervals.append(self._waited - self._last_chunk)
        self._last_chunk = self._waited

    def _fail(self, error: BaseException) -> None:
        try:
            if self._injection is not None and self._status is None and self._injection.take_back(error):
                self.body, self._again = self._plain_body, True
                return
            self._error = error_type(error)
            self._message = str(error) if self._content else _name_of(error)
            if self._status is None:
                self._reads_failed_response(error)
        except Exception:
            warn_sparsely("error", "a failed call could not be read", exc_info=True)
        self._end()

    def _reads_failed_response(self, error: BaseException) -> None:
        """The SDK's errors carry the request, those with a status the response too; other exceptions neither."""
        self._status = status_of(error)
        request, response = getattr(error, "request", None), getattr(error, "response", None)
        if request is not None:
            self._request = request.content if self._content else None
            retries = request.headers.get("x-stainless-retry-count", "0")  # the caller may have set it to anything
            self._retries = int(retries) if retries.isdecimal() else None
        elif self._content:
            self._request = snapshot({**dictionary(self._plain_body), **self._extra_body})
        if response is not None:
            self._headers = response.headers.raw

    def _end(self) -> None:
        try:
            emit = self._emit.pop()  # atomic, so that of two ends in two threads one does nothing
        except IndexError:
            return
        self._ended_ns = time.time_ns()
        try:
            emit(self)
        except Exception:
            warn_sparsely("end", "an ended call could not be taken in", exc_info=True)

    def _read(self) -> Answer:
        if self._answer is not None:
            return self._answer
        try:
            if self._chunks is not None:
                return self.family.answer(self._chunks.body())
            if self._response is not None:
                return read_body(self.family, self._response)
            if self._pieces_bytes > _MOST_PIECES_BYTES or not self._pieces:
                return Answer(usage_unknown="not_read")
            return read_body(self.family, b"".join(self._pieces))
        except Exception:
            warn_sparsely("answer", "a response could not be read", exc_info=True)
            return Answer(usage_unknown="unreadable")

    def _request_body(self) -> Mapping[str, Any]:
        """What was asked, from the bytes that were sent or, where none were seen, from what the SDK was given."""
        if self._request is None:
            return {**dictionary(self._plain_body), **self._extra_body}
        try:
            body = dict(dictionary(decode(self._request)))
        except ValueError:
            return {}
        if self._injection is not None and not self._injection.taken_back:
            body.pop("stream_options", None)
        return body


def _why_unknown(answer: Answer, error: ErrorType | None, status: int | None) -> str | None:
    """Why there is no usage; `None` when there is, or when the server refused the call and so used nothing."""
    if answer.usage is not None or (status is not None and status >= 400):
        return None
    return error or answer.usage_unknown or "not_reported"


def _name_of(error: BaseException) -> str:
    """What may be said of an error where content is not kept: its message may repeat what was asked or answered."""
    code = getattr(error, "code", None)
    named = isinstance(code, str) and _ERROR_CODE.fullmatch(code)
    return f"{type(error).__name__} ({code})" if named else type(error).__name__


def _current_trace() -> tuple[str, str] | None:
    """Trace and span id of the current OpenTelemetry span, if the program uses OpenTelemetry at all."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    try:
        context = trace.get_current_span().get_span_context()
        return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None
    except Exception:
        warn_sparsely("trace", "the current trace could not be read", exc_info=True)
        return None

"""One call in flight, as a state machine without I/O: it collects times, chunks and the error until the call ends.

A `Call` is a context manager: a `with` block around each wait for the API measures the wait, and an exception that
leaves the block becomes the error of the call. The exporter's thread builds the record from `Call.result`, and does all
expensive work, such as decoding bodies.
"""

from __future__ import annotations

import re
import sys
import time
from array import array
from collections.abc import Callable, Mapping
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from monitored_openai._calls.context import attributes_of_call, content_allowed
from monitored_openai._calls.error_types import error_type, status_of
from monitored_openai._calls.finished_call import MOST_PIECES_BYTES, FinishedCall
from monitored_openai._calls.request_fields import text_sent
from monitored_openai._calls.stream_usage import Injection
from monitored_openai._endpoints.base import Endpoint, ParsedResponse, dictionary
from monitored_openai._json import snapshot
from monitored_openai._logging import warn_sparsely
from monitored_openai._record import NOTHING

_TRACING = "opentelemetry.trace"
_CUT_OFF = ("length_limit", "content_filter")
_ERROR_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Call:
    """A call from its start to its end; only the first event that ends it counts."""

    # Class-level defaults keep the creation of a call cheap.
    waiting = False
    """True while the SDK waits for the API."""
    _sdk_iterates = False
    _retry_pending = False
    _injection: Injection | None = None
    _hiding: Injection | None = None  # set while the call hides the usage chunk from the caller

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        provider: str,
        server: str,
        body: Any,
        extra_body: object,
        streamed: bool,
        buffered: bool,
        injection: Injection | None,
        keeps_content: bool,
        emit: Callable[[Call], None],
        form: Mapping[str, Any] | None = None,
        attributes: Mapping[str, str] = NOTHING,
    ) -> None:
        """Start the call.

        Args:
            endpoint: the endpoint of the request.
            provider: OpenTelemetry's name of the provider.
            server: host of the base URL, with the port if the URL has one.
            body: the body that the SDK received from the caller.
            extra_body: the request's `extra_body`.
            streamed: True if the request asks for a stream.
            buffered: True if the SDK reads the whole body before it processes the response.
            injection: the injection of `stream_options.include_usage`, if this call has one.
            keeps_content: True if the settings allow the capture of content.
            emit: receives the call when it has ended.
            form: descriptions of the files in a multipart request.
            attributes: the attributes of the client.
        """
        self.buffered = buffered
        self.body = body
        self._emit = [emit]
        self.result = result = FinishedCall()
        result.endpoint = endpoint
        result.provider = provider
        result.server = server
        result.streamed = streamed
        result.body = body
        model = text_sent(body.get("model")) if isinstance(body, dict) else None
        if extra_body is not None:
            result.extra_body = extra_body = dict(dictionary(extra_body))
            model = text_sent(extra_body.get("model")) or model
        result.request_model = model
        if injection is not None:
            self.body = {**body, "stream_options": {"include_usage": True}}
            self._injection = injection
            result.usage_injected = True
        if form is not None:
            result.form = form
        result.attributes = attributes_of_call(attributes)
        result.captures_content = keeps_content and content_allowed.get()
        if _TRACING in sys.modules:
            result.trace = _current_trace()
        result.started_ns = time.time_ns()

    def __enter__(self) -> Self:
        self.waiting = True
        self._wait_started = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Add the wait to the duration, and end the call if no other wait follows."""
        result = self.result
        result.wait_before_chunks += perf_counter() - self._wait_started
        self.waiting = False
        if error is not None:
            self._fail(error)
        elif result.status is None or (result.response is not None and result.accumulator is None):
            self._end()

    def on_response(self, response: Any, retries: int) -> None:
        """Record the head of a good response, and the body if the SDK or a hook has already read it."""
        result = self.result
        result.retries = retries
        result.headers = dict(response.headers.raw)  # one dict of bytes, which the garbage collector need not track
        if result.captures_content:
            # For a multipart body, the record keeps the fields and the descriptions of the files.
            result.request = _content_of(response.request) if result.form is None else snapshot(result.given_body())
        result.status = response.status_code
        if result.endpoint.billed_request is not None:
            result.billed_request = result.endpoint.billed_request(result.given_body())
        if result.endpoint.non_json:
            result.media_type = _media_type_of(response)
        self.body = None
        result.release_body()
        if self._injection is not None:
            self._injection.on_success()
        if self.buffered or response.is_closed:  # a hook of the caller's HTTP client may have read it already
            result.response = content = _content_of(response)
            if result.media_type is not None and content is not None:
                result.pieces_bytes, result.response = len(content), b""
        else:
            result.response_type = type(response)

    def set_parsed(self, parsed: ParsedResponse) -> None:
        """Set the facts of a call without a request of its own, such as the result of a batch."""
        self.result.parsed, self.result.status, self.result.response = parsed, 200, b""

    def take_retry(self) -> bool:
        """Return whether to retry without the injected field that the server rejected; true only once."""
        pending, self._retry_pending = self._retry_pending, False
        return pending

    def sdk_iterates(self) -> bool:
        """Return whether the SDK, not the caller's code, iterates the body."""
        if self.waiting and self.result.accumulator is not None:
            self._sdk_iterates = True
        return self._sdk_iterates

    def start_stream(self) -> bool:
        """Begin to collect chunks; return false if the call already collects them or has ended."""
        result = self.result
        if result.accumulator is not None or not self._emit:
            return False
        result.response = None
        result.accumulator = result.endpoint.accumulator()
        self._add = result.accumulator.add
        result.chunk_waits = waits = array("d")
        self._add_wait = waits.append
        self._hiding = self._injection if result.usage_injected else None
        return True

    def on_chunk(self, chunk: Any, waited: float) -> bool:
        """Record a chunk and the seconds waited for it; return false to hide it from the caller."""
        try:
            usage_only = self._add(chunk)
            if self._hiding is not None:
                if usage_only:
                    self.result.wait_after_chunks += waited
                    return False
                if chunk.usage is None:
                    chunk.__pydantic_fields_set__.discard("usage")  # OpenAI sends this null only after the injection
                else:
                    self._hiding.on_visible_usage(chunk)
            if usage_only is None and not self.result.chunk_waits:
                self.result.wait_before_chunks += waited
                return True
        except Exception:
            warn_sparsely("chunk", "a chunk of a stream could not be read", exc_info=True)
        self._add_wait(waited)
        return True

    def on_piece(self, piece: bytes, waited: float) -> bool:
        """Record a piece of a body that the caller reads as bytes, and the seconds waited for it; return true."""
        result = self.result
        if result.pieces is None:
            result.pieces, result.chunk_waits = [], (waits := array("d"))
            self._add_wait = waits.append
        result.pieces_bytes += len(piece)
        if result.media_type is not None:
            pass
        elif result.pieces_bytes <= MOST_PIECES_BYTES:
            result.pieces.append(piece)
        else:
            result.pieces.clear()
        self._add_wait(waited)
        return True

    def on_stream_end(self, waited: float, error: BaseException | None = None) -> None:
        """End the call, because the stream ended or raised an error after `waited` seconds."""
        self.result.wait_after_chunks += waited
        self.waiting = False
        if error is None:
            self._end()
        else:
            self._fail(error)

    def on_closed(self, error: BaseException | None = None) -> None:
        """End the call as abandoned, because the caller closed the response, or dropped its last reference to it.

        `error`: the exception that was active at the close. If the SDK's stream helper raised this exception
        between two chunks, because it cannot parse a truncated output, the exception becomes the error of the call.
        """
        if not self.waiting and self._emit:
            word = error_type(error) if error is not None else None
            if word in _CUT_OFF and error is not None:
                self.result.error, self.result.message = word, self._message_of(error)
            else:
                self.result.error = "abandoned"
            self._end()

    def on_process_exit(self) -> None:
        """End the call because the process exits."""
        if self._emit:
            self.result.error = "cancelled" if self.waiting else "abandoned"
            self._end()

    def _fail(self, error: BaseException) -> None:
        result = self.result
        try:
            if self._injection is not None and result.status is None and self._injection.should_retry_without(error):
                self.body, result.usage_injected, self._retry_pending = result.body, False, True
                return
            result.error = error_type(error)
            result.message = self._message_of(error)
            body = getattr(error, "body", None)
            result.error_body = body if isinstance(body, (dict, str)) else None
            if result.status is None:
                self._record_failed_response(error)
        except Exception:
            warn_sparsely("error", "a failed call could not be read", exc_info=True)
        self.body = None
        result.release_body()
        self._end()

    def _message_of(self, error: BaseException) -> str:
        return str(error) if self.result.captures_content else _name_of(error)

    def _record_failed_response(self, error: BaseException) -> None:
        """Record the request of an error, and its response if the error has a status."""
        result = self.result
        result.status = status_of(error)
        request, response = getattr(error, "request", None), getattr(error, "response", None)
        if request is not None:
            if result.captures_content:
                result.request = _content_of(request) if result.form is None else snapshot(result.given_body())
            # The caller may have set this header to any text.
            retries = request.headers.get("x-stainless-retry-count", "0")
            result.retries = int(retries) if retries.isdecimal() else None
        elif result.captures_content:
            result.request = snapshot(result.given_body())
        if response is not None:
            result.headers = dict(response.headers.raw)
            result.error_body = _content_of(response)

    def _end(self) -> None:
        try:
            emit = self._emit.pop()  # atomic: only one of two threads that end the call gets it
        except IndexError:
            return
        self.result.ended_ns = time.time_ns()
        try:
            emit(self)
        except Exception:
            warn_sparsely("end", "an ended call could not be queued", exc_info=True)


def _content_of(message: Any) -> bytes | None:
    """Return the body of a request or response; `None` if it is an unread stream."""
    try:
        content: bytes = message.content
    except RuntimeError:
        return None
    return content


def _media_type_of(response: Any) -> str | None:
    """Return the content type of a body; `None` for text, JSON and an unknown type."""
    kind: str = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return None if not kind or kind.startswith("text/") or kind.endswith("json") else kind


def _name_of(error: BaseException) -> str:
    """Return an error's class and code, which, unlike its message, contain no content."""
    code = getattr(error, "code", None)
    has_code = isinstance(code, str) and _ERROR_CODE.fullmatch(code)
    return f"{type(error).__name__} ({code})" if has_code else type(error).__name__


def _current_trace() -> tuple[str, str] | None:
    """Return the ids of OpenTelemetry's current trace and span; `None` without a valid span."""
    try:
        context = sys.modules[_TRACING].get_current_span().get_span_context()
        return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None
    except Exception:
        warn_sparsely("trace", "the current trace could not be read", exc_info=True)
        return None

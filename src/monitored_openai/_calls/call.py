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
from collections.abc import Callable, Mapping
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from monitored_openai._calls.context import attributes_of_call, content_allowed
from monitored_openai._calls.error_types import error_type, status_of
from monitored_openai._calls.record_builder import MOST_PIECES_BYTES, Trail, kept
from monitored_openai._calls.request_fields import identifiers, text_sent
from monitored_openai._calls.stream_usage import Injection
from monitored_openai._endpoints.base import Endpoint, ParsedResponse, dictionary
from monitored_openai._json import snapshot
from monitored_openai._logging import warn_sparsely
from monitored_openai._record import NOTHING

_TRACING = "opentelemetry.trace"
_CUT_OFF = ("length_limit", "content_filter")
_ERROR_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Call(Trail):
    """A call from its start to its end; it ends once, whichever way comes first."""

    waiting = False
    _by_chunks = False
    _again = False

    def __init__(
        self,
        family: Endpoint,
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
        form: Mapping[str, Any] | None = None,
        attributes: Mapping[str, str] = NOTHING,
    ) -> None:
        """`whole`: the body is there when the SDK has processed the response, nothing is left to be read.

        `attributes`: the client's.
        """
        self.family = family
        self.provider = provider
        self.whole = whole
        self.body = self._plain_body = body
        self.request_model = text_sent(body.get("model")) if isinstance(body, dict) else None
        if extra_body is not None:
            self._extra_body = extra_body = dict(dictionary(extra_body))
            self.request_model = text_sent(extra_body.get("model")) or self.request_model
        if injection is not None:
            self.body = {**body, "stream_options": {"include_usage": True}}
            self._injection = injection
        if form is not None:
            self._form = form
        self._server = server
        self._streamed = streamed
        self._emit = [emit]
        self.attributes = attributes_of_call(attributes)
        self._content = keeps_content and content_allowed.get()
        if _TRACING in sys.modules:
            self._trace = _current_trace()
        self._started_ns = time.time_ns()

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
            if self._status is None or (self._response is not None and self._chunks is None):
                self._end()
        else:
            self._fail(error)

    def responded(self, response: Any, retries: int) -> None:
        """Take note of a good response's head, and of its body if that is there already."""
        self._retries = retries
        self._headers = dict(response.headers.raw)  # one object for the garbage collector, and not even tracked
        if self._content:
            self._request = _content_of(response.request) if self._form is None else self._form_sent()
        self._status = response.status_code
        if self.family.asked is not None:
            self._asked = self.family.asked(self._given())
        if self.family.unstructured:
            self._media = _media_in(response)
        self._lets_go_of_body()
        if self._injection is not None:
            self._injection.answered()
        if self.whole or response.is_closed:  # a hook of the caller's HTTP client may have read it already
            self._response = content = _content_of(response)
            if self._media is not None and content is not None:
                self._pieces_bytes, self._response = len(content), b""
        else:
            self._response_type = type(response)

    def tells(self, answer: ParsedResponse) -> None:
        """The answer is known: it has been read out of several responses."""
        self._answer, self._status, self._response = answer, 200, b""

    def tries_again(self) -> bool:
        """Whether to post the request once more: the server refused what we had put into it."""
        again = self._again
        self._again = False
        return again

    def reads_chunks(self) -> bool:
        """Whether who begins to read the body now is the SDK, for a chunk that is waited for, and not the caller."""
        if self._chunks is not None and self.waiting:
            self._by_chunks = True
        return self._by_chunks

    def streams_chunks(self) -> bool:
        """Read the response by its chunks from now on; false if it already is, or if all of it has been seen."""
        if self._chunks is not None or not self._emit:
            return False
        self._response = None
        self._chunks = self.family.chunks()
        self._add = self._chunks.add
        self._waits = waits = array("d")
        self._note_wait = waits.append
        self._hides = self._injection is not None and not self._injection.taken_back
        return True

    def takes_chunk(self, chunk: Any, waited: float) -> bool:
        """Take note of a chunk that was waited for so many seconds; false when the caller must not see it."""
        try:
            usage_only = self._add(chunk)
            if self._hides:
                if usage_only:
                    self._tail += waited
                    return False
                if chunk.usage is None:
                    # OpenAI sends this null only because of our request: without it, the chunk has no such field.
                    chunk.__pydantic_fields_set__.discard("usage")
            if usage_only is None and not self._waits:
                self._waited += waited
                return True
        except Exception:
            warn_sparsely("chunk", "a chunk of a stream could not be read", exc_info=True)
        self._note_wait(waited)
        return True

    def takes_piece(self, piece: bytes, waited: float) -> bool:
        """Take note of a piece of the body that the caller reads as bytes; the caller always sees it."""
        if self._pieces is None:
            self._pieces, self._waits = [], (waits := array("d"))
            self._note_wait = waits.append
        self._pieces_bytes += len(piece)
        if self._media is not None:
            pass
        elif self._pieces_bytes <= MOST_PIECES_BYTES:
            self._pieces.append(piece)
        else:
            self._pieces.clear()
        self._note_wait(waited)
        return True

    def stops(self, waited: float, error: BaseException | None = None) -> None:
        """There are no more chunks or pieces, which took so many seconds to see, or they broke off with an error."""
        self._tail += waited
        self.waiting = False
        if error is None:
            self._end()
        else:
            self._fail(error)

    def dropped(self, closed_by: BaseException | None = None) -> None:
        """The response was closed, or nobody holds it any more: if the call has not ended, it ends as abandoned.

        Unless it was `closed_by` the error that the SDK's stream helper raises between two chunks, when an answer that
        it is to parse was cut off.
        """
        if not self.waiting and self._emit:
            word = error_type(closed_by) if closed_by is not None else None
            if word in _CUT_OFF and closed_by is not None:
                self._error, self._message = word, self._said_by(closed_by)
            else:
                self._error = "abandoned"
            self._end()

    def interrupted(self) -> None:
        """The process ends: if the call has not ended, it ends here."""
        if self._emit:
            self._error = "cancelled" if self.waiting else "abandoned"
            self._end()

    def size(self) -> int:
        """About how many bytes of content an ended call holds."""
        size = len(self._request or b"") + len(self._response or b"") + len(self._message or "")
        if self._chunks is not None and self._pieces is None:
            return size + self._chunks.size()
        return size + self._pieces_bytes if self._pieces else size

    def sheds_content(self) -> None:
        """Let go of what was asked and answered, keeping what the metrics need."""
        self._answer = dataclasses.replace(self.read(), body=None, error_message=None)
        self._headers = kept(self._headers)
        self._identifiers = self._identifiers or identifiers(self._request_body())
        self.body = self._plain_body = self._extra_body = None
        self._request = self._response = self._chunks = self._pieces = self._message = None
        self._content = False

    def _lets_go_of_body(self) -> None:
        """As few objects as can be are to wait for the exporter's thread: the more, the longer the collector stops all."""
        if self._request is None and self._plain_body is not None:
            self._identifiers = identifiers(self._given())
        self.body = self._plain_body = self._extra_body = None

    def _form_sent(self) -> bytes:
        return snapshot(self._given())

    def _fail(self, error: BaseException) -> None:
        try:
            if self._injection is not None and self._status is None and self._injection.take_back(error):
                self.body, self._again = self._plain_body, True
                return
            self._error = error_type(error)
            self._message = self._said_by(error)
            if self._status is None:
                self._reads_failed_response(error)
        except Exception:
            warn_sparsely("error", "a failed call could not be read", exc_info=True)
        self._lets_go_of_body()
        self._end()

    def _said_by(self, error: BaseException) -> str:
        return str(error) if self._content else _name_of(error)

    def _reads_failed_response(self, error: BaseException) -> None:
        """The SDK's errors carry the request, those with a status the response too; other exceptions neither."""
        self._status = status_of(error)
        request, response = getattr(error, "request", None), getattr(error, "response", None)
        if request is not None:
            if self._content:
                self._request = _content_of(request) if self._form is None else self._form_sent()
            retries = request.headers.get("x-stainless-retry-count", "0")  # the caller may have set it to anything
            self._retries = int(retries) if retries.isdecimal() else None
        elif self._content:
            self._request = self._form_sent()
        if response is not None:
            self._headers = dict(response.headers.raw)

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


def _content_of(message: Any) -> bytes | None:
    """The body of a request or response; `None` of one that is a stream and has not been read."""
    try:
        content: bytes = message.content
    except RuntimeError:
        return None
    return content


def _media_in(response: Any) -> str | None:
    """The type of a body that is neither text nor JSON."""
    kind: str = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return None if not kind or kind.startswith("text/") or kind.endswith("json") else kind


def _name_of(error: BaseException) -> str:
    """What may be said of an error where content is not kept: its message may repeat what was asked or answered."""
    code = getattr(error, "code", None)
    named = isinstance(code, str) and _ERROR_CODE.fullmatch(code)
    return f"{type(error).__name__} ({code})" if named else type(error).__name__


def _current_trace() -> tuple[str, str] | None:
    """Trace and span id of the current OpenTelemetry span, in a program that uses OpenTelemetry."""
    try:
        context = sys.modules[_TRACING].get_current_span().get_span_context()
        return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None
    except Exception:
        warn_sparsely("trace", "the current trace could not be read", exc_info=True)
        return None

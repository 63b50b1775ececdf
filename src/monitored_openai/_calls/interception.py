"""Sends a request inside its `Call`, and reports the response, its chunks or the pieces of its body to the call.

In every SDK since 1.0, each method that sends a request (`create`, `parse`, `stream`, the raw and streaming variants)
uses the client's `post` or `get`, which our clients override. They add a `post_parser` to the request. The SDK calls
it with the parsed response, and the parser replaces the iterator of a stream. The parser also holds the call, so that
the client's `_process_response` can report the HTTP response to the call.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from time import perf_counter
from typing import Any

from openai import AsyncStream, Stream

from monitored_openai._calls.call import Call
from monitored_openai._logging import warn_sparsely

_STREAMS = (Stream, AsyncStream)


class _PostParser:
    """The `post_parser` of a request: holds the call, and replaces the iterator of a stream."""

    __slots__ = ("_inner", "_observe_chunks", "body_type", "call")

    def __init__(self, call: Call, inner: Any, observe_chunks: Callable[..., Any], body_type: type[_Body]) -> None:
        self.call = call
        self.body_type = body_type
        self._inner = inner
        self._observe_chunks = observe_chunks

    def __call__(self, parsed: Any) -> Any:
        call = self.call
        if isinstance(parsed, _STREAMS) and call.start_stream():
            parsed._iterator = self._observe_chunks(call, parsed._iterator, call.on_chunk)
        return self._inner(parsed) if callable(self._inner) else parsed


def send_observed(call: Call, post: Callable[..., Any], path: str, request: dict[str, Any]) -> Any:
    """Send a request inside its call."""
    options = request.get("options") or {}
    parser = _PostParser(call, options.get("post_parser"), observe_chunks, ObservedBody)
    request["options"] = {**options, "post_parser": parser}
    while True:
        if "body" in request:
            request["body"] = call.body
        try:
            with call:
                return post(path, **request)
        except Exception:
            if not call.take_retry():
                raise


async def send_observed_async(call: Call, post: Callable[..., Any], path: str, request: dict[str, Any]) -> Any:
    """Send a request inside its call; the async form of `send_observed`."""
    options = request.get("options") or {}
    parser = _PostParser(call, options.get("post_parser"), AsyncObservedItems, AsyncObservedBody)
    request["options"] = {**options, "post_parser": parser}
    while True:
        if "body" in request:
            request["body"] = call.body
        try:
            with call:
                return await post(path, **request)
        except Exception:
            if not call.take_retry():
                raise


def observe_response(options: Any, response: Any, retries: int) -> None:
    """Report a response to the call that its request holds, if any."""
    parser = options.post_parser
    if type(parser) is not _PostParser:
        return
    call = parser.call
    try:
        if not call.buffered:
            response.stream = parser.body_type(call, response.stream)
        call.on_response(response, retries)
    except Exception:
        warn_sparsely("response", "a response could not be observed", exc_info=True)


def observe_chunks(call: Call, chunks: Iterator[Any], on_item: Callable[[Any, float], bool]) -> Iterator[Any]:
    """Yield the chunks of a stream or the pieces of a body; `on_item` records each and returns false to hide it."""
    call.waiting = True
    started = perf_counter()
    try:
        for chunk in chunks:
            call.waiting = False
            if on_item(chunk, perf_counter() - started):
                yield chunk
            call.waiting = True
            started = perf_counter()
    except BaseException as error:
        if call.waiting:
            call.on_stream_end(perf_counter() - started, error)
        raise
    call.on_stream_end(perf_counter() - started)


class AsyncObservedItems(AsyncGenerator[Any, None]):
    """The async form of `observe_chunks`.

    A class, not a generator function: an event loop that ends closes all open generators in any order, and logs an
    error if two of them close each other. One more generator per stream would add errors to those of the SDK.
    """

    __slots__ = ("_call", "_ended", "_items", "_next", "_on_item")

    def __init__(self, call: Call, items: AsyncIterator[Any], on_item: Callable[[Any, float], bool]) -> None:
        self._call, self._items, self._on_item = call, items, on_item
        self._next = items.__anext__
        self._ended = False

    async def __anext__(self) -> Any:
        call = self._call
        if self._ended or call.waiting:  # while another task waits for an item, `items` raises
            return await self._next()
        call.waiting = True
        started = perf_counter()
        try:
            while True:
                item = await self._next()
                call.waiting = False
                if self._on_item(item, perf_counter() - started):
                    return item
                call.waiting = True
                started = perf_counter()
        except BaseException as error:
            self._ended = True
            if call.waiting:
                ended_normally = isinstance(error, StopAsyncIteration)
                call.on_stream_end(perf_counter() - started, None if ended_normally else error)
            raise

    async def asend(self, value: Any) -> Any:  # noqa: ARG002  # the name in `AsyncGenerator`
        """Return the next item; `value` has no meaning to the iterators of the SDK and of its HTTP library."""
        return await self.__anext__()

    async def athrow(self, *error: Any) -> Any:
        """Raise in the observed generator."""
        return await self._items.athrow(*error) if isinstance(self._items, AsyncGenerator) else None

    async def aclose(self) -> None:
        """Close the observed generator, as httpx2 does with the pieces of a body."""
        if isinstance(self._items, AsyncGenerator):
            await self._items.aclose()


class _Body:
    """Proxy for a response's byte stream that reports all reads of the body to the call."""

    def __init__(self, call: Call, stream: Any) -> None:
        self._call, self._stream = call, stream

    # A response checks that its stream has a type of its HTTP library, which this module does not import.
    __class__ = property(lambda self: type(self._stream))  # pyright: ignore[reportIncompatibleMethodOverride]  # never set

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __del__(self) -> None:
        self._call.on_closed()


class ObservedBody(_Body):
    """Observes a body that has not been read yet."""

    def __iter__(self) -> Iterator[bytes]:
        """Iterate and observe the pieces; if the SDK parses them into chunks, the call observes the chunks instead."""
        pieces: Iterator[bytes] = iter(self._stream)
        return pieces if self._call.sdk_iterates() else observe_chunks(self._call, pieces, self._call.on_piece)

    def close(self) -> None:
        """Close the stream, and end the call if it has not ended yet."""
        error = sys.exception()
        try:
            self._stream.close()
        finally:
            self._call.on_closed(error)


class AsyncObservedBody(_Body):
    """The async form of `ObservedBody`."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate and observe the pieces; if the SDK parses them into chunks, the call observes the chunks instead."""
        pieces: AsyncIterator[bytes] = aiter(self._stream)
        if self._call.sdk_iterates():
            return pieces
        return AsyncObservedItems(self._call, pieces, self._call.on_piece)

    async def aclose(self) -> None:
        """Close the stream, and end the call if it has not ended yet."""
        error = sys.exception()
        try:
            await self._stream.aclose()
        finally:
            self._call.on_closed(error)

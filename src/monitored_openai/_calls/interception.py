"""Puts a call around a request that the client sends, and around the stream or the body that comes back.

Every method of every resource that sends a request (`create`, `parse`, `stream`, the raw and streaming variants) does so
through the client's `post`, in every SDK since 1.0; so that is the one thing overridden. The SDK hands whatever it made
of a response to the request's `post_parser`, so that is where a stream shows up, and it is what carries the call to the
client's `_process_response`, where the HTTP response shows up.
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
    """A request's `post_parser`, which the SDK gives what it has made of the response: it looks out for a stream."""

    __slots__ = ("_inner", "_observed_chunks", "call", "observed_body")

    def __init__(self, call: Call, inner: Any, observed_chunks: Callable[..., Any], observed_body: type[_Body]) -> None:
        self.call = call
        self.observed_body = observed_body
        self._inner = inner
        self._observed_chunks = observed_chunks

    def __call__(self, parsed: Any) -> Any:
        call = self.call
        if isinstance(parsed, _STREAMS) and call.streams_chunks():
            parsed._iterator = self._observed_chunks(call, parsed._iterator, call.takes_chunk)
        return self._inner(parsed) if callable(self._inner) else parsed


def observed(call: Call, post: Callable[..., Any], path: str, request: dict[str, Any]) -> Any:
    """Post a request whose call is seen."""
    options = request.get("options") or {}
    parser = _PostParser(call, options.get("post_parser"), observed_chunks, ObservedBody)
    request["options"] = {**options, "post_parser": parser}
    while True:
        if "body" in request:
            request["body"] = call.body
        try:
            with call:
                return post(path, **request)
        except Exception:
            if not call.tries_again():
                raise


async def observed_async(call: Call, post: Callable[..., Any], path: str, request: dict[str, Any]) -> Any:
    """Post a request whose call is seen."""
    options = request.get("options") or {}
    parser = _PostParser(call, options.get("post_parser"), async_observed_chunks, AsyncObservedBody)
    request["options"] = {**options, "post_parser": parser}
    while True:
        if "body" in request:
            request["body"] = call.body
        try:
            with call:
                return await post(path, **request)
        except Exception:
            if not call.tries_again():
                raise


def see_response(options: Any, response: Any, retries: int) -> None:
    """Take note of a response, if its request carries a call."""
    parser = options.post_parser
    if type(parser) is not _PostParser:
        return
    call = parser.call
    try:
        if not call.whole:
            response.stream = parser.observed_body(call, response.stream)
        call.responded(response, retries)
    except Exception:
        warn_sparsely("response", "a response could not be observed", exc_info=True)


def observed_chunks(call: Call, chunks: Iterator[Any], takes: Callable[[Any, float], bool]) -> Iterator[Any]:
    """The chunks of a stream, or the pieces of a body, as they come; `takes` says of each whether the caller sees it."""
    call.waiting = True
    asked = perf_counter()
    try:
        for chunk in chunks:
            call.waiting = False
            if takes(chunk, perf_counter() - asked):
                yield chunk
            call.waiting = True
            asked = perf_counter()
    except BaseException as error:
        if call.waiting:
            call.stops(perf_counter() - asked, error)
        raise
    call.stops(perf_counter() - asked)


async def async_observed_chunks(
    call: Call, chunks: AsyncIterator[Any], takes: Callable[[Any, float], bool], *, closes: bool = False
) -> AsyncIterator[Any]:
    """The same for async streams and bodies.

    `closes`: what is stood in for is closed with this, as httpx2 does with the pieces of a body. The chunks of a stream
    are nobody's to close: of those that nobody holds any more the event loop closes both, and complains of a second try.
    """
    call.waiting = True
    asked = perf_counter()
    try:
        async for chunk in chunks:
            call.waiting = False
            if takes(chunk, perf_counter() - asked):
                yield chunk
            call.waiting = True
            asked = perf_counter()
    except BaseException as error:
        if call.waiting:
            call.stops(perf_counter() - asked, error)
        elif closes and isinstance(error, GeneratorExit) and isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
        raise
    call.stops(perf_counter() - asked)


class _Body:
    """Stands in for the stream of bytes of a response, where every way of reading it comes by; it goes when that goes."""

    def __init__(self, call: Call, stream: Any) -> None:
        self._call, self._stream = call, stream

    # A response asks for a stream of its own library, which is not imported here.
    __class__ = property(lambda self: type(self._stream))  # pyright: ignore[reportIncompatibleMethodOverride]  # nobody sets it

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __del__(self) -> None:
        self._call.dropped()


class ObservedBody(_Body):
    """Sees a body that is still to be read, whether piece by piece, whole or never."""

    def __iter__(self) -> Iterator[bytes]:
        """What the stream gives; where the SDK makes chunks of it, those are seen instead."""
        pieces: Iterator[bytes] = iter(self._stream)
        return pieces if self._call.reads_chunks() else observed_chunks(self._call, pieces, self._call.takes_piece)

    def close(self) -> None:
        """Close the stream, of which there is nothing more to see; if that breaks it off, the call ends here."""
        error = sys.exception()
        try:
            self._stream.close()
        finally:
            self._call.dropped(error)


class AsyncObservedBody(_Body):
    """Sees an async body that is still to be read, whether piece by piece, whole or never."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """What the stream gives; where the SDK makes chunks of it, those are seen instead."""
        pieces: AsyncIterator[bytes] = aiter(self._stream)
        if self._call.reads_chunks():
            return pieces
        return async_observed_chunks(self._call, pieces, self._call.takes_piece, closes=True)

    async def aclose(self) -> None:
        """Close the stream, of which there is nothing more to see; if that breaks it off, the call ends here."""
        error = sys.exception()
        try:
            await self._stream.aclose()
        finally:
            self._call.dropped(error)

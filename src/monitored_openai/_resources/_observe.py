"""Puts a call around a request that the client sends, and around the stream or the body that comes back.

Every method of every resource that sends a request (`create`, `parse`, `stream`, the raw and streaming variants) does so
through the client's `post`, in every SDK since 1.0; so that is the one thing overridden. The SDK hands whatever it made
of a response to the request's `post_parser`, so that is where a stream shows up, and it is what carries the call to the
client's `_process_response`, where the HTTP response shows up.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from typing import Any, TypeAlias

from openai import AsyncStream, Stream

from monitored_openai._call import Call
from monitored_openai._log import warn_sparsely

_ObservedChunks: TypeAlias = Callable[[Call, Any, Callable[[Any], bool]], Any]
_ObservedBody: TypeAlias = Callable[[Call, Any], object]


def observed(call: Call, post: Callable[..., Any], request: dict[str, Any]) -> Any:
    """Post a request whose call is seen."""
    request["options"] = _with_call(call, request.get("options") or {}, ObservedChunks, ObservedBody)
    while True:
        request["body"] = call.body
        try:
            with call:
                return post(**request)
        except Exception:
            if not call.tries_again():
                raise


async def observed_async(call: Call, post: Callable[..., Any], request: dict[str, Any]) -> Any:
    """Post a request whose call is seen."""
    request["options"] = _with_call(call, request.get("options") or {}, AsyncObservedChunks, AsyncObservedBody)
    while True:
        request["body"] = call.body
        try:
            with call:
                return await post(**request)
        except Exception:
            if not call.tries_again():
                raise


def see_response(options: Any, response: Any, retries: int) -> None:
    """Take note of a response, if its request carries a call."""
    monitored: tuple[Call, _ObservedBody] | None = getattr(options.post_parser, "monitored", None)
    if monitored is None:
        return
    call, observed_body = monitored
    try:
        call.responded(response, retries)
        if not call.whole:
            observed_body(call, response)
    except Exception:
        warn_sparsely("response", "a response could not be observed", exc_info=True)


def _with_call(
    call: Call, options: Mapping[str, Any], observed_chunks: _ObservedChunks, observed_body: _ObservedBody
) -> dict[str, Any]:
    """The request's options, with the call on board of a `post_parser` that looks out for a stream."""
    inner = options.get("post_parser")

    def post_parser(parsed: Any) -> Any:
        if isinstance(parsed, (Stream, AsyncStream)) and call.streams_chunks():
            parsed._iterator = observed_chunks(call, parsed._iterator, call.takes_chunk)
        return inner(parsed) if callable(inner) else parsed

    post_parser.monitored = (call, observed_body)  # type: ignore[attr-defined]  # functions take attributes
    return {**options, "post_parser": post_parser}


class ObservedChunks:
    """Stands in for the iterator inside a stream, or over a body."""

    __slots__ = ("_call", "_chunks", "_takes")

    def __init__(self, call: Call, chunks: Generator[Any], takes: Callable[[Any], bool]) -> None:
        self._call = call
        self._chunks = chunks
        self._takes = takes

    def __iter__(self) -> ObservedChunks:
        return self

    def __next__(self) -> Any:
        while True:
            with self._call:
                chunk = next(self._chunks)
            if self._takes(chunk):
                return chunk

    def close(self) -> None:
        """Close the generator that is stood in for."""
        self._chunks.close()


class AsyncObservedChunks:
    """Stands in for the async iterator inside a stream, or over a body."""

    __slots__ = ("_call", "_chunks", "_takes")

    def __init__(self, call: Call, chunks: AsyncGenerator[Any], takes: Callable[[Any], bool]) -> None:
        self._call = call
        self._chunks = chunks
        self._takes = takes

    def __aiter__(self) -> AsyncObservedChunks:
        return self

    async def __anext__(self) -> Any:
        while True:
            with self._call:
                chunk = await anext(self._chunks)
            if self._takes(chunk):
                return chunk

    async def aclose(self) -> None:
        """Close the generator that is stood in for, as httpx2 does in the end."""
        await self._chunks.aclose()


class ObservedBody:
    """Sees a body that is still to be read, whether piece by piece, whole or never; it goes when its response goes."""

    def __init__(self, call: Call, response: Any) -> None:
        self._call = call
        self._iter_bytes, self._close = response.iter_bytes, response.close
        response.iter_bytes, response.close = self.iter_bytes, self.close

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """What the response gives; where the SDK makes a stream of it, that is seen as such and not here."""
        pieces: Generator[bytes] = self._iter_bytes(chunk_size)
        return pieces if self._call.reads_chunks else ObservedChunks(self._call, pieces, self._call.takes_piece)

    def close(self) -> None:
        """Close the response; if that breaks it off, the call ends here."""
        try:
            self._close()
        finally:
            self._call.dropped()

    def __del__(self) -> None:
        self._call.dropped()


class AsyncObservedBody:
    """Sees an async body that is still to be read, whether piece by piece, whole or never; it goes with its response."""

    def __init__(self, call: Call, response: Any) -> None:
        self._call = call
        self._aiter_bytes, self._aclose = response.aiter_bytes, response.aclose
        response.aiter_bytes, response.aclose = self.aiter_bytes, self.aclose

    def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """What the response gives; where the SDK makes a stream of it, that is seen as such and not here."""
        pieces: AsyncGenerator[bytes] = self._aiter_bytes(chunk_size)
        return pieces if self._call.reads_chunks else AsyncObservedChunks(self._call, pieces, self._call.takes_piece)

    async def aclose(self) -> None:
        """Close the response; if that breaks it off, the call ends here."""
        try:
            await self._aclose()
        finally:
            self._call.dropped()

    def __del__(self) -> None:
        self._call.dropped()

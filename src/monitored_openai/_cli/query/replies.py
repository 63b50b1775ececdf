"""Reads the body of a reply: decompressed, and bounded in size and time."""

from __future__ import annotations

import time
import zlib

import httpx

from monitored_openai._cli.errors import UserError

MAX_BYTES = 32 * 1024 * 1024
"""Limit of a decompressed body."""
ENCODINGS = "gzip"
"""Value of the header `Accept-Encoding`."""
_MAX_SECONDS = 120.0


class Oversized(UserError):
    """The body exceeds the limit, or the server refuses the request with 413."""


def body(reply: httpx.Response, *, max_bytes: int = MAX_BYTES, max_seconds: float = _MAX_SECONDS) -> bytes:
    """Read and decompress the body in pieces of bounded size, which httpx does not do.

    Raises:
        Oversized: it has more than `max_bytes`.
        UserError: it takes longer than `max_seconds`, or its encoding was not requested.
    """
    encoding = reply.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise UserError("the answer has an encoding that was not requested: is the address right?")
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding == "gzip" else None
    content, deadline = bytearray(), time.monotonic() + max_seconds
    for piece in reply.iter_raw():
        try:
            content += piece if unzip is None else unzip.decompress(piece, max_bytes + 1 - len(content))
        except zlib.error as error:
            raise UserError("the answer is not valid gzip: is the address right?") from error
        if len(content) > max_bytes:
            raise Oversized(f"the answer has more than {max_bytes / 2**20:g} MiB: ask for less")
        if time.monotonic() > deadline:
            raise UserError(f"the answer takes longer than {max_seconds:g} s: ask for less")
    if unzip is not None and content and not unzip.eof:
        raise UserError("the answer is incomplete: try again")
    return bytes(content)

"""The body of a server's reply, unpacked and bounded."""

from __future__ import annotations

import time
import zlib

import httpx

from monitored_openai._cli.errors import UserError

MOST_BYTES = 32 * 1024 * 1024
"""Of a body, unpacked."""
ENCODINGS = "gzip"
"""For the header `Accept-Encoding`."""
_MOST_SECONDS = 120.0


class Oversized(UserError):
    """A body of more bytes than a command reads."""


def body(reply: httpx.Response, *, most_bytes: int = MOST_BYTES, most_seconds: float = _MOST_SECONDS) -> bytes:
    """The body, unpacked piece by piece: httpx would unpack each piece to any size.

    Raises:
        Oversized: it has more than `most_bytes`.
        Mistake: it takes longer than `most_seconds`, or is packed in another way than asked for.
    """
    encoding = reply.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise UserError("the answer is compressed in a way that was not asked for: is the address right?")
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding == "gzip" else None
    found, ends = bytearray(), time.monotonic() + most_seconds
    for piece in reply.iter_raw():
        try:
            found += piece if unzip is None else unzip.decompress(piece, most_bytes + 1 - len(found))
        except zlib.error as error:
            raise UserError("the answer is not the gzip that it claims to be: is the address right?") from error
        if len(found) > most_bytes:
            raise Oversized(f"the answer has more than {most_bytes / 2**20:g} MiB: ask for less")
        if time.monotonic() > ends:
            raise UserError(f"the answer takes longer than {most_seconds:g} s: ask for less")
    if unzip is not None and found and not unzip.eof:
        raise UserError("the answer ends in the middle: try again")
    return bytes(found)

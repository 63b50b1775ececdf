"""Checks that the head of a request, and the chunks of its body, determine where the request ends.

A proxy and this server must agree on the end of each request; otherwise a client can smuggle a request in the body of
another. h11 parses both leniently, so this module checks the bytes as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

MOST_HEAD_BYTES = 64 * 1024
MOST_FIELDS = 100

_REQUEST_LINE = re.compile(rb"[A-Z]{1,20} /[!-~]* HTTP/1\.[01]")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*+([!-~\x80-\xff]?[\t -~\x80-\xff]*)")
_LENGTH = re.compile(rb"[0-9]{1,19}")
_CRLF = b"\r\n"
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_PARTIAL_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{0,8}|[0-9A-Fa-f]{1,8}\r")
_ONCE = frozenset(
    {b"authorization", b"content-length", b"expect", b"host", b"if-none-match", b"origin", b"transfer-encoding"}
)


def partial_head_error(begun: bytes | bytearray) -> str | None:
    """Return the error in the first bytes of an incomplete head; `None` if more bytes may follow."""
    if len(begun) > MOST_HEAD_BYTES:
        return f"the head has more than {MOST_HEAD_BYTES} bytes"
    if begun and not 65 <= begun[0] <= 90:
        return "the request does not begin with a method"
    return "a line ends without CRLF" if b"\n\n" in begun else None


def head_error(head: bytes) -> str | None:
    """Return the error in a whole head, including its empty line; `None` if the request may be served."""
    request_line, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if not _REQUEST_LINE.fullmatch(request_line):
        return "the request line is malformed; its target must be a path"
    if len(lines) > MOST_FIELDS:
        return f"more than {MOST_FIELDS} header fields"
    found = [_FIELD.fullmatch(line) for line in lines]
    if None in found:
        return "a header field is malformed, folded, or ends without CRLF"
    return _ambiguous_end(request_line, [(one[1].lower(), one[2].rstrip(b" \t")) for one in found if one])


def _ambiguous_end(request_line: bytes, fields: Sequence[tuple[bytes, bytes]]) -> str | None:
    values = dict(fields)
    if len(values) < len(fields) and (twice := _repeated(fields)):
        return f"{twice} occurs twice"
    length, coding = values.get(b"content-length"), values.get(b"transfer-encoding")
    if length is not None and not _LENGTH.fullmatch(length):
        return "Content-Length is not a number"
    if coding is not None and (length is not None or coding.lower() != b"chunked" or request_line.endswith(b"1.0")):
        return "Transfer-Encoding must be chunked, without Content-Length, in HTTP/1.1"
    if not request_line.startswith(b"POST ") and (coding is not None or int(length or b"0") > 0):
        return "only POST may have a body"
    return None


def _repeated(fields: Sequence[tuple[bytes, bytes]]) -> str | None:
    names = [name for name, _ in fields if name in _ONCE]
    return next((name.decode() for name in names if names.count(name) > 1), None)


class ChunkedFraming:
    """Checks the framing of a chunked body as it arrives: sizes in hexadecimal, CRLF, no extensions, no trailers."""

    def __init__(self) -> None:
        self._unread = bytearray()
        self._data_left = 0
        self._next: Literal["size", "data end", "end"] = "size"
        self._has_ended = False

    def error(self, received: bytes) -> str | None:
        """Return the error in the next bytes; `None` if they are valid; ignore bytes after the end of the body."""
        self._unread += received
        while self._unread and not self._has_ended:
            if self._data_left:
                taken = min(self._data_left, len(self._unread))
                del self._unread[:taken]
                self._data_left -= taken
            elif (length := self._line_length()) is None:
                return "a line between chunks is malformed; extensions and trailers are not served"
            elif not length:
                return None
            else:
                del self._unread[:length]
        return None

    def _line_length(self) -> int | None:
        """Return the length of the next line, 0 if it is incomplete, or `None` if it is malformed; enter the next state."""
        if self._next == "size":
            found = _CHUNK_SIZE.match(self._unread)
            if found is None:
                return 0 if _PARTIAL_CHUNK_SIZE.fullmatch(self._unread) else None
            self._data_left = int(found[1], 16)
            self._next = "data end" if self._data_left else "end"
            return found.end()
        if not self._unread.startswith(_CRLF):
            return 0 if self._unread == _CRLF[:1] else None
        self._has_ended = self._next == "end"
        self._next = "size"
        return len(_CRLF)

"""Decodes the body of a remote write: a protobuf `WriteRequest`, compressed with snappy.

WriteRequest { repeated TimeSeries timeseries = 1; }
TimeSeries   { repeated Label labels = 1; repeated Sample samples = 2; }
Label        { string name = 1; string value = 2; }
Sample       { double value = 1; int64 timestamp = 2; }   milliseconds

It checks each limit before it creates objects, because two bytes of a push can declare a whole series.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import cramjam

MOST_SERIES = 10_000
MOST_SAMPLES = 50_000
MOST_LABELS = 64
"""Limit for one series."""
MOST_LABEL_BYTES = 32 * 1024
"""Limit for all labels of one series."""
MOST_FIELDS = 500_000
"""Limit for all messages of a push, including ignored fields."""

_VARINT, _FIXED64, _SIZED = 0, 1, 2
"""Protobuf wire types."""
_MOST_VARINT_BYTES = 10


class Oversized(ValueError):
    """A push that exceeds a limit on its size or contents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A series and its newest sample."""

    labels: dict[str, str]
    """With the metric's name as `__name__`."""
    value: float
    timestamp_ms: int


def read(body: bytes) -> list[Series]:
    """Return the series in a request's body.

    Raises:
        ValueError: the body is not a remote write.
        Oversized: the body has too many series, labels, samples or fields.
    """
    try:
        return _Reader(bytes(cramjam.snappy.decompress_raw(body))).series()
    except (cramjam.DecompressionError, IndexError, struct.error) as error:
        raise ValueError(f"not a remote write: {error}") from error


def unpacked_size(body: bytes) -> int:
    """Return the declared uncompressed size of a request's body in bytes.

    Raises:
        ValueError: the body is not a remote write.
    """
    try:
        return _varint(body, 0)[0]
    except IndexError as error:
        raise ValueError("not a remote write: it ends in the middle") from error


class _Reader:
    """Decodes one message and limits its fields and samples."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._fields_left = MOST_FIELDS
        self._samples_left = MOST_SAMPLES

    def series(self) -> list[Series]:
        """Return all series of the message."""
        found: list[Series] = []
        for number, field in self._fields(0, len(self._message)):
            if number == 1 and isinstance(field, slice):
                if len(found) == MOST_SERIES:
                    raise Oversized(f"more than {MOST_SERIES} series")
                found.append(self._series(field))
        return found

    def _series(self, span: slice) -> Series:
        labels: dict[str, str] = {}
        value, timestamp_ms, label_bytes = 0.0, 0, 0
        for number, field in self._fields(span.start, span.stop):
            if number == 1 and isinstance(field, slice):
                label_bytes += field.stop - field.start
                if len(labels) == MOST_LABELS or label_bytes > MOST_LABEL_BYTES:
                    raise Oversized(
                        f"a series with more than {MOST_LABELS} labels, or {MOST_LABEL_BYTES} bytes of them"
                    )
                name, text = self._label(field)
                if name in labels:
                    raise ValueError("not a remote write: a series has a label twice")
                labels[name] = text
            elif number == 2 and isinstance(field, slice):
                self._samples_left -= 1
                if self._samples_left < 0:
                    raise Oversized(f"more than {MOST_SAMPLES} samples")
                value, timestamp_ms = self._sample(field)
        return Series(labels=labels, value=value, timestamp_ms=timestamp_ms)

    def _label(self, span: slice) -> tuple[str, str]:
        texts = {1: "", 2: ""}
        for number, field in self._fields(span.start, span.stop):
            if number in texts and isinstance(field, slice):
                texts[number] = self._message[field].decode()
        return texts[1], texts[2]

    def _sample(self, span: slice) -> tuple[float, int]:
        value, timestamp_ms = 0.0, 0  # the wire format omits zeros
        for number, field in self._fields(span.start, span.stop):
            if number == 1 and isinstance(field, slice):
                (value,) = struct.unpack("<d", self._message[field])
            elif number == 2 and isinstance(field, int):
                timestamp_ms = field - 2**64 if field >= 2**63 else field
        return value, timestamp_ms

    def _fields(self, at: int, end: int) -> Iterator[tuple[int, slice | int]]:
        """Yield the number of each field with its integer value or the position of its bytes."""
        while at < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise Oversized(f"more than {MOST_FIELDS} fields")
            key, at = _varint(self._message, at)
            wire_type = key & 7
            if wire_type == _VARINT:
                number, at = _varint(self._message, at)
                yield key >> 3, number
                continue
            if wire_type not in (_FIXED64, _SIZED):
                raise ValueError(f"not a remote write: wire type {wire_type}")
            size, at = (8, at) if wire_type == _FIXED64 else _varint(self._message, at)
            if at + size > end:
                raise ValueError("not a remote write: it ends in the middle")
            yield key >> 3, slice(at, at + size)
            at += size
        if at != end:
            raise ValueError("not a remote write: it ends in the middle")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the varint at a position, and the position after it."""
    number = 0
    for shift in range(0, 7 * _MOST_VARINT_BYTES, 7):
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number >= 2**64:
                break
            return number, at
    raise ValueError("not a remote write: a number has more than 64 bits")

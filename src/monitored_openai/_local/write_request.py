"""Reads the bytes of a remote write: snappy around protobuf's `WriteRequest`, of which only what counts is kept.

WriteRequest { repeated TimeSeries timeseries = 1; }
TimeSeries   { repeated Label labels = 1; repeated Sample samples = 2; }
Label        { string name = 1; string value = 2; }
Sample       { double value = 1; int64 timestamp = 2; }   milliseconds
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import cramjam

_VARINT, _FIXED64, _SIZED = 0, 1, 2
"""The wire types that occur."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A series and its newest sample."""

    labels: dict[str, str]
    """With the metric's name as `__name__`."""
    value: float
    timestamp_ms: int


def read(body: bytes) -> list[Series]:
    """The series in a request's body.

    Raises:
        ValueError: it is no remote write.
    """
    try:
        message = bytes(cramjam.snappy.decompress_raw(body))
        return [_series(field) for number, field in _fields(message) if number == 1 and isinstance(field, bytes)]
    except (cramjam.DecompressionError, IndexError, struct.error) as error:
        raise ValueError(f"no remote write: {error}") from error


def unpacked_size(body: bytes) -> int:
    """The bytes that a request's body says it has before compression.

    Raises:
        ValueError: it is no remote write.
    """
    try:
        return _varint(body, 0)[0]
    except IndexError as error:
        raise ValueError("no remote write: it ends in the middle") from error


def _series(message: bytes) -> Series:
    labels: dict[str, str] = {}
    value, timestamp_ms = 0.0, 0
    for number, field in _fields(message):
        if not isinstance(field, bytes):
            continue
        parts = dict(_fields(field))
        if number == 1:
            labels[_text(parts.get(1))] = _text(parts.get(2))
        elif number == 2:
            value, timestamp_ms = _double(parts.get(1)), _signed(parts.get(2))
    return Series(labels=labels, value=value, timestamp_ms=timestamp_ms)


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Number and raw value of each field of a message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire_type = key & 7
        if wire_type == _VARINT:
            number, at = _varint(message, at)
            yield key >> 3, number
            continue
        if wire_type not in (_FIXED64, _SIZED):
            raise ValueError(f"no remote write: wire type {wire_type}")
        size, at = (8, at) if wire_type == _FIXED64 else _varint(message, at)
        if at + size > len(message):
            raise ValueError("no remote write: it ends in the middle")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where the next thing begins."""
    number = shift = 0
    while True:
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at


def _text(field: bytes | int | None) -> str:
    return field.decode() if isinstance(field, bytes) else ""


def _double(field: bytes | int | None) -> float:
    value: float = struct.unpack("<d", field)[0] if isinstance(field, bytes) else 0.0  # zero is left out on the wire
    return value


def _signed(field: bytes | int | None) -> int:
    number = field if isinstance(field, int) else 0
    return number - 2**64 if number >= 2**63 else number

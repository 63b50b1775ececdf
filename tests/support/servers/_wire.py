"""Reads bodies of remote write 1.0 (protobuf wire format) into plain values."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import cramjam


@dataclass(frozen=True, slots=True)
class Series:
    """One TimeSeries of a WriteRequest."""

    labels: tuple[tuple[str, str], ...]
    """In the order of the wire."""
    samples: tuple[tuple[int, float], ...]
    """Timestamp in milliseconds, and value."""

    @property
    def name(self) -> str:
        """The metric's name, empty when there is none."""
        return dict(self.labels).get("__name__", "")


def decode(body: bytes) -> list[Series]:
    """The series of a snappy-compressed WriteRequest; ``ValueError`` for what is not one."""
    try:
        raw = bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise ValueError("snappy: corrupt input") from error
    series = []
    for field, value in _fields(raw):
        if field == 1:
            series.append(_series(_bytes(value)))
        elif field != 3:
            raise ValueError(f"WriteRequest has no field {field} in remote write 1.0")
    return series


def _series(raw: bytes) -> Series:
    labels: list[tuple[str, str]] = []
    samples: list[tuple[int, float]] = []
    for field, value in _fields(raw):
        parts = dict(_fields(_bytes(value)))
        if field == 1:
            labels.append((_bytes(parts.get(1, b"")).decode(), _bytes(parts.get(2, b"")).decode()))
        elif field == 2:
            samples.append((_int64(parts.get(2, 0)), _double(parts.get(1, b"\0" * 8))))
    return Series(tuple(labels), tuple(samples))


def _fields(raw: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Number and value of each field: an int for varints, bytes for the rest."""
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        kind = key & 7
        if kind == 0:
            number, at = _varint(raw, at)
            yield key >> 3, number
            continue
        if kind == 2:
            size, at = _varint(raw, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > len(raw):
            raise ValueError("a field ends beyond the message")
        yield key >> 3, raw[at : at + size]
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(raw):
            raise ValueError("a number ends beyond the message")
        value |= (raw[at] & 0x7F) << shift
        at += 1
        if raw[at - 1] < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")


def _bytes(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")
    return value


def _int64(value: bytes | int) -> int:
    if not isinstance(value, int):
        raise ValueError("bytes where a number belongs")
    return value - 2**64 if value >= 2**63 else value


def _double(value: bytes | int) -> float:
    return float(struct.unpack("<d", _bytes(value))[0])

"""Encodes samples as a `WriteRequest` of Prometheus remote write 1.0, without generated code. Has no state.

The four messages, with their field numbers, in protobuf's wire format:

    WriteRequest { repeated TimeSeries timeseries = 1; }
    TimeSeries   { repeated Label labels = 1; repeated Sample samples = 2; }
    Label        { string name = 1; string value = 2; }
    Sample       { double value = 1; int64 timestamp = 2; }   milliseconds

Prometheus's stale marker, a NaN with certain bits, ends a series.
Generated code would tie every user to one major version of protobuf's runtime.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import cramjam

_TIMESERIES = b"\x0a"
_LABELS = b"\x0a"
_SAMPLES = b"\x12"
_NAME = b"\x0a"
_VALUE = b"\x12"
_SAMPLE = struct.Struct("<cdc")
_DOUBLE_FIELD = b"\x09"
_TIMESTAMP_FIELD = b"\x10"
_STALE = _DOUBLE_FIELD + (0x7FF0_0000_0000_0002).to_bytes(8, "little") + _TIMESTAMP_FIELD

HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


def encode_labels(name: str, labels: Iterable[tuple[str, str]]) -> bytes:
    """Return the label part of a time series, sorted by name and without empty values. Worth caching per series."""
    pairs = sorted([("__name__", name), *((label, value) for label, value in labels if value)])
    return b"".join(
        _LABELS + _sized(_NAME + _sized(_utf8(label)) + _VALUE + _sized(_utf8(value))) for label, value in pairs
    )


def encode_series(labels: bytes, samples: Sequence[tuple[float | None, int]]) -> bytes:
    """Return one time series of a `WriteRequest`; samples are (value, milliseconds) in the order of time.

    `None` becomes the stale marker, which ends the series.
    """
    return _TIMESERIES + _sized(labels + b"".join(_SAMPLES + _sized(_sample(*sample)) for sample in samples))


def encode_push(series: Iterable[bytes]) -> bytes:
    """Return the body of a request: the time series, compressed in snappy's block format."""
    return bytes(cramjam.snappy.compress_raw(b"".join(series)))


def _sample(value: float | None, milliseconds: int) -> bytes:
    start = _STALE if value is None else _SAMPLE.pack(_DOUBLE_FIELD, value, _TIMESTAMP_FIELD)
    return start + _varint(milliseconds)


def _sized(payload: bytes) -> bytes:
    return _varint(len(payload)) + payload


def _varint(number: int) -> bytes:
    encoded = bytearray()
    number &= 0xFFFF_FFFF_FFFF_FFFF
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")

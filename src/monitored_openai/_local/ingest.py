"""Decodes pushes: series from remote write, entries from Loki's push API."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from monitored_openai._local import remote_write_decoder, strict_json
from monitored_openai._local.remote_write_decoder import MOST_LABELS, Oversized, Series

MOST_BYTES = 16 * 1024 * 1024
"""Limit for a push, both compressed and decompressed; the library's own pushes have about 1 MiB."""
MOST_LINE_BYTES = 256 * 1024
"""Limit for a line, equal to Loki's default."""
MOST_ENTRIES = 10_000
MOST_VALUES = 1_000_000
"""Limit for the JSON values in a push and in the lines of its entries together."""
_MOST_COUNT = 2.0**53
"""The largest exact counter value."""
_TIMESTAMP_NS = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedEntry:
    """One log entry of a push to Loki."""

    timestamp_ns: int
    call: Mapping[str, Any]
    """The line, decoded from JSON."""
    metadata: Mapping[str, str]
    stream: Mapping[str, str] = field(default_factory=dict)
    """The labels of its stream."""


def series_in(body: bytes) -> list[Series]:
    """Return the series in the body of a remote write.

    Raises:
        ValueError: the body is malformed, or a value is too large for a counter.
        Oversized: the body has too many bytes, series, labels, samples or fields.
    """
    if remote_write_decoder.unpacked_size(body) > MOST_BYTES:
        raise Oversized(f"more than {MOST_BYTES} bytes")
    found = remote_write_decoder.read(body)
    if any(math.isinf(series.value) or abs(series.value) > _MOST_COUNT for series in found):  # NaN ends a series
        raise ValueError("a value is too large for a counter")
    return found


def entries_in(body: bytes) -> tuple[list[ReceivedEntry], int]:
    """Return the entries in the body of a push to Loki (gzipped JSON), and the number of entries with too long lines.

    Raises:
        ValueError: the body is malformed.
        Oversized: the body has too many bytes, entries, labels or values.
    """
    text = _unzipped(body)
    free = _room_after(text, MOST_VALUES)
    entries: list[ReceivedEntry] = []
    too_long = 0
    for number, (stream, value) in enumerate(_values_of(strict_json.parse_unambiguous(text))):
        if number == MOST_ENTRIES:
            raise Oversized(f"more than {MOST_ENTRIES} entries")
        timestamp, line, metadata = _parts(value)
        encoded = line.encode("utf-8", "surrogatepass") if len(line) <= MOST_LINE_BYTES else None
        if encoded is None or len(encoded) > MOST_LINE_BYTES:
            too_long += 1
            continue
        free = _room_after(encoded, free)
        entries.append(
            ReceivedEntry(
                timestamp_ns=_nanoseconds(timestamp), call=_call(line), metadata=_labels(metadata), stream=stream
            )
        )
    return entries, too_long


def _values_of(push: Any) -> Iterator[tuple[dict[str, str], Any]]:
    """Yield each value of each stream with the stream's labels."""
    match push:
        case {"streams": list(streams)}:
            for stream in streams:
                match stream:
                    case {"stream": dict(labels), "values": list(values)}:
                        shared = _labels(labels)
                        yield from ((shared, value) for value in values)
                    case _:
                        raise ValueError("not a push to Loki: a stream is not an object with stream and values")
        case _:
            raise ValueError("not a push to Loki: it is not an object with streams")


def _parts(value: Any) -> tuple[str, str, dict[str, Any]]:
    match value:
        case [str(timestamp), str(line)]:
            return timestamp, line, {}
        case [str(timestamp), str(line), dict(metadata)]:
            return timestamp, line, metadata
        case _:
            raise ValueError("not a push to Loki: a value is not [timestamp, line, metadata]")


def _labels(labels: dict[str, Any]) -> dict[str, str]:
    if len(labels) > MOST_LABELS:
        raise Oversized(f"more than {MOST_LABELS} labels")
    if not all(isinstance(value, str) for value in labels.values()):
        raise ValueError("not a push to Loki: the value of a label is not a text")
    return labels


def _nanoseconds(text: str) -> int:
    if not _TIMESTAMP_NS.fullmatch(text):
        raise ValueError("not a push to Loki: a timestamp is not a number of nanoseconds")
    return int(text)


def _call(line: str) -> Mapping[str, Any]:
    call = strict_json.parse(line)
    if not isinstance(call, dict):
        raise ValueError("not a push to Loki: a line is not a JSON object")  # noqa: TRY004  # every wrong push is a ValueError
    return call


def _room_after(text: bytes, free: int) -> int:
    """Return how many more JSON values a push may contain after this text."""
    values = strict_json.values_in(text, free)
    if values > free:
        raise Oversized(f"more than {MOST_VALUES} JSON values")
    return free - values


def _unzipped(body: bytes) -> bytes:
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        text = unzip.decompress(body, MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"not a push to Loki: {error}") from error
    if unzip.unconsumed_tail:
        raise Oversized(f"more than {MOST_BYTES} bytes")
    if not unzip.eof or unzip.unused_data:
        raise ValueError("not a push to Loki: the body is incomplete, or bytes follow its end")
    return text

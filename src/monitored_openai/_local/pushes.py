"""What arrives in a push, as values: series from remote write, entries from Loki's push."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitored_openai._local import write_request
from monitored_openai._local.write_request import Series

MOST_BYTES = 32 * 1024 * 1024
"""Of a push, packed or not; what Prometheus 3 takes as well."""
MOST_LINE_BYTES = 256 * 1024
"""Loki's default."""


class Oversized(ValueError):
    """A push that is larger than one may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """An entry of the log as Loki has it."""

    timestamp_ns: int
    call: Mapping[str, Any]
    """The line, which is one JSON object."""
    metadata: Mapping[str, str]
    stream: Mapping[str, str] = field(default_factory=dict)
    """The labels that it has in common with others."""


def series_in(body: bytes) -> list[Series]:
    """The series in the body of a remote write.

    Raises:
        ValueError: it is none.
        Oversized: it is too large to be unpacked.
    """
    if write_request.unpacked_size(body) > MOST_BYTES:
        raise Oversized(f"more than {MOST_BYTES} bytes")
    return write_request.read(body)


def entries_in(body: bytes) -> tuple[list[LogEntry], int]:
    """The entries in the body of a push to Loki, gzipped JSON, and the number of those whose line is too long.

    Raises:
        ValueError: it is none.
        Oversized: it is too large to be unpacked.
    """
    try:
        streams = json.loads(_unzipped(body))["streams"]
        entries = [
            LogEntry(timestamp_ns=int(ns), call=_object(line), metadata=dict(*metadata), stream=dict(stream["stream"]))
            for stream in streams
            for ns, line, *metadata in stream["values"]
            if len(line) <= MOST_LINE_BYTES and len(line.encode()) <= MOST_LINE_BYTES
        ]
        return entries, sum(len(stream["values"]) for stream in streams) - len(entries)
    except (zlib.error, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no push to Loki: {error!r}") from error


def _object(line: str) -> Mapping[str, Any]:
    call = json.loads(line)
    if not isinstance(call, dict):
        raise TypeError("a line that is no JSON object")
    return call


def _unzipped(body: bytes) -> bytes:
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    text = unzip.decompress(body, MOST_BYTES)
    if unzip.unconsumed_tail:
        raise Oversized(f"more than {MOST_BYTES} bytes")
    if not unzip.eof:
        raise ValueError("no push to Loki: it ends in the middle")
    return text

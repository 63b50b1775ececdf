"""Encodes log entries as gzipped JSON for Loki's push endpoint. Has no state."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence

from monitored_openai._json import encode

HEADERS = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

_LEVEL = 1
"""Level of gzip: 28 KB of English text become 14 % larger than at the usual level 6, in a third of the time."""

_SET_BACK_NS = 300 * 10**9
"""If the clock was set back by more, entries follow it: Loki refuses an entry that is more than 10 minutes in the
future, and accepts one up to an hour behind its stream."""


def encode_entry(timestamp_ns: int, line: str, metadata: Mapping[str, str]) -> bytes:
    """Return one encoded entry, from a line without control characters, such as one of compact JSON.

    Lone surrogates become `?`, because Loki would refuse the whole request for one.
    """
    text = (
        line.encode("utf-8", "replace").replace(b"\\", rb"\\").replace(b'"', rb"\"")
    )  # half as long as `encode` takes
    return b'["%d","%b",%b]' % (timestamp_ns, text, encode(metadata))


def encode_push(streams: Sequence[tuple[Mapping[str, str], Sequence[bytes]]]) -> bytes:
    """Return the body of a request, from streams: their labels and their encoded entries in the order of time."""
    parts = (
        b'{"stream":%b,"values":[%b]}' % (encode(labels), b",".join(entries)) for labels, entries in streams if entries
    )
    return gzip.compress(b'{"streams":[%b]}' % b",".join(parts), _LEVEL, mtime=0)


def following(last_ns: int, ended_ns: int) -> int:
    """Return an entry's timestamp: its call's end, but later than the last entry's unless the clock was set back."""
    return ended_ns if last_ns - ended_ns > _SET_BACK_NS else max(ended_ns, last_ns + 1)

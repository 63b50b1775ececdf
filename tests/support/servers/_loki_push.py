"""Reads a push request to Loki; an error here refuses the whole request."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from typing import Any, Never

Labels = tuple[tuple[str, str], ...]

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_INTEGER = re.compile(r"-?[0-9]{1,19}\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Refused(Exception):
    """The answer is this status and text; ``reasons`` are the single refusals behind it."""

    def __init__(self, status: int, text: str, reasons: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.reasons = reasons or (text,)


@dataclass(frozen=True, slots=True)
class PushedEntry:
    """One line as it was sent."""

    ts: int
    line: str
    metadata: Labels

    @property
    def metadata_size(self) -> int:
        """Bytes of all names and values of the structured metadata."""
        return sum(len(name.encode()) + len(value.encode()) for name, value in self.metadata)

    @property
    def size(self) -> int:
        """Bytes of the line and its structured metadata."""
        return len(self.line.encode()) + self.metadata_size


@dataclass(frozen=True, slots=True)
class PushedStream:
    """One stream of a request: labels sorted by name, entries in the order of the wire."""

    labels: Labels
    entries: tuple[PushedEntry, ...]


def parse(headers: Mapping[str, str], body: bytes) -> list[PushedStream]:
    """The streams of a request; ``Refused`` for what Loki cannot read."""
    content_type = headers.get("content-type", "")
    if not content_type.strip():
        raise Refused(400, "mime: no media type")
    if _media_type(content_type) != "application/json":
        # Loki takes every other type for snappy-compressed protobuf, which this fake does not read.
        raise Refused(400, "snappy: corrupt input")
    raw = _decompressed(headers.get("content-encoding", ""), body)
    if not raw:
        raise Refused(400, "EOF")
    try:
        # Bytes that are not UTF-8 are replaced, not refused.
        document = json.loads(raw.decode("utf-8", "replace"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"couldn't parse push request: {error}") from error
    if not isinstance(document, dict):
        raise Refused(400, "couldn't parse push request: not an object")
    streams = document.get("streams")
    if streams is None or streams == []:
        raise Refused(422, "error at least one valid stream is required for ingestion")
    return [_stream(stream) for stream in _list(streams)]


def _media_type(content_type: str) -> str:
    message = Message()
    message["content-type"] = content_type
    return message.get_content_type()


def _decompressed(encoding: str, body: bytes) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise Refused(400, f'Content-Encoding "{encoding}" not supported')
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise Refused(400, f"gzip: {error}") from error


def _stream(given: Any) -> PushedStream:
    if not isinstance(given, dict) or not isinstance(given.get("stream", {}), dict):
        _malformed("a stream is no object")
    labels = []
    for name, value in given.get("stream", {}).items():
        if not _LABEL_NAME.match(_text(name)):
            _malformed(f"error parsing labels: unexpected character in label name {name!r}")
        labels.append((name, _text(value) if isinstance(value, str) else json.dumps(value)))
    values = given.get("values")
    return PushedStream(
        tuple(sorted(labels)), tuple(_entry(entry) for entry in _list([] if values is None else values))
    )


def _entry(given: Any) -> PushedEntry:
    if not isinstance(given, list) or len(given) not in (2, 3):
        _malformed("an entry is no array of a timestamp and a line")
    ts, line, metadata = given if len(given) == 3 else (*given, {})
    if not isinstance(ts, str) or not _INTEGER.match(ts) or not -(2**63) <= int(ts) < 2**63:
        _malformed("a timestamp is no string of nanoseconds")
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        _malformed("structured metadata is no object of strings")
    pairs = sorted((_sanitised(_text(name)), _text(value)) for name, value in metadata.items())
    return PushedEntry(int(ts), _text(line), tuple(pairs))


def _sanitised(name: str) -> str:
    """A name of structured metadata as Loki stores it: ``model.id`` becomes ``model_id``."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        _malformed("a value that is no string")
    if _SURROGATE.search(value):
        _malformed("a lone surrogate")
    return str(value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else _malformed("no array where one belongs")


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")


def _malformed(what: str) -> Never:
    raise Refused(400, f"couldn't parse push request: {what}")

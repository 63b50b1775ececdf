"""``FakeLoki``: accepts and refuses pushes as Loki 3.4 does with its default limits.

    with FakeLoki() as loki:
        ... push JSON to loki.push_url ...
        loki.fail_next(Status(503)); loki.fail_next(LoseAnswer()); loki.always = NeverAnswer()
        loki.wait_until(lambda: len(loki.entries) == 7)

It refuses a malformed request whole. It leaves out a stream or line beyond a limit, stores the rest, and replies 400.
Faults (``fail_next``, ``always``) are those of ``_faults``; ``refuse()`` and ``listen()`` close and open the port. It
keeps labels and metadata as sent; the real Loki adds ``service_name`` (unknown_service, or the job) and
``detected_level``. The real Loki also accepts protobuf; this one does not.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ._buckets import Bucket, Rate
from ._faults import BackEnd, Drip, Fault, Hold, LoseAnswer, NeverAnswer, Reset, Status
from ._loki_push import Labels, PushedEntry, PushedStream, Refused, parse
from ._loki_query import PATHS as QUERY_PATHS
from ._loki_query import answer
from ._steps import Gate, Request, whole

__all__ = [
    "STREAM_RATE",
    "TENANT_RATE",
    "Drip",
    "Entry",
    "FakeLoki",
    "Fault",
    "Gate",
    "Hold",
    "LoseAnswer",
    "NeverAnswer",
    "Rate",
    "Reset",
    "Status",
]

_PATHS = ("/loki/api/v1/push", "/api/prom/push")
_TENANT = re.compile(r"[a-zA-Z0-9!\-_.*'()]{1,150}\Z")

_MAX_LABELS, _MAX_NAME, _MAX_VALUE = 15, 1024, 2048
_MAX_LINE = 256 * 1024
_MAX_METADATA, _MAX_METADATA_SIZE = 128, 64 * 1024
_MAX_MESSAGE = 4 * 2**20
_BLOCK = 256 * 1024
_SECOND = 1_000_000_000
_TOO_OLD, _TOO_NEW, _BEHIND = 7 * 86400 * _SECOND, 600 * _SECOND, 3600 * _SECOND


TENANT_RATE = Rate(4 * 2**20, 6 * 2**20)
STREAM_RATE = Rate(3 * 2**20, 15 * 2**20)
"""Loki's defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A stored line: ``labels`` of its stream, ``ts`` in nanoseconds."""

    tenant: str
    labels: Mapping[str, str]
    ts: int
    line: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Limits:
    line: int
    metadata: int
    labels: int


@dataclass(slots=True)
class _Stream:
    newest: int = -(2**63)
    seen: set[tuple[int, str]] = field(default_factory=set)
    head: set[tuple[int, str]] = field(default_factory=set)
    head_bytes: int = 0
    bucket: Bucket | None = None


class FakeLoki(BackEnd):
    """The server; see the module's text.

    ``now_ns`` is its clock. ``auth_enabled`` asks for a tenant in ``X-Scope-OrgID``; ``basic_auth`` (user, password)
    and ``bearer`` are what a gateway in front would ask for. ``tenant_rate`` and ``stream_rate`` are off unless given.
    Without ``limits_whole_streams`` a stream's rate refuses single entries and takes the others, as Loki does where
    it does not shard streams itself. ``max_line`` in bytes, ``max_metadata`` and ``max_labels`` are numbers.
    A stream's newest ``block_bytes`` are its head block: it takes no entry twice. What is sent again later is stored
    again: queries for entries show it once, queries for numbers count it twice. With 0, that is so for everything.
    """

    def __init__(
        self,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        auth_enabled: bool = False,
        basic_auth: tuple[str, str] | None = None,
        bearer: str | None = None,
        tenant_rate: Rate | None = None,
        stream_rate: Rate | None = None,
        limits_whole_streams: bool = True,
        max_line: int = _MAX_LINE,
        max_metadata: int = _MAX_METADATA,
        max_labels: int = _MAX_LABELS,
        max_streams: int = 5000,
        block_bytes: int = _BLOCK,
        keep_requests: bool = True,
    ) -> None:
        super().__init__(keep_requests=keep_requests)
        self.entries: list[Entry] = []
        """Every entry once, in order of arrival, as queries for entries show them."""
        self.samples: list[Entry] = []
        """The same, and those again that were stored again, as queries for numbers count them."""
        self.duplicates = 0
        """Entries whose stream had the same timestamp and line already."""
        self.rejected: list[str] = []
        """Why requests, streams and lines were refused, one text for each."""
        self.now_ns = now_ns
        self._auth_enabled = auth_enabled
        self._authorization = _authorization(basic_auth, bearer)
        self._tenant_rate, self._stream_rate, self._max_streams = tenant_rate, stream_rate, max_streams
        self._limits_whole_streams = limits_whole_streams
        self._block_bytes = block_bytes
        self._limits = _Limits(max_line, max_metadata, max_labels)
        self._streams: dict[str, dict[Labels, _Stream]] = {}
        self._buckets: dict[str, Bucket] = {}

    @property
    def push_url(self) -> str:
        """Where pushes go."""
        return f"{self.url}/loki/api/v1/push"

    @property
    def streams(self) -> dict[Labels, list[Entry]]:
        """What is stored, by the stream's labels (sorted pairs), oldest first; of all tenants."""
        found: dict[Labels, list[Entry]] = {}
        for entry in tuple(self.entries):
            found.setdefault(tuple(sorted(entry.labels.items())), []).append(entry)
        return {labels: sorted(entries, key=lambda entry: entry.ts) for labels, entries in found.items()}

    async def take(self, request: Request) -> bytes:
        """Store what may be stored, and say what was not."""
        if request.path in QUERY_PATHS:
            return self._answer_query(request)
        if request.path not in _PATHS:
            return whole(404, b"404 page not found\n")
        if request.method != "POST":
            return whole(405)
        if self._authorization not in (None, request.headers.get("authorization")):
            return whole(401, b"Unauthorized\n", {"WWW-Authenticate": "Basic"})
        try:
            self._push(self._tenant(request.headers), parse(request.headers, request.body))
        except Refused as refused:
            self.rejected.extend(refused.reasons)
            return whole(refused.status, f"{refused.text}\n".encode("utf-8", "replace"))
        return whole(204)

    def _answer_query(self, request: Request) -> bytes:
        """Answer a query."""
        if self._authorization not in (None, request.headers.get("authorization")):
            return whole(401, b"Unauthorized\n", {"WWW-Authenticate": "Basic"})
        try:
            tenant = self._tenant(request.headers)
        except Refused as refused:
            return whole(refused.status, f"{refused.text}\n".encode())
        entries, samples = (
            [entry for entry in tuple(stored) if entry.tenant == tenant] for stored in (self.entries, self.samples)
        )
        return whole(*answer(request.target, entries, samples))

    def _tenant(self, headers: Mapping[str, str]) -> str:
        if not self._auth_enabled:
            return "fake"
        tenant = headers.get("x-scope-orgid", "")
        if not tenant:
            raise Refused(401, "no org id")
        if not _TENANT.match(tenant) or tenant in (".", ".."):
            raise Refused(400, f"tenant ID '{tenant}' contains unsupported character")
        return tenant

    def _push(self, tenant: str, streams: list[PushedStream]) -> None:
        now = self.now_ns()
        errors: list[tuple[str, str]] = []
        valid = [(stream, kept) for stream in streams if (kept := _within_limits(stream, now, self._limits, errors))]
        size = sum(entry.size for _, kept in valid for entry in kept)
        if self._tenant_rate is not None:
            bucket = self._buckets.setdefault(tenant, Bucket(self._tenant_rate, self._tenant_rate.burst, now))
            if not bucket.allow(size, now):
                raise Refused(429, f"Ingestion rate limit exceeded for user {tenant} while attempting {size} bytes")
        message = size + sum(len(_shown(stream.labels).encode()) for stream, _ in valid)
        if message > _MAX_MESSAGE:
            raise Refused(500, f"rpc error: received message larger than max ({message} vs. {_MAX_MESSAGE})")
        limited: list[tuple[str, str]] = []
        for stream, kept in valid:
            self._append(tenant, stream.labels, kept, now, errors, limited)
        if limited or errors:
            reasons = [text for _, text in limited + errors]
            raise Refused(429 if limited else 400, _grouped(limited or errors), reasons)

    def _append(
        self,
        tenant: str,
        labels: Labels,
        entries: list[PushedEntry],
        now: int,
        errors: list[tuple[str, str]],
        limited: list[tuple[str, str]],
    ) -> None:
        shown = _shown(labels)
        streams = self._streams.setdefault(tenant, {})
        stream = streams.get(labels)
        if stream is None:
            if len(streams) >= self._max_streams:
                text = f"Maximum active stream limit exceeded when trying to create stream {shown}"
                limited.append(("streams", text))
                return
            rate = self._stream_rate
            stream = _Stream(bucket=None if rate is None else Bucket(rate, rate.burst, now))
            streams[labels] = stream
        size = sum(entry.size for entry in entries)
        refusal = ("stream rate", _over_rate(self._stream_rate, shown, size))
        if stream.bucket is not None and self._limits_whole_streams and not stream.bucket.allow(size, now):
            limited.append(refusal)
            return
        for entry in entries:
            bucket = None if self._limits_whole_streams else stream.bucket
            if bucket is not None and not bucket.allow(entry.size, now):
                limited.append(refusal)
                continue
            if entry.ts < stream.newest - _BEHIND:
                errors.append(("behind", f"entry too far behind for stream '{shown}', entry timestamp is: {entry.ts}"))
                continue
            stream.newest = max(stream.newest, entry.ts)
            key = (entry.ts, entry.line)
            if key in stream.seen:
                self.duplicates += 1
            if key in stream.head:
                continue
            metadata = dict(entry.metadata)
            stored = Entry(tenant=tenant, labels=dict(labels), ts=entry.ts, line=entry.line, metadata=metadata)
            self.samples.append(stored)
            if key not in stream.seen:
                self.entries.append(stored)
            stream.seen.add(key)
            stream.head.add(key)
            stream.head_bytes += entry.size
            if stream.head_bytes >= self._block_bytes:
                stream.head.clear()
                stream.head_bytes = 0


def _within_limits(stream: PushedStream, now: int, limits: _Limits, errors: list[tuple[str, str]]) -> list[PushedEntry]:
    """The entries of a stream that pass; none when its labels do not."""
    shown = _shown(stream.labels)
    counted = sum(name != "service_name" for name, _ in stream.labels)
    if stream.entries and counted > limits.labels:
        errors.append(("labels", f"entry for stream '{shown}' has {counted} label names; limit {limits.labels}"))
        return []
    for name, value in stream.labels if stream.entries else ():
        if len(name) > _MAX_NAME:
            errors.append(("name", f"stream '{shown}' has label name too long: '{name}'"))
            return []
        if len(value.encode()) > _MAX_VALUE:
            errors.append(("value", f"stream '{shown}' has label value too long: '{value}'"))
            return []
    kept = []
    for entry in stream.entries:
        found = _entry_error(entry, shown, now, limits)
        if found is None:
            kept.append(entry)
        else:
            errors.append(found)
    return kept


def _entry_error(entry: PushedEntry, shown: str, now: int, limits: _Limits) -> tuple[str, str] | None:
    if entry.ts < now - _TOO_OLD:
        return "old", f"entry for stream '{shown}' has timestamp too old: {entry.ts}"
    if entry.ts > now + _TOO_NEW:
        return "new", f"entry for stream '{shown}' has timestamp too new: {entry.ts}"
    size = len(entry.line.encode())
    if size > limits.line:
        return "line", f"Max entry size '{limits.line}' bytes exceeded for stream '{shown}' with length '{size}' bytes"
    if entry.metadata_size > _MAX_METADATA_SIZE:
        return "metadata size", f"stream '{shown}' has structured metadata too large: '{entry.metadata_size}' bytes"
    if len(entry.metadata) > limits.metadata:
        return "metadata count", f"stream '{shown}' has too many structured metadata labels: '{len(entry.metadata)}'"
    return None


def _over_rate(rate: Rate | None, shown: str, size: int) -> str:
    limit = 0 if rate is None else rate.per_second
    return (
        f"Per stream rate limit exceeded (limit: {limit}B/sec) while attempting to ingest for stream '{shown}' "
        f"totaling {size}B, consider splitting a stream via additional labels"
    )


def _grouped(errors: list[tuple[str, str]]) -> str:
    """One line for each kind of error: how many, and the first of them whole."""
    kinds = dict.fromkeys(kind for kind, _ in errors)
    lines = []
    for kind in kinds:
        texts = [text for of, text in errors if of == kind]
        lines.append(f"{len(texts)} errors like: {texts[0]}")
    return "\n".join(lines)


def _shown(labels: Labels) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"


def _authorization(basic: tuple[str, str] | None, bearer: str | None) -> str | None:
    if basic is not None:
        return "Basic " + base64.b64encode(":".join(basic).encode()).decode()
    return None if bearer is None else f"Bearer {bearer}"

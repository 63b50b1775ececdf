"""``FakeInflux``: accepts Influx line protocol as a strict receiver for Prometheus does.

    with FakeInflux() as influx:
        ... send to influx.write_url ...

It refuses a whole request (400) for one malformed line, or for a sample that is not later than the last one of its
series. A timestamp that is not nanoseconds of this century makes a line malformed, and so does a repeated tag. Each
refusal is a violation.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator

from ._faults import BackEnd, Drip, Fault, Hold, LoseAnswer, NeverAnswer, Reset, Status
from ._steps import Reply, Request, whole
from ._wire import Series

__all__ = [
    "Drip",
    "FakeInflux",
    "Fault",
    "Hold",
    "LoseAnswer",
    "NeverAnswer",
    "Reset",
    "Series",
    "Status",
    "read_lines",
]

_PART = re.compile(r"(?:[^\\,= ]|\\[\s\S])+")
_ESCAPED = re.compile(r"\\([,= ])")
_VALUE = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?i?")
_NANOSECONDS = re.compile(r"1\d{18}")


class FakeInflux(BackEnd):
    """The receiver; see the module's text."""

    def __init__(self, *, keep_requests: bool = True) -> None:
        super().__init__(keep_requests=keep_requests)
        self.received: list[list[Series]] = []
        """The series of every request that could be read, in order, stored or not."""
        self.stored: list[list[Series]] = []
        """The series of the requests that were taken in."""
        self.violations: list[str] = []
        """What broke a rule, in words."""
        self._last: dict[tuple[tuple[str, str], ...], int] = {}
        self._last_body = b""

    @property
    def write_url(self) -> str:
        """Where senders push to."""
        return f"{self.url}/write"

    async def respond(self, request: Request) -> Reply:
        """Check the rules, then answer or fail."""
        if request.headers.get("content-encoding") != "gzip":
            self.violations.append("header content-encoding: not gzip")
        try:
            self.received.append(read_lines(request.body))
        except ValueError as error:
            self.violations.append(f"body: {error}")
        return await super().respond(request)

    async def take(self, request: Request) -> bytes:
        """Store."""
        try:
            series = read_lines(request.body)
        except ValueError as error:
            return whole(400, f"{error}\n".encode())
        late = [] if request.body == self._last_body else list(self._late(series))
        if late:
            self.violations.extend(late)
            return whole(400, b"out of order sample\n")
        self._last_body = request.body
        self.stored.append(series)
        self._last.update((one.labels, ts) for one in series for ts, _ in one.samples)
        return whole(204)

    def _late(self, batch: list[Series]) -> Iterator[str]:
        last = dict(self._last)
        for series in batch:
            for ts, _ in series.samples:
                if ts <= last.get(series.labels, ts - 1):
                    yield f"{series.name}{dict(series.labels)}: sample at {ts} after one at {last[series.labels]}"
                last[series.labels] = ts


def read_lines(body: bytes) -> list[Series]:
    """The points of a gzipped body in the order of its lines; ``ValueError`` for what is none."""
    try:
        text = gzip.decompress(body).decode()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError("not gzip") from error
    if not text.endswith("\n"):
        raise ValueError("the last line does not end")
    return [_point(line) for line in text[:-1].split("\n")]


def _point(line: str) -> Series:
    measurement, at = _part(line, 0)
    tags = []
    while line[at : at + 1] == ",":
        key, at = _part(line, at + 1)
        if line[at : at + 1] != "=":
            raise ValueError(f"no value for the tag {key!r} in {line!r}")
        value, at = _part(line, at + 1)
        tags.append((key, value))
    field, equals, rest = line[at + 1 :].partition("=")
    value, space, stamp = rest.partition(" ")
    if line[at : at + 1] != " " or not (equals and space and _VALUE.fullmatch(value) and _NANOSECONDS.fullmatch(stamp)):
        raise ValueError(f"no field, no number or no nanoseconds in {line!r}")
    if len(dict(tags)) != len(tags):
        raise ValueError(f"a tag twice in {line!r}")
    labels = (("__name__", f"{measurement}_{field}"), *tags)
    return Series(labels=labels, samples=((int(stamp) // 1_000_000, float(value)),))


def _part(line: str, at: int) -> tuple[str, int]:
    match = _PART.match(line, at)
    if match is None:
        raise ValueError(f"a name or a value is missing at {at} in {line!r}")
    return _ESCAPED.sub(r"\1", match[0]), match.end()

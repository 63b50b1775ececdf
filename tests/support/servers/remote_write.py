"""``RemoteWriteProxy``: checks the rules of remote write 1.0, alone or as a proxy of a Prometheus.

    with RemoteWriteProxy() as proxy:                       # alone: 204, or 400 to what is out of order or no request
    with RemoteWriteProxy(prometheus.url) as proxy:         # passes on, and answers as the Prometheus did
        ... send to proxy.write_url ...
        proxy.fail_next(Status(503, {"Retry-After": "1"}), times=2); proxy.fail_next(LoseAnswer())
        assert not proxy.violations

Faults (``fail_next``, ``always``) are those of ``_faults``; ``refuse()`` and ``listen()`` close and open the port.
The proxy checks every request that arrives, even one that it then fails. Samples of a series must be later than the
stored ones. A sender that got no reply in time may repeat a request, with or without the zeros that begin new series,
until newer samples of these series are stored: the newest samples of the repetition change nothing, and a Prometheus
refuses the zeros.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import urlsplit

from ._buckets import Bucket, Rate
from ._faults import BackEnd, Drip, Fault, Hold, LoseAnswer, NeverAnswer, Reset, Status, post
from ._steps import Gate, Reply, Request, whole
from ._wire import Series, decode

__all__ = [
    "Drip",
    "Fault",
    "Gate",
    "Hold",
    "LoseAnswer",
    "NeverAnswer",
    "Rate",
    "RemoteWriteProxy",
    "Reset",
    "Series",
    "Status",
]

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_HEADERS = {
    "content-encoding": "snappy",
    "content-type": "application/x-protobuf",
    "x-prometheus-remote-write-version": "0.1.0",
}
_PATHS = {"/api/v1/write": 204, "/api/v1/push": 200, "/api/prom/push": 200}
"""Where Prometheus, Mimir and Grafana Cloud take remote write, and with what status."""
_MAX_LABELS, _MAX_VALUE = 30, 2048
"""The default limits of Mimir and Cortex for labels of a series and bytes of a label's value."""

Labels = tuple[tuple[str, str], ...]


class RemoteWriteProxy(BackEnd):
    """The proxy; see the module's text. ``upstream`` is the URL of a Prometheus, without a path.

    ``rate`` limits the samples, as Mimir does: a request beyond it is refused whole, by 429.
    """

    def __init__(self, upstream: str | None = None, *, rate: Rate | None = None, keep_requests: bool = True) -> None:
        super().__init__(keep_requests=keep_requests)
        self._upstream = upstream
        self.received: list[list[Series]] = []
        """The series of every request that could be decoded, in order, stored or not."""
        self.stored: list[list[Series]] = []
        """The series of the requests that were taken in and, with an upstream, answered with 2xx by it."""
        self.statuses: list[int] = []
        """What the upstream (or the proxy alone) answered to the requests that reached it."""
        self.refusals: list[str] = []
        """Statuses and texts of the answers that were no success, but for those to repetitions."""
        self.violations: list[str] = []
        """What broke a rule, in words."""
        self._bucket = None if rate is None else Bucket(rate, rate.burst, time.time_ns())
        self._last: dict[Labels, int] = {}
        self._sent: set[int] = set()
        """Hashes of the newest samples in each request taken in or passed on."""

    @property
    def write_url(self) -> str:
        """Where senders push to."""
        return f"{self.url}/api/v1/write"

    def latest(self, name: str) -> dict[Labels, float]:
        """The newest stored value of each series of a metric, by its labels without the name, sorted."""
        newest: dict[Labels, float] = {}
        for series in (one for batch in tuple(self.stored) for one in batch):
            if series.name == name and series.samples:
                newest[tuple(sorted(pair for pair in series.labels if pair[0] != "__name__"))] = series.samples[-1][1]
        return newest

    def total(self, name: str, **labels: str) -> float:
        """The sum of ``latest`` over the series that have these labels."""
        return sum(value for key, value in self.latest(name).items() if labels.items() <= set(key))

    async def respond(self, request: Request) -> Reply:
        """Check the rules, then answer or fail."""
        self.violations.extend(_header_violations(request))
        try:
            series = decode(request.body)
        except ValueError as error:
            self.violations.append(f"body: {error}")
        else:
            self.received.append(series)
            self.violations.extend(v for one in series for v in _series_violations(one))
        return await super().respond(request)

    async def take(self, request: Request) -> bytes:
        """Store, or pass on."""
        if request.method != "POST" or request.path not in _PATHS:
            return whole(404, b"404 page not found\n")
        try:
            series = decode(request.body)
        except ValueError as error:
            return self._answered(whole(400, f"{error}\n".encode()))
        samples = sum(len(one.samples) for one in series)
        if self._bucket is not None and not self._bucket.allow(samples, time.time_ns()):
            text = b"the request has been rejected because the tenant exceeded the ingestion rate limit\n"
            return self._answered(whole(429, text))
        newest = {tuple(sorted(one.labels)): one.samples[-1] for one in series if one.samples}
        sent = hash(repr(sorted(newest.items())))
        is_repeated = sent in self._sent and all(self._last.get(key, 0) <= ts for key, (ts, _) in newest.items())
        self._sent.add(sent)
        late = [] if is_repeated else list(self._order_violations(series))
        self.violations.extend(late)
        answer = whole(400, b"out of order sample\n") if late else whole(_PATHS[request.path])
        if self._upstream is not None:
            to = urlsplit(self._upstream)
            answer = await post(to.hostname or "", to.port or 80, request, "/api/v1/write")
        if self._answered(answer, is_repeated=is_repeated).startswith(b"HTTP/1.1 2"):
            self.stored.append(series)
            for one in series:
                for ts, _ in one.samples:
                    key = tuple(sorted(one.labels))
                    self._last[key] = max(ts, self._last.get(key, ts))
        return answer

    def _answered(self, answer: bytes, *, is_repeated: bool = False) -> bytes:
        """Note an answer's status, and its text where it is no success."""
        status = int(answer.split(b" ", 2)[1])
        self.statuses.append(status)
        if not (200 <= status < 300 or is_repeated):
            text = answer.partition(b"\r\n\r\n")[2].decode(errors="replace")
            self.refusals.append(f"{status} {text}")
        return answer

    def _order_violations(self, batch: list[Series]) -> Iterator[str]:
        for series in batch:
            key = tuple(sorted(series.labels))
            for ts, _ in series.samples:
                if ts <= self._last.get(key, ts - 1):
                    yield f"{series.name}{dict(key)}: sample at {ts} after one at {self._last[key]}"


def _header_violations(request: Request) -> Iterator[str]:
    for name, wanted in _HEADERS.items():
        if request.headers.get(name) != wanted:
            yield f"header {name}: {request.headers.get(name)!r} instead of {wanted!r}"
    if not request.headers.get("user-agent"):
        yield "header user-agent: missing"


def _series_violations(series: Series) -> Iterator[str]:
    names = [name for name, _ in series.labels]
    where = f"series {series.labels!r:.200}"
    if names != sorted(names, key=str.encode):
        yield f"{where}: labels not sorted"
    if len(set(names)) != len(names):
        yield f"{where}: label name repeated"
    if not _METRIC.match(series.name):
        yield f"{where}: illegal metric name {series.name!r}"
    if len(names) > _MAX_LABELS:
        yield f"{where}: {len(names)} labels"
    for name, value in series.labels:
        if not _LABEL.match(name) or (name.startswith("__") and name != "__name__"):
            yield f"{where}: illegal label name {name!r}"
        if not value:
            yield f"{where}: empty value of {name!r}"
        if len(value.encode()) > _MAX_VALUE:
            yield f"{where}: value of {name!r} too long"
    if not series.samples:
        yield f"{where}: no sample"
    stamps = [ts for ts, _ in series.samples]
    if any(later <= earlier for earlier, later in pairwise(stamps)):
        yield f"{where}: samples not in the order of time"

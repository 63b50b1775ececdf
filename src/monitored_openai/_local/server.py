"""The server of the local page: receives pushes, serves the page and its data, and answers queries."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, get_args
from urllib.parse import parse_qs, unquote

from monitored_openai._json import encode
from monitored_openai._local import calls, counters
from monitored_openai._local.call_columns import GroupKey
from monitored_openai._local.history import History
from monitored_openai._local.http.auth import SECURITY_HEADERS, request_error
from monitored_openai._local.http.connection import Connection, Timeouts
from monitored_openai._local.http.rejections import HTTPError
from monitored_openai._local.http.server import Server
from monitored_openai._local.ingest import entries_in, series_in
from monitored_openai._local.overview import overview
from monitored_openai._local.percentiles import from_stored_calls
from monitored_openai._local.query import queries
from monitored_openai._local.remote_write_decoder import Oversized
from monitored_openai._local.stored_times import StoredTimes
from monitored_openai._local.time_range import PRESETS, TimeRange, between, until_now

METRICS_PATH, LOGS_PATH = "/api/v1/write", "/loki/api/v1/push"

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "txt": "text/plain"}
_JSON, _PLAIN = {"Content-Type": "application/json"}, {"Content-Type": "text/plain; charset=utf-8"}
_LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_MOST_CALLS = 200
_MOST_ANSWERS_AT_ONCE = 2
_WAIT_SECONDS = 20.0
_MOST_LABELS = 20
_MOST_NS = 2**63 - 1


class LocalServer(Server):
    """Serves one history."""

    def __init__(
        self,
        history: History,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        timeouts: Timeouts | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        """Serve the history; with a token, each request must contain it, and the host may be any local address.

        Raises:
            OSError: the host is not an address of this machine, or the port is in use.
        """
        super().__init__(host, port, timeouts=timeouts, report=report)
        self._history = history
        self._stored_times = StoredTimes(history)
        self._token = token
        self._ingest_lock = threading.Lock()
        self._computing = threading.BoundedSemaphore(_MOST_ANSWERS_AT_ONCE)

    def error_headers(self, status: int) -> Mapping[str, str]:
        """Return the security headers, and for 401 the header that makes a browser prompt for the token."""
        asks = {"WWW-Authenticate": 'Basic realm="monitored-openai", charset="UTF-8"'} if status == 401 else {}
        return {**SECURITY_HEADERS, **_PLAIN, **asks}

    def serve(self, connection: Connection) -> None:
        """Respond to a request."""
        try:
            self._check(connection)
            if connection.command == "POST":
                self._handle_post(connection)
            else:
                self._handle_get(connection)
        except sqlite3.OperationalError as error:  # the disk is full, or another process holds the lock for too long
            raise HTTPError(503, f"the history cannot be used now: {error}") from error

    def _check(self, connection: Connection) -> None:
        if refused := request_error(connection.headers, self._token):
            raise HTTPError(*refused)

    @contextmanager
    def _room_for_answer(self, connection: Connection) -> Iterator[None]:
        """Wait until few other answers are being computed, and reserve memory for this one."""
        if not self._computing.acquire(timeout=_WAIT_SECONDS):
            raise HTTPError(503, "too many answers are being computed; try again")
        try:
            connection.reserve_response(queries.MOST_RESULT_BYTES)
            yield
        finally:
            self._computing.release()

    def _handle_post(self, connection: Connection) -> None:
        path = connection.path.partition("?")[0]
        if path == queries.VECTOR_PATH:
            form = connection.body(queries.MOST_QUERY_BYTES).decode("utf-8", "replace")
            self._send_query_result(connection, path, form)
            return
        keep = {METRICS_PATH: self._keep_series, LOGS_PATH: self._keep_entries}.get(path)
        if keep is None:
            raise HTTPError(404, f"pushes go to {METRICS_PATH} and {LOGS_PATH}")
        body = connection.body()
        try:
            with self._ingest_lock:  # the history has one writer, and one decoded push at a time bounds the memory
                too_long = keep(body)
        except ValueError as error:
            raise HTTPError(413 if isinstance(error, Oversized) else 400, str(error)) from error
        if too_long:
            raise HTTPError(400, f"{too_long} lines are too long, the others were accepted")
        connection.reply(204, headers=SECURITY_HEADERS)

    def _keep_series(self, body: bytes) -> int:
        counters.keep(self._history, series_in(body))
        return 0

    def _keep_entries(self, body: bytes) -> int:
        entries, too_long = entries_in(body)
        calls.keep(self._history, entries)
        return too_long

    def _handle_get(self, connection: Connection) -> None:
        path, _, query = connection.path.partition("?")
        parameters = {name: those[-1] for name, those in parse_qs(query, keep_blank_values=True).items()}
        if path == "/api/overview":
            self._send_overview(connection, parameters)
        elif path == "/api/status":
            status = {"connections": self.connections, "refused": self.rejections.counts}
            connection.reply(200, encode(status), {**SECURITY_HEADERS, **_JSON})
        elif path == "/api/groups":
            by = _one_of(GroupKey, parameters.pop("by", ""))
            chosen = _call_filter(parameters)
            with self._room_for_answer(connection):
                body = encode(calls.groups(self._history, chosen, by))
            connection.reply(200, body, {**SECURITY_HEADERS, **_JSON})
        elif path == "/api/calls":
            whole = parameters.pop("whole", "") == "1"
            chosen = _call_filter(parameters)
            with self._room_for_answer(connection):
                body = b"[%b]" % b",".join(calls.search(self._history, chosen, whole=whole))
            connection.reply(200, body, {**SECURITY_HEADERS, **_JSON})
        elif path == "/api/count":
            chosen = _call_filter(parameters)
            with self._room_for_answer(connection):
                body = encode({"calls": calls.count(self._history, chosen)})
            connection.reply(200, body, {**SECURITY_HEADERS, **_JSON})
        elif path.startswith("/api/calls/"):
            with self._room_for_answer(connection):
                call = calls.details(self._history, unquote(path.removeprefix("/api/calls/")))
            if call is None:
                raise HTTPError(404, "the history does not have this call")
            connection.reply(200, call, {**SECURITY_HEADERS, **_JSON})
        elif path in queries.PATHS:
            self._send_query_result(connection, path, query)
        else:
            _send_asset(connection, path)

    def _send_query_result(self, connection: Connection, path: str, form: str) -> None:
        """Send the result of a query of `monitored-openai report`, `top` or `tail`."""
        try:
            fields = parse_qs(form, keep_blank_values=True, max_num_fields=20)
            with self._room_for_answer(connection):
                body = queries.PATHS[path](self._history, {name: those[-1] for name, those in fields.items()})
        except (ValueError, OverflowError) as error:
            raise HTTPError(413 if isinstance(error, Oversized) else 400, str(error)) from error
        connection.reply(200, body, {**SECURITY_HEADERS, **_JSON})

    def _send_overview(self, connection: Connection, parameters: dict[str, str]) -> None:
        """Send the overview, or 304 if the page's copy is current: no new data and no new time step."""
        now = time.time()
        over = _range(now, parameters)
        tag = f'"{id(self):x}-{self._history.version}-{over.start}-{over.end}"'
        headers = {**SECURITY_HEADERS, **_JSON, "ETag": tag}
        if connection.headers.get("if-none-match") == tag:
            connection.reply(304, headers=headers)
            return
        by, where = parameters.pop("by", "model"), _where(parameters)
        with self._room_for_answer(connection):
            with counters.growth(self._history, since=over.start, until=over.end, step=over.step) as read:
                found = overview(read, now=now, over=over, by=by, where=where)
            found = from_stored_calls(self._stored_times, found, over=over, by=by, where=where)
            body = encode({**found, "oldest": counters.oldest(self._history)})
        connection.reply(200, body, headers)


def _range(now: float, parameters: dict[str, str]) -> TimeRange:
    """Return the range of `seconds` until now, or of `from` and `to`, in seconds since the epoch."""
    seconds, start, end = (parameters.pop(name, "") for name in ("seconds", "from", "to"))
    if start or end:
        numbers = [int(text) for text in (start, end) if text.isdecimal() and len(text) < 12]
        over = between(now, *numbers) if len(numbers) == 2 else None  # a start and an end
        if over is None:
            raise HTTPError(400, "from and to must be seconds since the epoch, within the 32 days of the history")
        return over
    length = int(seconds) if seconds.isdecimal() and len(seconds) < 12 else 0
    if length not in PRESETS:
        raise HTTPError(400, f"seconds must be one of {', '.join(map(str, PRESETS))}")
    return until_now(now, length)


def _call_filter(parameters: dict[str, str]) -> calls.CallFilter:
    words, limit = parameters.pop("q", ""), parameters.pop("limit", "")
    since, until = parameters.pop("since_ns", ""), parameters.pop("until_ns", "")
    order = _one_of(calls.Order, parameters.pop("order", "time"))
    groups = [name for name in parameters if name.startswith("group.")]
    group = [(_one_of(GroupKey, name.removeprefix("group.")), parameters.pop(name)) for name in groups]
    before, before_id = parameters.pop("before", ""), parameters.pop("before_id", "")
    failed = parameters.pop("failed", "") == "1"
    return calls.CallFilter(
        words=tuple(words.split()[:20]),
        failed=failed,
        since_ns=_nanoseconds(since) or 0,
        until_ns=_nanoseconds(until),
        group=group[0] if group else None,
        order=order,
        before=None if (before_ns := _nanoseconds(before)) is None else (before_ns, before_id),
        limit=min(int(limit), _MOST_CALLS) if limit.isdecimal() and len(limit) < 9 else 50,
        where=_where(parameters),
    )


def _one_of(names: Any, name: str) -> Any:
    """Return a name if it is one of a literal type."""
    if name not in get_args(names):
        raise HTTPError(400, f"{name!r} is not one of {', '.join(get_args(names))}")
    return name


def _nanoseconds(text: str) -> int | None:
    return min(int(text), _MOST_NS) if text.isdecimal() and len(text) < 20 else None


def _where(parameters: dict[str, str]) -> dict[str, str]:
    """Return the label filters: all parameters that are left, by their names without the prefix `is.`."""
    parameters = {name.removeprefix("is."): value for name, value in parameters.items()}
    if wrong := next((name for name in parameters if not _LABEL_NAME.fullmatch(name)), None):
        raise HTTPError(400, f"{wrong!r} is not the name of a label")
    if len(parameters) > _MOST_LABELS:
        raise HTTPError(400, f"more than {_MOST_LABELS} labels")
    return parameters


def _send_asset(connection: Connection, path: str) -> None:
    name = path.removeprefix("/") or "index.html"
    asset = next((one for one in files(f"{__package__}.page").iterdir() if one.name == name and one.is_file()), None)
    kind = _TYPES.get(name.rpartition(".")[2])
    if asset is None or kind is None:
        raise HTTPError(404, "no page has this address")
    connection.reply(200, asset.read_bytes(), {**SECURITY_HEADERS, "Content-Type": f"{kind}; charset=utf-8"})

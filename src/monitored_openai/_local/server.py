"""The server of the local page: takes pushes, answers the page's questions, and hands out the page itself."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from importlib.resources import files
from urllib.parse import parse_qs, unquote

from monitored_openai._json import encode
from monitored_openai._local import calls, counters
from monitored_openai._local.history import History
from monitored_openai._local.http.auth import SECURITY_HEADERS, refusal
from monitored_openai._local.http.server import Server
from monitored_openai._local.http.connection import Exchange, Patience
from monitored_openai._local.http.rejections import Refusal
from monitored_openai._local.ingest import entries_in, series_in
from monitored_openai._local.overview import STEPS, first_step, overview
from monitored_openai._local.query import queries
from monitored_openai._local.remote_write_decoder import Oversized

METRICS_PATH, LOGS_PATH = "/api/v1/write", "/loki/api/v1/push"

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "txt": "text/plain"}
_JSON, _PLAIN = {"Content-Type": "application/json"}, {"Content-Type": "text/plain; charset=utf-8"}
_LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_MOST_CALLS = 200
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
        patience: Patience | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        """With a token, only those who have it are answered, and the host may be any of this machine's addresses.

        Raises:
            OSError: the host is none of this machine's, or the port is taken.
        """
        super().__init__(host, port, patience=patience, report=report)
        self._history = history
        self._token = token
        self._taking = threading.Lock()

    def headers_of_refusal(self, status: int) -> Mapping[str, str]:
        """Return the security headers, and for 401 the one that makes a browser ask for the token."""
        asks = {"WWW-Authenticate": 'Basic realm="monitored-openai", charset="UTF-8"'} if status == 401 else {}
        return {**SECURITY_HEADERS, **_PLAIN, **asks}

    def serve(self, exchange: Exchange) -> None:
        """Answer a request."""
        try:
            self._check(exchange)
            if exchange.command == "POST":
                self._take(exchange)
            else:
                self._tell(exchange)
        except sqlite3.OperationalError as error:  # the disk is full, or another process writes for very long
            raise Refusal(503, f"the history cannot be used now: {error}") from error

    def _check(self, exchange: Exchange) -> None:
        headers = exchange.headers
        refused = refusal(
            host=headers.get("host", ""),
            origin=headers.get("origin"),
            authorization=headers.get("authorization", ""),
            token=self._token,
        )
        if refused:
            raise Refusal(*refused)

    def _take(self, exchange: Exchange) -> None:
        path = exchange.path.partition("?")[0]
        if path == queries.VECTOR_PATH:
            self._answer_query(exchange, path, exchange.body().decode("utf-8", "replace"))
            return
        keep = {METRICS_PATH: self._keep_series, LOGS_PATH: self._keep_entries}.get(path)
        if keep is None:
            raise Refusal(404, f"pushes go to {METRICS_PATH} and {LOGS_PATH}")
        body = exchange.body()
        try:
            with self._taking:  # the history has one writer, and the memory of one decoded push is bounded
                too_long = keep(body)
        except ValueError as error:
            raise Refusal(413 if isinstance(error, Oversized) else 400, str(error)) from error
        if too_long:
            raise Refusal(400, f"{too_long} lines are too long, the others were taken")
        exchange.reply(204, headers=SECURITY_HEADERS)

    def _keep_series(self, body: bytes) -> int:
        counters.keep(self._history, series_in(body))
        return 0

    def _keep_entries(self, body: bytes) -> int:
        entries, too_long = entries_in(body)
        calls.keep(self._history, entries)
        return too_long

    def _tell(self, exchange: Exchange) -> None:
        path, _, query = exchange.path.partition("?")
        asked = {name: those[-1] for name, those in parse_qs(query, keep_blank_values=True).items()}
        if path == "/api/overview":
            self._tell_if_new(exchange, _seconds(asked.pop("seconds", "")), asked)
        elif path == "/api/status":
            status = {"connections": self.connections, "refused": self.refusals.counts}
            exchange.reply(200, encode(status), {**SECURITY_HEADERS, **_JSON})
        elif path == "/api/calls":
            rows = calls.found(self._history, _wanted(asked))
            exchange.reply(200, b"[%b]" % b",".join(rows), {**SECURITY_HEADERS, **_JSON})
        elif path.startswith("/api/calls/"):
            call = calls.opened(self._history, unquote(path.removeprefix("/api/calls/")))
            if call is None:
                raise Refusal(404, "there is no such call, or not any more")
            exchange.reply(200, call, {**SECURITY_HEADERS, **_JSON})
        elif path in queries.PATHS:
            self._answer_query(exchange, path, query)
        else:
            _hand_out(exchange, path)

    def _answer_query(self, exchange: Exchange, path: str, form: str) -> None:
        """Answer a query of `monitored-openai report`, `top` or `tail`."""
        asked = {name: those[-1] for name, those in parse_qs(form, keep_blank_values=True, max_num_fields=20).items()}
        try:
            body = queries.PATHS[path](self._history, asked)
        except (ValueError, OverflowError) as error:
            raise Refusal(400, str(error)) from error
        exchange.reply(200, body, {**SECURITY_HEADERS, **_JSON})

    def _tell_if_new(self, exchange: Exchange, seconds: int, asked: dict[str, str]) -> None:
        """The overview, unless it is what the page has: nothing was added and no step of time began."""
        now = time.time()
        tag = f'"{id(self):x}-{self._history.version}-{first_step(now, seconds)}"'
        headers = {**SECURITY_HEADERS, **_JSON, "ETag": tag}
        if exchange.headers.get("if-none-match") == tag:
            exchange.reply(304, headers=headers)
            return
        grown = counters.growth(self._history, since=first_step(now, seconds), step=STEPS[seconds])
        by = asked.pop("by", "model")
        exchange.reply(200, encode(overview(grown, now=now, seconds=seconds, by=by, where=_where(asked))), headers)


def _seconds(text: str) -> int:
    seconds = int(text) if text.isdecimal() and len(text) < 12 else 0
    if seconds not in STEPS:
        raise Refusal(400, f"seconds must be one of {', '.join(map(str, STEPS))}")
    return seconds


def _wanted(asked: dict[str, str]) -> calls.Wanted:
    words, limit = asked.pop("q", ""), asked.pop("limit", "")
    since = asked.pop("since_ns", "")
    before, before_id = asked.pop("before", ""), asked.pop("before_id", "")
    failed = asked.pop("failed", "") == "1"
    return calls.Wanted(
        words=tuple(words.split()[:20]),
        failed=failed,
        since_ns=_nanoseconds(since) or 0,
        before=None if (before_ns := _nanoseconds(before)) is None else (before_ns, before_id),
        limit=min(int(limit), _MOST_CALLS) if limit.isdecimal() and len(limit) < 9 else 50,
        where=_where(asked),
    )


def _nanoseconds(text: str) -> int | None:
    return min(int(text), _MOST_NS) if text.isdecimal() and len(text) < 20 else None


def _where(asked: dict[str, str]) -> dict[str, str]:
    """The labels that are asked for: each name that has no other meaning, and each after `is.`, whatever it is."""
    asked = {name.removeprefix("is."): value for name, value in asked.items()}
    if wrong := next((name for name in asked if not _LABEL_NAME.fullmatch(name)), None):
        raise Refusal(400, f"{wrong!r} is no label")
    if len(asked) > _MOST_LABELS:
        raise Refusal(400, f"more than {_MOST_LABELS} labels")
    return asked


def _hand_out(exchange: Exchange, path: str) -> None:
    name = path.removeprefix("/") or "index.html"
    asset = next((one for one in files(f"{__package__}.page").iterdir() if one.name == name and one.is_file()), None)
    kind = _TYPES.get(name.rpartition(".")[2])
    if asset is None or kind is None:
        raise Refusal(404, "there is no such page")
    exchange.reply(200, asset.read_bytes(), {**SECURITY_HEADERS, "Content-Type": f"{kind}; charset=utf-8"})

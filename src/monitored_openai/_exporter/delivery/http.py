"""Sends requests to the back ends over httpx transports, which log no URLs.

It uses no `httpx.AsyncClient`, which logs every URL at INFO, reads proxies from environment variables, and limits
neither a request's total time nor the size of a reply.
"""

from __future__ import annotations

import asyncio
import email.utils
import math
import re
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import anyio
import certifi
import httpx

from monitored_openai._exporter.delivery.request_history import RequestHistory
from monitored_openai._exporter.delivery.retry import Failure, Reply
from monitored_openai._logging import warn_sparsely
from monitored_openai._redaction.redactor import REDACTED, without_secrets
from monitored_openai._version import __version__

if TYPE_CHECKING:
    from monitored_openai._exporter.clients import Clients
    from monitored_openai._settings.model import MonitoringSettings
    from monitored_openai._settings.urls import Signal


_TOTAL_SECONDS = 10.0
_TIMEOUTS = {"connect": 3.0, "read": 9.0, "write": 5.0, "pool": 2.0}
"""The wait for a reply is longer than the time that Loki waits for its ingesters, 5 s by default. After a shorter wait,
the exporter would send entries again that Loki is about to store, and Loki's metric queries would count them twice."""
_KEPT_SECONDS = 30.0
_KEPT_SECONDS_WITHOUT_CLIENTS = 1.0
"""Long enough for the batches of a backlog, which follow each other without a pause."""
_MAX_IDLE = 32
"""Maximum idle senders of one loop with open connections. Beyond it, the longest idle one closes its connections."""
_MAX_READ_BYTES = 4096
_MAX_ERROR_CHARACTERS = 300
_LONGEST_RETRY_AFTER = 300.0
_INVISIBLE = "\u200b"
"""A mark that the search for secrets ignores."""
_MARKS = re.compile(f"{_INVISIBLE}+")
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_OWN_TEXT = (httpx.NetworkError, httpx.TimeoutException)
_DISCONNECTED = "Server disconnected without sending a response."
_PROXY_STATUS = re.compile(r"(\d{3})(?: |\Z)")

_idle: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Sender, None]] = WeakKeyDictionary()
"""Idle senders of each loop with open connections, the longest idle first."""


def import_backend() -> None:
    """Import now what the first request needs, because a fork waits only for imports before the exporter's start.

    Call this in a task: anyio finds the backend for the running event loop only there.
    """
    anyio.connect_tcp  # noqa: B018 - an attribute that anyio imports at its first use
    anyio.current_time()
    "localhost".encode("idna")


class Sender:
    """Posts bytes to one back end, over at most two kept-alive connections."""

    def __init__(self, url: str, signal: Signal, settings: MonitoringSettings, clients: Clients | None = None) -> None:
        """Prepare the settings' headers for this signal. They and the URL never reach a log.

        Connections are closed after 30 s without a request, after 1 s if no client of `clients` lives, and immediately if
        32 other senders have become idle since.
        """
        self._url = httpx.URL(url)
        self._secrets = settings.secrets
        self._headers = {
            **settings.request_headers(signal),
            "Host": self._url.netloc.decode("ascii"),
            "Accept": "*/*",
            "User-Agent": f"monitored-openai/{__version__}",
        }
        self.trouble = ""
        """Error of the last request without a reply, as text that quotes no reply."""
        self._history = RequestHistory()
        self._new_transport = partial(
            httpx.AsyncHTTPTransport,
            verify=ssl_context(self._url, settings),
            proxy=httpx.Proxy(settings.proxy.get_secret_value()) if settings.proxy else None,
            trust_env=False,
            limits=httpx.Limits(max_connections=2, max_keepalive_connections=2, keepalive_expiry=_KEPT_SECONDS),
        )
        self._transport = self._new_transport()
        self._broken_off = False
        self._clients = clients
        self._closing_timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Reply | Failure:
        """Send one request, and return the reply or the failure. Only a cancellation raises."""
        self._stop_timer()
        self._history.begin(time.monotonic())
        try:
            outcome = await self._post(body, headers)
            self._history.end(outcome, time.monotonic(), self.trouble if isinstance(outcome, Failure) else "")
            return outcome
        finally:
            self._history.interrupt(time.monotonic())
            self._start_timer()

    @property
    def failure(self) -> str:
        """Why data for this back end is undelivered, as text for a log line; empty if nothing was sent."""
        return self._history.undelivered(time.monotonic())

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> Reply | Failure:
        request = httpx.Request(
            "POST", self._url, headers={**self._headers, **headers}, content=body, extensions={"timeout": _TIMEOUTS}
        )
        if self._broken_off:
            await self._renew()
        self._broken_off = True
        try:
            async with asyncio.timeout(_TOTAL_SECONDS):
                with _untraced():
                    response = await self._transport.handle_async_request(request)
                try:
                    text = without(self._secrets, await _beginning(response))
                    retry_after = _retry_after(response.headers.get("retry-after"))
                    date = _date(response.headers.get("date"))
                    reply = Reply(response.status_code, retry_after, date, text)
                finally:
                    await response.aclose()
        except _NOT_SENT as error:
            self.trouble = _in_words(error)
            return Failure.CONNECT
        except Exception as error:
            self.trouble = _in_words(error)
            return Failure.LOST
        self._broken_off = False
        return reply

    async def aclose(self) -> None:
        """Close the open connections."""
        self._stop_timer()
        if self._closing is not None:
            await self._closing
        await self._transport.aclose()

    def _start_timer(self) -> None:
        """Schedule the close of idle connections: the pool checks their age only at the next request."""
        has_clients = self._clients is None or self._clients.any
        seconds = _KEPT_SECONDS if has_clients else _KEPT_SECONDS_WITHOUT_CLIENTS
        loop = asyncio.get_running_loop()
        self._closing_timer = loop.call_later(seconds, self._close_idle)
        idle = _idle.setdefault(loop, {})
        idle[self] = None
        if len(idle) > _MAX_IDLE:
            next(iter(idle))._close_idle()  # noqa: SLF001 - another instance of this class

    def _stop_timer(self) -> None:
        if self._closing_timer is not None:
            self._closing_timer.cancel()
            self._closing_timer = None
            _idle.get(asyncio.get_running_loop(), {}).pop(self, None)

    def _close_idle(self) -> None:
        """Replace the transport immediately, because the next request may start while the old connections close."""
        self._stop_timer()
        old = self._replace_transport()
        self._closing = asyncio.get_running_loop().create_task(_close(old))

    async def _renew(self) -> None:
        """Replace the transport: a request cancelled while its connection closes may block a place in the pool."""
        await self._replace_transport().aclose()

    def _replace_transport(self) -> httpx.AsyncHTTPTransport:
        """Install a new transport, and return the old one, which is still open."""
        old, self._transport, self._broken_off = self._transport, self._new_transport(), False
        return old


async def _close(transport: httpx.AsyncHTTPTransport) -> None:
    try:
        await transport.aclose()
    except Exception:
        warn_sparsely("close", "idle connections to a back end could not be closed cleanly", exc_info=True)


@contextmanager
def _untraced() -> Iterator[None]:
    """Keep OpenTelemetry from tracing this request: telemetry of telemetry would never end."""
    context = sys.modules.get("opentelemetry.context")
    if context is None:
        yield
        return
    token = context.attach(context.set_value("suppress_instrumentation", True))
    try:
        yield
    finally:
        context.detach(token)


async def _beginning(response: httpx.Response) -> str:
    """Return the first 4 KB of the body; empty if it is compressed, because its decoded size has no bound."""
    # A short body is read to its end, because only then can the next request use the connection.
    read = b""
    async for piece in response.aiter_raw():
        read += piece
        if len(read) >= _MAX_READ_BYTES:
            break
    if response.headers.get("content-encoding", "identity") != "identity":
        return ""
    return read[:_MAX_READ_BYTES].decode("utf-8", "replace")


def without(secrets: tuple[str, ...], text: str) -> str:
    """Return the text of a reply, which may repeat the request, without secrets."""
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return _printable(text)


def _printable(text: str) -> str:
    """Return the text without secrets, and with spaces for control and direction marks, which could forge a line.

    Secrets are removed before the marks become spaces, because a space inside a key would hide the rest of the key.
    """
    text = without_secrets(text)
    if text.isprintable():
        return text
    marked = "".join(character if character.isprintable() else _INVISIBLE for character in text)
    return _MARKS.sub(" ", without_secrets(marked))


def _retry_after(header: str | None) -> float | None:
    """Return the minimum wait in seconds, from a number or a date; `None` for anything else."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(seconds, _LONGEST_RETRY_AFTER) if seconds >= 0 and math.isfinite(seconds) else None


def _date(header: str | None) -> float | None:
    try:
        return None if header is None else email.utils.parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return None


def _in_words(error: Exception) -> str:
    """Return the type of an error, with its text if this system or our libraries wrote it.

    Other texts may quote the peer: an invalid HTTP line, or the reason of a proxy's refusal.
    """
    text = str(error)
    if isinstance(error, httpx.ProxyError) and (status := _PROXY_STATUS.match(text)):
        text = f"HTTP {status[1]}"
    elif not isinstance(error, _OWN_TEXT) and text != _DISCONNECTED:
        text = ""
    text = _printable(text)[:_MAX_ERROR_CHARACTERS]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def ssl_context(url: httpx.URL, settings: MonitoringSettings) -> ssl.SSLContext:
    """Return the TLS context. It checks certificates unless `verify` is false; an http:// URL loads none."""
    if url.scheme != "https" or (settings.verify is True and settings.client_cert is None):
        return _usual_ssl_context(with_certificates=url.scheme == "https")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if settings.verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        path = certifi.where() if settings.verify is True else settings.verify
        is_directory = Path(path).is_dir()
        context.load_verify_locations(capath=path if is_directory else None, cafile=None if is_directory else path)
    if settings.client_cert is not None:
        context.load_cert_chain(*settings.client_cert)
    return context


@cache
def _usual_ssl_context(*, with_certificates: bool) -> ssl.SSLContext:
    """Return one context for all senders without certificate files of their own: the certificates take 0.5 MB."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if with_certificates:
        context.load_verify_locations(certifi.where())
    return context

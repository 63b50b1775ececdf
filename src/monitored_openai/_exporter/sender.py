"""The one place that talks to the back ends: httpx, below the level on which it logs URLs.

The transport is used without a client: `httpx.AsyncClient` logs every URL at INFO, follows environment variables for
proxies, and has no limit on a request's whole time or on what it reads.
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

import anyio._backends._asyncio
import certifi
import httpx

from monitored_openai._exporter.delivery import Failure, Reply
from monitored_openai._log import warn_sparsely
from monitored_openai._redaction import REDACTED, without_secrets
from monitored_openai._version import __version__

if TYPE_CHECKING:
    from monitored_openai._endpoints import Lane
    from monitored_openai._exporter.clients import Clients
    from monitored_openai._settings import MonitoringSettings

# What anyio and the resolver would import at the first request; a fork waits for imports only while this one is made.
anyio.connect_tcp  # noqa: B018
"localhost".encode("idna")

_TOTAL_SECONDS = 10.0
_TIMEOUTS = {"connect": 3.0, "read": 5.0, "write": 5.0, "pool": 2.0}
_KEPT_SECONDS = 30.0
_KEPT_SECONDS_WITHOUT_CLIENTS = 1.0
"""Long enough for the batches of a backlog, which follow each other at once."""
_MOST_IDLE = 32
"""Senders of one loop that keep connections without a request; further ones close those of the longest idle."""
_MOST_READ_BYTES = 4096
_MOST_EXCERPT_CHARACTERS = 300
_LONGEST_RETRY_AFTER = 300.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")

_idle: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Sender, None]] = WeakKeyDictionary()
"""The senders of each loop that keep connections without a request, the longest idle first."""


class Sender:
    """Posts bytes to one back end, over at most two kept connections."""

    def __init__(self, url: str, lane: Lane, settings: MonitoringSettings, clients: Clients | None = None) -> None:
        """The settings' headers for this lane go with every request; they and the URL never reach a log.

        Connections are closed after 30 s without a request, after 1 s if `clients` has none, and at once if 32 other
        senders have become idle later.
        """
        self._url = httpx.URL(url)
        self._secrets = settings.secrets
        self._headers = {
            **settings.request_headers(lane),
            "Host": self._url.netloc.decode("ascii"),
            "Accept": "*/*",
            "User-Agent": f"monitored-openai/{__version__}",
        }
        self.trouble = ""
        """Why the last request that got no answer got none."""
        self.failure = ""
        """How the last request failed, in words for a log line; empty after a success."""
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
        """Send one request; never raises but for a cancellation."""
        self._stop_timer()
        try:
            return await self._post(body, headers)
        finally:
            self._start_timer()

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
                    text = without(self._secrets, await _excerpt(response))
                    retry_after = _retry_after(response.headers.get("retry-after"))
                    date = _date(response.headers.get("date"))
                    excerpt = text[:_MOST_EXCERPT_CHARACTERS]
                    reply = Reply(response.status_code, retry_after, excerpt, date, text)
                finally:
                    await response.aclose()
        except _NOT_SENT as error:
            return self._failed(Failure.CONNECT, error)
        except Exception as error:
            return self._failed(Failure.LOST, error)
        self._broken_off = False
        self.failure = "" if reply.is_success else str(reply)
        return reply

    def _failed(self, failure: Failure, error: Exception) -> Failure:
        self.trouble = _in_words(error)
        self.failure = f"{failure}: {self.trouble}"
        return failure

    async def aclose(self) -> None:
        """Close the kept connections."""
        self._stop_timer()
        if self._closing is not None:
            await self._closing
        await self._transport.aclose()

    def _start_timer(self) -> None:
        """Have idle connections closed: the pool itself looks at their age only when the next request comes."""
        has_clients = self._clients is None or self._clients.any
        seconds = _KEPT_SECONDS if has_clients else _KEPT_SECONDS_WITHOUT_CLIENTS
        loop = asyncio.get_running_loop()
        self._closing_timer = loop.call_later(seconds, self._close_idle)
        idle = _idle.setdefault(loop, {})
        idle[self] = None
        if len(idle) > _MOST_IDLE:
            next(iter(idle))._close_idle()  # noqa: SLF001 - one of its kind

    def _stop_timer(self) -> None:
        if self._closing_timer is not None:
            self._closing_timer.cancel()
            self._closing_timer = None
            _idle.get(asyncio.get_running_loop(), {}).pop(self, None)

    def _close_idle(self) -> None:
        """Take a new transport at once, as the next request may come while the old connections close."""
        self._stop_timer()
        old = self._replace_transport()
        self._closing = asyncio.get_running_loop().create_task(_close(old))

    async def _renew(self) -> None:
        """Begin with new connections: what was cancelled while it closed may keep its place in the pool for ever."""
        await self._replace_transport().aclose()

    def _replace_transport(self) -> httpx.AsyncHTTPTransport:
        """The transport so far."""
        old, self._transport, self._broken_off = self._transport, self._new_transport(), False
        return old


async def _close(transport: httpx.AsyncHTTPTransport) -> None:
    try:
        await transport.aclose()
    except Exception:
        warn_sparsely("close", "idle connections to a back end could not be closed cleanly", exc_info=True)


@contextmanager
def _untraced() -> Iterator[None]:
    """Where OpenTelemetry traces HTTP requests it leaves out this one: telemetry of telemetry would have no end."""
    context = sys.modules.get("opentelemetry.context")
    if context is None:
        yield
        return
    token = context.attach(context.set_value("suppress_instrumentation", True))
    try:
        yield
    finally:
        context.detach(token)


async def _excerpt(response: httpx.Response) -> str:
    """The beginning of the body, undecoded: a compressed one could be any size. Read to its end, if that is near, as
    only then the connection can be used again.
    """
    read = b""
    async for piece in response.aiter_raw():
        read += piece
        if len(read) >= _MOST_READ_BYTES:
            break
    if response.headers.get("content-encoding", "identity") != "identity":
        return ""
    return read[:_MOST_READ_BYTES].decode("utf-8", "replace")


def without(secrets: tuple[str, ...], text: str) -> str:
    """What may be logged of a reply, which may repeat what it was sent."""
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return without_secrets(_UNPRINTABLE.sub(" ", text))


def _retry_after(header: str | None) -> float | None:
    """Seconds to wait at least, from a number or a date; `None` for what is neither."""
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
    text = without_secrets(_UNPRINTABLE.sub(" ", str(error)))[:_MOST_EXCERPT_CHARACTERS]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def ssl_context(url: httpx.URL, settings: MonitoringSettings) -> ssl.SSLContext:
    """Certificates are checked unless the settings say otherwise; an http:// URL needs none, so none are loaded."""
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
    """One for all senders whose settings name no file that may change: the certificates take 0.5 MB."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if with_certificates:
        context.load_verify_locations(certifi.where())
    return context

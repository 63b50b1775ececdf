"""The one place that talks to the back ends, with httpcore, which is what httpx itself sends with.

Not with httpx: the SDK 3.x asks whether `httpx` is in `sys.modules`, and its calls fail for as long as another thread is
still importing it. And `httpx.AsyncClient` logs every URL at INFO, follows environment variables for proxies, and has no
limit on a request's whole time or on what it reads.
"""

from __future__ import annotations

import asyncio
import email.utils
import math
import re
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import certifi
import httpcore

from monitored_openai._exporter.delivery import Failure, Reply
from monitored_openai._redaction import without_secrets
from monitored_openai._version import __version__

if TYPE_CHECKING:
    from monitored_openai._settings import MonitoringSettings

_TOTAL_SECONDS = 10.0
_TIMEOUTS = {"connect": 3.0, "read": 5.0, "write": 5.0, "pool": 2.0}
_KEPT_SECONDS = 30.0
_MOST_READ_BYTES = 4096
_MOST_EXCERPT_CHARACTERS = 300
_LONGEST_RETRY_AFTER = 300.0
_NOT_SENT = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout, httpcore.ProxyError)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Sender:
    """Posts bytes to one back end, over at most two kept connections."""

    def __init__(self, url: str, headers: Mapping[str, str], settings: MonitoringSettings) -> None:
        """`headers` go with every request; they and the URL never reach a log."""
        self._url = url
        self._headers = {
            **headers,
            "Host": urlsplit(url).netloc,
            "Accept": "*/*",
            "User-Agent": f"monitored-openai/{__version__}",
        }
        self._pool = _pool(_ssl_context(url, settings), settings.proxy.get_secret_value() if settings.proxy else None)

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Reply | Failure:
        """Send one request; never raises but for a cancellation."""
        whole = {**self._headers, **headers, "Content-Length": str(len(body))}
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in whole.items()]
        request = httpcore.Request("POST", self._url, headers=encoded, content=body, extensions={"timeout": _TIMEOUTS})
        try:
            async with asyncio.timeout(_TOTAL_SECONDS):
                response = await self._pool.handle_async_request(request)
                try:
                    answered = {name.lower(): value.decode("latin-1") for name, value in response.headers}
                    encoded_body = answered.get(b"content-encoding", "identity") != "identity"
                    excerpt = await _excerpt(response)
                    return Reply(
                        response.status, _retry_after(answered.get(b"retry-after")), "" if encoded_body else excerpt
                    )
                finally:
                    await response.aclose()
        except _NOT_SENT:
            return Failure.CONNECT
        except Exception:
            return Failure.LOST

    async def aclose(self) -> None:
        """Close the kept connections."""
        await self._pool.aclose()


async def _excerpt(response: httpcore.Response) -> str:
    """The beginning of the body, undecoded: a compressed one could be any size. Read to its end, if that is near, as
    only then the connection can be used again.
    """
    read = b""
    async for piece in response.aiter_stream():
        read += piece
        if len(read) >= _MOST_READ_BYTES:
            break
    text = read[:_MOST_READ_BYTES].decode("utf-8", "replace")
    return without_secrets(_UNPRINTABLE.sub(" ", text))[:_MOST_EXCERPT_CHARACTERS]


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
    return min(seconds, _LONGEST_RETRY_AFTER) if seconds >= 0 and not math.isnan(seconds) else None


def _pool(context: ssl.SSLContext, proxy: str | None) -> httpcore.AsyncConnectionPool:
    """Two connections, through the proxy if there is one, and no variable of the environment looked at."""
    if proxy is None:
        return httpcore.AsyncConnectionPool(
            context, max_connections=2, max_keepalive_connections=2, keepalive_expiry=_KEPT_SECONDS
        )
    parts = urlsplit(proxy)
    return httpcore.AsyncHTTPProxy(
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        proxy_auth=(unquote(parts.username), unquote(parts.password or "")) if parts.username else None,
        ssl_context=context,
        max_connections=2,
        max_keepalive_connections=2,
        keepalive_expiry=_KEPT_SECONDS,
    )


def _ssl_context(url: str, settings: MonitoringSettings) -> ssl.SSLContext:
    """Certificates are checked unless the settings say otherwise; an http:// URL needs none, so none are loaded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if url.startswith("https:"):
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

"""Access rules: accepts requests with a token or from this machine, but none from another web page."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from monitored_openai._settings.urls import is_loopback

_TOKEN = re.compile(r"[!-~]+")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,253})(?::([0-9]{1,5}))?")
_MOST_PORT = 65_535
_LEAST_TOKEN_CHARACTERS = 8

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Sent with each response: only the page's own files run or load, and no other page can frame or read it."""


def bind_error(host: str, token: str | None) -> str | None:
    """Return the error and its fix if the server must not listen on this address with this token; else `None`."""
    if token is not None and not _TOKEN.fullmatch(token):
        return "the token must be printable ASCII text without spaces, and not empty; choose another with --token-file"
    if token is not None and len(token) < _LEAST_TOKEN_CHARACTERS:
        return f"the token is shorter than {_LEAST_TOKEN_CHARACTERS} characters; choose another with --token-file"
    if token is None and not _names_this_machine(f"[{host}]" if ":" in host else host):
        return f"{host or 'no address'} can be reached from other machines; choose a token with --token-file, or leave --host out"
    return None


def request_error(headers: Mapping[str, str], token: str | None) -> tuple[int, str] | None:
    """Return status and text of the error for a request with these headers; `None` if the request is allowed.

    Without a token, `Host` must name this machine: a foreign page could resolve its own name to 127.0.0.1 (DNS
    rebinding). Pages of another origin may only link to the page. Browsers send no `Origin` with an image or a script,
    so the function checks `Sec-Fetch-Site` as well.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    is_embedded = headers.get("sec-fetch-dest") != "document"
    if origin is not None and _authority(origin) != host:
        return 403, "requests from other pages are refused"
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and is_embedded:
        return 403, "requests from other pages are refused"
    if token is None:
        return None if _names_this_machine(host) else (403, "use a name of this machine, such as localhost")
    return None if _has_token(headers.get("authorization", ""), token) else (401, "the token is missing or wrong")


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _names_this_machine(host: str) -> bool:
    """Return true if the text is exactly a loopback name or address with an optional port."""
    found = _HOST.fullmatch(host)
    if found is None or int(found[2] or "0") > _MOST_PORT:
        return False
    try:
        return is_loopback(f"http://{found[1]}")
    except ValueError:
        return False


def _has_token(authorization: str, token: str) -> bool:
    """Return true if the token is the `Bearer` token, or the `Basic` password, for which a browser prompts."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            credentials = base64.b64decode(credentials, validate=True).decode().partition(":")[2]
        except ValueError:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(credentials.encode("utf-8", "replace"), token.encode())

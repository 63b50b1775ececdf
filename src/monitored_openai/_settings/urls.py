"""Rules for push URLs, credentials, tenants and headers, as the back ends accept them. Pure functions without I/O.

Each rule raises `InvalidValue` for a value that no back end accepts.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from monitored_openai._labels import InvalidValue

if TYPE_CHECKING:
    from pydantic import SecretStr

Signal = Literal["metrics", "logs"]
SIGNALS: tuple[Signal, ...] = ("metrics", "logs")
"""The kinds of telemetry, each with its own push URL."""
MetricsProtocol = Literal["remote_write", "influx"]
Push = Literal["remote_write", "influx", "loki"]
"""The protocol of the pushes to a URL."""

_LOKI_PUSH = "/loki/api/v1/push"
_CLOUD_WRITE = "/api/prom/push"
_CLOUD_PATHS = ("/api/prom", _CLOUD_WRITE)
_CLOUD_INFLUX = "/api/v1/push/influx/write"
_PUSH_PATHS: Mapping[Push, tuple[str, ...]] = {
    "remote_write": (_CLOUD_WRITE, "/api/v1/write", "/api/v1/push"),
    "influx": ("/write",),
    "loki": (_LOKI_PUSH, _CLOUD_WRITE),
}
_HOST_ALONE: Mapping[Push, str] = {"remote_write": "/api/v1/write", "influx": "/write", "loki": _LOKI_PUSH}
_CLOUD_HOST_ALONE: Mapping[Push, str] = {"remote_write": _CLOUD_WRITE, "influx": _CLOUD_INFLUX, "loki": _LOKI_PUSH}
_COMPLETED: Mapping[Push, Mapping[str, str]] = {
    "remote_write": {"/api/prom": _CLOUD_WRITE},
    "influx": {
        **dict.fromkeys(("/api/v1/push", "/api/v1/push/influx"), _CLOUD_INFLUX),
        "/influx": "/influx/write",
        "/api/v2": "/api/v2/write",
    },
    "loki": {"/loki": _LOKI_PUSH, "/loki/api/v1": _LOKI_PUSH},
}
_WRONG_PATHS: Mapping[Push, Mapping[str, str]] = {
    "remote_write": {
        r"/loki(/|$)": "is a Loki address; move it to logs_url and set the remote-write address here",
        r"/influx(/|$)": "is an Influx address; use the remote-write address (on Grafana Cloud it ends in /api/prom/push),"
        " or set metrics_protocol to influx",
        r"/otlp(/|$)": "is an OTLP address; use the remote-write address (on Grafana Cloud it ends in /api/prom/push)",
        r"/query(_range)?/*$": "is a query address; use the remote-write address, such as https://HOST/api/v1/write",
    },
    "influx": {
        r"/loki(/|$)": "is a Loki address; move it to logs_url and set the Influx address here",
        r"/api/v1/write/*$": "is a remote-write address; use the Influx address, or set metrics_protocol to remote_write",
        r"/otlp(/|$)": "is an OTLP address; use the Influx address (on Grafana Cloud it ends in /api/v1/push/influx)",
        r"/query(_range)?/*$": "is a query address; use the Influx address, such as https://HOST/write",
    },
    "loki": {
        r"/api/v1/write/*$": "is a remote-write address; move it to metrics_url and set Loki's address here",
        r"/otlp(/|$)": "is an OTLP address; use Loki's push address, such as https://HOST/loki/api/v1/push",
        r"/query(_range)?/*$": "is a query address; use Loki's push address, such as https://HOST/loki/api/v1/push",
    },
}
_WRONG_CLOUD_HOST: Mapping[Push, tuple[str, str]] = {
    **dict.fromkeys(
        ("remote_write", "influx"),
        ("logs-", "is the host of the logs; move it to logs_url and set the host prometheus-... here"),
    ),
    "loki": ("prometheus-", "is the host of the metrics; move it to metrics_url and set the host logs-... here"),
}
_QUERY = re.compile(r"(?:db|rp|org|orgID|bucket|consistency)=[A-Za-z0-9._~%+-]+")
_RESERVED_HEADERS = frozenset(
    "connection content-encoding content-length content-type host transfer-encoding user-agent"
    " x-prometheus-remote-write-version".split()
)
LOCAL_HOST, LOCAL_PORT = "127.0.0.1", 8642
LOCAL_URL = f"http://{LOCAL_HOST}:{LOCAL_PORT}"
"""The default address of `monitored-openai local`."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_AUTHORITY = re.compile(r"(\[[^\[\]@]*\]|[^:\[\]@]*)(:[0-9]*)?")
_PATH = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[!-~\xa0-\xff](?:[\t -~\xa0-\xff]*[!-~\xa0-\xff])?")
_CREDENTIAL = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_SECRET_HEADER = re.compile(r"auth|token|key|secret|cookie|password", re.IGNORECASE)


def split_userinfo(url: str) -> tuple[str, str | None, str | None]:
    """Return the URL without ``user:password@``, the user name and the password, both percent-decoded.

    Raises:
        InvalidValue: A credential is invalid.
    """
    scheme, separator, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    userinfo, at, host = authority.rpartition("@")
    if not separator or not at:
        return url, None, None
    username, _, password = userinfo.partition(":")
    if password and not username:
        raise InvalidValue("has a password but no user name before the host; set the token in its own field")
    for part in (username, password):
        if part:
            credential(unquote(part))
    bare = f"{scheme}://{host}{rest[len(authority) :]}"
    return bare, unquote(username) or None, unquote(password) or None


def push_url(url: str, push: Push) -> str:
    """Return the normalised push URL: host in lower case, path complete, no default port, no user.

    Add the standard path to a host without a path, complete the beginning of a known path, and keep any other path.

    Raises:
        InvalidValue: No back end accepts a push to this URL.
    """
    bare, query = _without_query(split_userinfo(url)[0]) if push == "influx" else (split_userinfo(url)[0], "")
    parts = split_url(bare)
    if push == "influx" and "prometheus" in (parts.hostname or "") and parts.path.rstrip("/") in _CLOUD_PATHS:
        return f"{parts.scheme}://{_influx_authority(_authority(parts))}{_CLOUD_INFLUX}"
    path = _push_path(parts.path, parts.hostname or "", push)
    return f"{parts.scheme}://{_authority(parts)}{path}{query}"


def proxy_url(url: str) -> str:
    """Return ``url`` if it is a valid URL of an HTTP proxy; else raise `InvalidValue`."""
    if url.lower().startswith("socks"):
        raise InvalidValue("is a SOCKS proxy, which the library does not support; use an http:// or https:// proxy")
    if split_url(split_userinfo(url)[0]).path not in ("", "/"):
        raise InvalidValue("has a path, which a proxy cannot have; remove everything after the port")
    return url


def is_loopback(url: str) -> bool:
    """True if the name or address of the URL's host is this machine; does not use DNS."""
    host = (urlsplit(url).hostname or "").removesuffix(".")
    address = _address(host)
    return address.is_loopback if address else host == "localhost" or host.endswith(".localhost")


def is_link_local(url: str) -> bool:
    """True if the URL's host is a link-local address (169.254.0.0/16, fe80::/10); clouds serve secrets on such hosts."""
    address = _address(urlsplit(url).hostname or "")
    return address is not None and address.is_link_local


def is_private(url: str, proxy: SecretStr | None = None) -> bool:
    """True if a request to this URL is encrypted or stays on this machine."""
    stays = is_loopback(url) and (proxy is None or is_loopback(proxy.get_secret_value()))
    return stays or url.lower().startswith("https:")


def is_grafana_cloud(url: str) -> bool:
    """True if the URL's host belongs to grafana.net."""
    return _is_cloud_host(urlsplit(url).hostname or "")


def credential(text: str) -> str:
    """Return ``text`` if it is a valid user name or token; else raise `InvalidValue`."""
    if text != text.strip():
        raise InvalidValue("begins or ends with white space or a line break; remove it")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        raise InvalidValue("is in quotation marks; remove them")
    if not _CREDENTIAL.fullmatch(text):
        raise InvalidValue("must be one line of printable ASCII text, not empty; copy it again from its source")
    return text


def tenant(text: str) -> str:
    """Return ``text`` if Mimir and Loki accept it as a tenant (their documented rule); else raise `InvalidValue`."""
    if not re.fullmatch(r"[A-Za-z0-9!_.*'()-]{1,150}", text) or text in (".", ".."):
        raise InvalidValue("must be one tenant; use 1 to 150 of the characters A-Z a-z 0-9 ! - _ . * ' ( )")
    return text


def header(name: str, value: str) -> None:
    """Raise `InvalidValue` unless the header is legal and not reserved by the protocol."""
    if not _HEADER_NAME.fullmatch(name):
        raise InvalidValue("has an illegal header name; use letters, digits and hyphens")
    if name.lower() in _RESERVED_HEADERS:
        raise InvalidValue(f"sets {name.lower()}, which the protocol fixes; remove it")
    if not _HEADER_VALUE.fullmatch(value):
        raise InvalidValue(f"has an invalid value for {name.lower()}; use one line of Latin-1 text")


def is_secret_header(name: str) -> bool:
    """True if a header of this name probably contains a credential."""
    return _SECRET_HEADER.search(name) is not None


def authorization(username: str | None, token: str) -> str:
    """Return the value of ``Authorization``: Basic with a user name, Bearer without."""
    if username is None:
        return f"Bearer {token}"
    return "Basic " + base64.b64encode(f"{username}:{token}".encode()).decode("ascii")


def split_url(url: str) -> SplitResult:
    """Return the checked parts of an http(s) URL without user name, query and fragment."""
    if not url.lower().startswith(("http://", "https://")):
        raise InvalidValue("must begin with https:// (or http://), without quotation marks or spaces before it")
    if "?" in url or "#" in url:
        raise InvalidValue("has a query or a fragment; remove the ? or # and the rest")
    if _UNSAFE.search(url):
        raise InvalidValue("contains a space, a line break or a backslash; remove it")
    try:
        parts: SplitResult | None = urlsplit(url)
        usable = parts is not None and parts.port != 0 and _AUTHORITY.fullmatch(parts.netloc) is not None
    except ValueError:  # its message contains the value
        parts, usable = None, False
    if parts is None or not usable:
        raise InvalidValue("has a malformed host or port; write https://HOST or https://HOST:PORT, PORT 1 to 65535")
    _check_host(parts.hostname or "", bracketed="[" in parts.netloc)
    _check_path(parts.path)
    return parts


def _check_path(path: str) -> None:
    if not _PATH.fullmatch(path):
        raise InvalidValue("has a character in its path that a URL cannot contain; percent-encode it")
    segments = path.split("/")[1:]
    if "" in segments[:-1] or "." in segments or ".." in segments:
        raise InvalidValue("has an empty or dotted path segment (//, /./ or /../); remove the segment")


def _check_host(host: str, *, bracketed: bool) -> None:
    if not host:
        raise InvalidValue("has no host; write https://HOST/...")
    if bracketed:
        if _address(host) is None:
            raise InvalidValue("has a malformed IPv6 address; write it as https://[ADDRESS]:PORT")
        return
    if not host.isascii():
        raise InvalidValue("has a host name with non-ASCII letters; write its ASCII form (xn--...)")
    labels = host.removesuffix(".").split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        if _address(host) is None:
            raise InvalidValue("has a malformed IPv4 address; write four decimal numbers with dots between them")
    elif len(host) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        raise InvalidValue("has a malformed host name; remove spaces, special characters and double dots")


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        if ":" not in host:
            return IPv4Address(host)
        address = IPv6Address(host)
    except AddressValueError:
        return None
    return address.ipv4_mapped or address


def _is_cloud_host(host: str) -> bool:
    name = host.lower().removesuffix(".")
    return name == "grafana.net" or name.endswith(".grafana.net")


def _authority(parts: SplitResult) -> str:
    host = parts.hostname or ""
    bracketed = f"[{IPv6Address(host).compressed}]" if ":" in host else host
    port = None if parts.port == _DEFAULT_PORTS[parts.scheme] else parts.port
    return bracketed if port is None else f"{bracketed}:{port}"


def _without_query(url: str) -> tuple[str, str]:
    """Return an Influx URL without its query, and the query, which may contain only the parameters in `_QUERY`."""
    bare, mark, query = url.partition("?")
    if not mark:
        return url, ""
    if not query or not all(_QUERY.fullmatch(part) for part in query.split("&")):
        raise InvalidValue("has a query with other names than db, rp, org, orgID, bucket and consistency; remove them")
    return bare, f"?{query}"


def _influx_authority(authority: str) -> str:
    """Return the Influx host of a Grafana Cloud stack, derived from its Prometheus host by the predecessor's rule."""
    return authority.replace("prometheus", "influx").replace("-us-central1", "-prod-06-prod-us-central-0")


def _push_path(path: str, host: str, push: Push) -> str:
    for wrong, text in _WRONG_PATHS[push].items():
        if re.search(wrong, path):
            raise InvalidValue(text)
    cloud = _is_cloud_host(host)
    wrong_host, text = _WRONG_CLOUD_HOST[push]
    if cloud and host.startswith(wrong_host):
        raise InvalidValue(text)
    bare = path.rstrip("/")
    if not bare:
        return (_CLOUD_HOST_ALONE if cloud else _HOST_ALONE)[push]
    if bare in _COMPLETED[push]:
        return _COMPLETED[push][bare]
    for full in _PUSH_PATHS[push]:
        if f"{full}/" in bare:
            raise InvalidValue(f"continues after its push path; remove everything after {full}")
        if bare.endswith(full):  # Loki answers 404 if a slash follows
            return bare
    return path

"""Prometheus, Loki and Grafana as the command asks them: JSON over HTTP, and refusals in their own words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from monitored_openai import MonitoringSettings, __version__
from monitored_openai._cli.errors import UserError
from monitored_openai._cli.query import environment, replies
from monitored_openai._cli.terminal import escaped
from monitored_openai._exporter.delivery.http import ssl_context, without
from monitored_openai._settings import urls as endpoints
from monitored_openai._settings.urls import Push, Signal, is_grafana_cloud, is_link_local, is_loopback, is_secret_header

_TIMEOUT_SECONDS = 60.0
_MOST_CHARACTERS = 300
_MOST_REFUSAL_BYTES = 256 * 1024
_MOST_PORT = 65535
_QUERY_BASES: Mapping[Push, Mapping[str, str]] = {
    "remote_write": {"/api/prom/push": "/api/prom", "/api/v1/push": "/prometheus", "/api/v1/write": ""},
    "influx": {
        "/api/v1/push/influx/write": "/prometheus",
        "/influx/api/v2/write": "",
        "/influx/write": "",
        "/api/v2/write": "",
        "/write": "",
    },
    "loki": {"/loki/api/v1/push": "", "/api/prom/push": ""},
}
"""For each protocol, the paths that take pushes, longest first, and the path below which the server answers queries."""


class Backend:
    """A server with an HTTP API that answers in JSON, reached by the way that the settings prescribe."""

    def __init__(self, url: str, headers: Mapping[str, str], settings: MonitoringSettings | None = None) -> None:
        """`url` without the API's own path; the environment's settings unless others are given.

        Raises:
            Mistake: a credential would travel unencrypted, or the settings cannot be used.
        """
        self.url = url.rstrip("/")
        way = settings or environment.settings()
        _check_exposure(self.url, headers, way)
        values = (value for name, value in headers.items() if is_secret_header(name))
        self._secrets = (*way.secrets, *(text for value in values for text in (value, value.rpartition(" ")[2])))
        own = {
            "User-Agent": f"monitored-openai/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": replies.ENCODINGS,
        }
        try:
            self._client = httpx.Client(
                base_url=self.url,
                headers={**own, **headers},
                timeout=_TIMEOUT_SECONDS,
                verify=ssl_context(httpx.URL(self.url), way),
                proxy=httpx.Proxy(way.proxy.get_secret_value()) if way.proxy else None,
                trust_env=False,  # no other proxy, and no password from a .netrc
            )
        except (httpx.InvalidURL, OSError, ValueError) as error:
            raise UserError(f"{self.url!r} cannot be asked: {error}") from error

    @classmethod
    def of(cls, lane: Signal, url: str | None, username: str | None, token: str | None) -> Self:
        """The server at `url`, else the one that the environment's settings push to, with their credentials.

        Credentials of the settings go to no other server; their tenant, proxy and certificates hold for both.
        """
        settings = environment.settings()
        if username is not None and token is None:
            raise UserError("--username needs a token: give --token-file")
        own = settings.request_headers(lane)
        if url is not None:
            public = {name: value for name, value in own.items() if not is_secret_header(name)}
            return cls(checked(url), {**public, **authorization(username, token)}, settings)
        pushed_to = settings.metrics_url if lane == "metrics" else settings.logs_url
        push: Push = settings.metrics_protocol if lane == "metrics" else "loki"
        if pushed_to is None:
            raise UserError(f"no address: give --url, or set MONITORED_OPENAI_{lane.upper()}_URL")
        if token is not None:
            usual = settings.metrics_username if lane == "metrics" else settings.logs_username
            own = {name: value for name, value in own.items() if name.lower() != "authorization"}
            own |= authorization(username or usual, token)
        return cls(query_base(pushed_to, push), own, settings)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """What is there; `None` where nothing is."""
        return self._ask("GET", path, params=query)

    def form(self, path: str, fields: Mapping[str, str]) -> Any:
        """The answer to a query that may be long."""
        return self._ask("POST", path, data=fields)

    def post(self, path: str, body: Any) -> Any:
        """The answer to what is sent."""
        return self._ask("POST", path, json=body)

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        try:
            with self._client.stream(method, path, **content) as answer:
                if answer.status_code == httpx.codes.NOT_FOUND and method == "GET":
                    return None
                if not answer.is_success:
                    raise UserError(f"{self.url} refuses with {answer.status_code}: {self._words(answer)}")
                body = replies.body(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = without(self._secrets, str(error)) or type(error).__name__
            raise UserError(f"{self.url} cannot be reached: {reason}") from error
        except UnicodeEncodeError as error:
            raise UserError(
                "what was written is not in the terminal's encoding: is it UTF-8, as in LC_ALL=C.UTF-8?"
            ) from error
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.url}{path} answers, but not in JSON: is the address right?") from error

    def _words(self, answer: httpx.Response) -> str:
        """A refusal in the server's own words, on one line and without secrets."""
        try:
            text = replies.body(answer, most_bytes=_MOST_REFUSAL_BYTES).decode("utf-8", "replace")
        except UserError:
            text = ""
        try:
            told = json.loads(text)
            text = str(told.get("error") or told.get("message") or told) if isinstance(told, dict) else str(told)
        except (ValueError, RecursionError):
            pass  # it is plain text
        text = without(self._secrets, " ".join(text.split())) or answer.reason_phrase
        return escaped(text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "...")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._client.close()


def checked(url: str) -> str:
    """The address, if it can be one.

    Raises:
        Mistake: it is none, or has a password in it, which is not repeated.
    """
    if "@" in url:
        raise UserError(
            "an address has no user name and password in it, as `ps` shows them: use --username and --token-file"
        )
    try:
        parsed = httpx.URL(url)
        fits = parsed.scheme in ("http", "https") and bool(parsed.host) and (parsed.port or 0) <= _MOST_PORT
        fits = fits and not parsed.query and not parsed.fragment
    except httpx.InvalidURL:
        fits = False
    if not fits:
        raise UserError(f"{url!r} is no address: write one such as http://localhost:9090")
    return url


def query_base(push_url: str, push: Push) -> str:
    """The address below which a server answers queries, derived from its push address.

    Raises:
        Mistake: the push address does not determine it.
    """
    parts = urlsplit(push_url)
    if push == "influx" and is_grafana_cloud(push_url):
        return f"{parts.scheme}://{parts.netloc.replace('influx-', 'prometheus-', 1)}/api/prom"
    for path, base in _QUERY_BASES[push].items():
        if parts.path.endswith(path):
            return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix(path)}{base}"
    raise UserError(f"{push_url} does not determine the address for queries: give it with --url")


def authorization(username: str | None, token: str | None) -> dict[str, str]:
    """The header with the credentials; none without a token."""
    return {} if token is None else {"Authorization": endpoints.authorization(username, token)}


def _check_exposure(url: str, headers: Mapping[str, str], settings: MonitoringSettings) -> None:
    """Refuse what the settings refuse for pushes, unless they allow it."""
    if settings.allow_insecure:
        return
    if is_link_local(url):
        raise UserError(f"{url} is a link-local address, where clouds serve secrets: use another")
    private = settings.proxy is None or is_loopback(settings.proxy.get_secret_value())
    trusted = url.lower().startswith("https:") or (is_loopback(url) and private)
    if not trusted and any(map(is_secret_header, headers)):
        raise UserError(
            f"the token would go to {url} unencrypted: use https://, or set MONITORED_OPENAI_ALLOW_INSECURE=true"
        )

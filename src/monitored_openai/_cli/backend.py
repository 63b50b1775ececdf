"""Prometheus, Loki and Grafana as the command asks them: JSON over HTTP, and refusals in their own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from monitored_openai import __version__
from monitored_openai._cli import environment
from monitored_openai._cli.mistake import Mistake
from monitored_openai._cli.terminal import escaped
from monitored_openai._endpoints import Lane, Push, is_grafana_cloud

_TIMEOUT_SECONDS = 60.0
_MOST_CHARACTERS = 300
_TOKEN = re.compile(r"[!-~]+")
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
    """A server with an HTTP API that answers in JSON."""

    def __init__(self, url: str, headers: Mapping[str, str], *, verify: bool | str = True) -> None:
        """`url` without the API's own path."""
        self.url = url.rstrip("/")
        own = {"User-Agent": f"monitored-openai/{__version__}", "Accept": "application/json"}
        try:
            self._client = httpx.Client(
                base_url=self.url, headers={**own, **headers}, timeout=_TIMEOUT_SECONDS, verify=verify
            )
        except (httpx.InvalidURL, OSError, ValueError) as error:
            raise Mistake(f"{self.url!r} cannot be asked: {error}") from error

    @classmethod
    def of(cls, lane: Lane, url: str | None, username: str | None, token: str | None) -> Self:
        """The one that is named, else the one that the environment's settings push to, with their credentials."""
        if url is not None:
            return cls(checked(url), authorization(username, token))
        settings = environment.settings()
        pushed_to = settings.metrics_url if lane == "metrics" else settings.logs_url
        push: Push = settings.metrics_protocol if lane == "metrics" else "loki"
        if pushed_to is None:
            raise Mistake(f"no address: give --url, or set MONITORED_OPENAI_{lane.upper()}_URL")
        own = settings.request_headers(lane)
        headers = own if token is None else {**own, **authorization(username, token)}
        return cls(query_base(pushed_to, push), headers, verify=settings.verify)

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
            answer = self._client.request(method, path, **content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Mistake(f"{self.url} cannot be reached: {str(error) or type(error).__name__}") from error
        except UnicodeEncodeError as error:
            raise Mistake(
                "what was written is not in the terminal's encoding: is it UTF-8, as in LC_ALL=C.UTF-8?"
            ) from error
        if answer.status_code == httpx.codes.NOT_FOUND and method == "GET":
            return None
        if not answer.is_success:
            raise Mistake(f"{self.url} refuses with {answer.status_code}: {_words(answer)}")
        try:
            return answer.json()
        except ValueError as error:
            raise Mistake(f"{self.url}{path} answers, but not in JSON: is the address right?") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._client.close()


def checked(url: str) -> str:
    """The address, if it can be one."""
    try:
        parsed = httpx.URL(url)
        fits = parsed.scheme in ("http", "https") and bool(parsed.host) and (parsed.port or 0) <= _MOST_PORT
    except httpx.InvalidURL:
        fits = False
    if not fits:
        raise Mistake(f"{url!r} is no address: write one such as http://localhost:9090")
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
    raise Mistake(f"{push_url} does not determine the address for queries: give it with --url")


def authorization(username: str | None, token: str | None) -> dict[str, str]:
    """The header that says who asks.

    Raises:
        Mistake: the token cannot be one; it is not repeated.
    """
    if token is None:
        return {}
    if username is None:
        if not _TOKEN.fullmatch(token):
            wrong = "has spaces, line breaks or letters that no token has" if token else "is empty"
            raise Mistake(f"the token {wrong}: copy it again")
        return {"Authorization": f"Bearer {token}"}
    request = next(httpx.BasicAuth(username, token).sync_auth_flow(httpx.Request("GET", "http://localhost")))
    return {"Authorization": request.headers["Authorization"]}


def _words(answer: httpx.Response) -> str:
    """A refusal in the server's own words, on one line."""
    try:
        told = answer.json()
        text = str(told.get("error") or told.get("message") or told) if isinstance(told, dict) else str(told)
    except ValueError:
        text = answer.text
    text = " ".join(text.split()) or answer.reason_phrase
    return escaped(text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "...")

"""The JSON APIs of Prometheus, Loki and Grafana over HTTP, with the credentials and the proxy of the settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from monitored_openai._cli.errors import UserError
from monitored_openai._cli.query import replies
from monitored_openai._cli.terminal import escaped
from monitored_openai._exporter.delivery.http import ssl_context, without
from monitored_openai._settings import urls
from monitored_openai._settings.model import MonitoringSettings, SettingsError
from monitored_openai._settings.urls import Push, Signal, is_grafana_cloud, is_link_local, is_private, is_secret_header
from monitored_openai._version import __version__

_TIMEOUT_SECONDS = 60.0
_MAX_CHARACTERS = 300
_MAX_REFUSAL_BYTES = 256 * 1024
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
"""For each protocol: the push paths, each before the paths that it ends with, and the base path of the query API."""


def environment_settings() -> MonitoringSettings:
    """Return the settings in the environment.

    Raises:
        UserError: a setting is invalid.
    """
    try:
        return MonitoringSettings()
    except SettingsError as error:
        raise UserError("; ".join(str(error).splitlines())) from error


class Refused(UserError):
    """The server refused a request with `status`."""

    def __init__(self, text: str, status: int) -> None:
        """Keep the HTTP status in addition to the text for the user."""
        super().__init__(text)
        self.status = status


class HttpApi:
    """A client of one server's JSON API, with the proxy and the certificates of the settings."""

    def __init__(self, url: str, headers: Mapping[str, str], settings: MonitoringSettings | None = None) -> None:
        """Create the client; `url` excludes the path of the API, and `settings` default to the environment's.

        Raises:
            UserError: a credential would travel unencrypted, or a setting is invalid.
        """
        self.url = url.rstrip("/")
        settings = settings or environment_settings()
        _check_exposure(self.url, headers, settings)
        values = (value for name, value in headers.items() if is_secret_header(name))
        self._secrets = (*settings.secrets, *(text for value in values for text in (value, value.rpartition(" ")[2])))
        common = {
            "User-Agent": f"monitored-openai/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": replies.ENCODINGS,
        }
        try:
            self._client = httpx.Client(
                base_url=self.url,
                headers={**common, **headers},
                timeout=_TIMEOUT_SECONDS,
                verify=ssl_context(httpx.URL(self.url), settings),
                proxy=httpx.Proxy(settings.proxy.get_secret_value()) if settings.proxy else None,
                trust_env=False,  # no proxy of the environment, no password from .netrc
            )
        except (httpx.InvalidURL, OSError, ValueError) as error:
            raise UserError(f"{self.url!r} cannot be used: {error}") from error

    @classmethod
    def for_signal(cls, signal: Signal, url: str | None, username: str | None, token: str | None) -> Self:
        """Return a client of `url`, or of the server to which the environment's settings push the signal.

        The tenant, proxy and certificates of the settings apply in both cases; their credentials only without `url`.

        Raises:
            UserError: no address is known, or the options contradict each other.
        """
        settings = environment_settings()
        if username is not None and token is None:
            raise UserError("--username needs a token: give --token-file")
        headers = settings.request_headers(signal)
        if url is not None:
            public = {name: value for name, value in headers.items() if not is_secret_header(name)}
            return cls(check_url(url), {**public, **authorization(username, token)}, settings)
        push_url = settings.metrics_url if signal == "metrics" else settings.logs_url
        protocol: Push = settings.metrics_protocol if signal == "metrics" else "loki"
        if push_url is None:
            raise UserError(f"no address: give --url, or set MONITORED_OPENAI_{signal.upper()}_URL")
        if token is not None:
            default_username = settings.metrics_username if signal == "metrics" else settings.logs_username
            headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            headers |= authorization(username or default_username, token)
        return cls(query_base(push_url, protocol), headers, settings)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Return the reply to a GET request; `None` if the server replies 404."""
        body = self._send("GET", path, params=query)
        return None if body is None else self._parsed(path, body)

    def get_text(self, path: str) -> str | None:
        """Return the reply to a GET request as text; `None` if the server replies 404."""
        body = self._send("GET", path)
        return None if body is None else body.decode("utf-8", "replace")

    def post_form(self, path: str, fields: Mapping[str, str]) -> Any:
        """Return the reply to a POST request with form fields, for queries of any length."""
        return self._parsed(path, self._send("POST", path, data=fields))

    def post_json(self, path: str, body: Any) -> Any:
        """Return the reply to a POST request with a JSON body."""
        return self._parsed(path, self._send("POST", path, json=body))

    def put_json(self, path: str, body: Any) -> Any:
        """Return the reply to a PUT request with a JSON body."""
        return self._parsed(path, self._send("PUT", path, json=body))

    def post_yaml(self, path: str, text: str) -> None:
        """Send a POST request with a YAML body; ignore the content of the reply."""
        self._send("POST", path, content=text.encode(), headers={"Content-Type": "application/yaml"})

    def delete(self, path: str) -> None:
        """Send a DELETE request; ignore the content of the reply."""
        self._send("DELETE", path)

    def _send(self, method: str, path: str, **content: Any) -> bytes | None:
        """Return the body of a successful reply; `None` if the server replies 404 to a GET request."""
        try:
            with self._client.stream(method, path, **content) as response:
                if response.status_code == httpx.codes.NOT_FOUND and method == "GET":
                    return None
                if response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
                    raise replies.Oversized(f"{self.url} refuses with 413: {self._refusal(response)}")
                if not response.is_success:
                    text = f"{self.url} refuses with {response.status_code}: {self._refusal(response)}"
                    raise Refused(text, response.status_code)
                return replies.body(response)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = without(self._secrets, str(error)) or type(error).__name__
            raise UserError(f"{self.url} cannot be reached: {reason}") from error
        except UnicodeEncodeError as error:
            raise UserError(
                "an argument is not in the terminal's encoding: is it UTF-8, as in LC_ALL=C.UTF-8?"
            ) from error

    def _parsed(self, path: str, body: bytes | None) -> Any:
        try:
            return json.loads(body or b"")
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.url}{path} answers, but not in JSON: is the address right?") from error

    def _refusal(self, response: httpx.Response) -> str:
        """Return the server's error message on one line, without secrets."""
        try:
            text = replies.body(response, max_bytes=_MAX_REFUSAL_BYTES).decode("utf-8", "replace")
        except UserError:
            text = ""
        try:
            reply = json.loads(text)
            text = str(reply.get("error") or reply.get("message") or reply) if isinstance(reply, dict) else str(reply)
        except (ValueError, RecursionError):
            pass  # plain text
        text = " ".join(without(self._secrets, text).split()) or response.reason_phrase
        return escaped(text if len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS] + "...")

    @contextmanager
    def expecting(self, server: str) -> Iterator[None]:
        """Raise a `UserError` if the block fails because a reply does not have the form of this kind of server."""
        try:
            yield
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise UserError(f"{self.url} answers, but not as {server} does: is the address right?") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._client.close()


def check_url(url: str) -> str:
    """Return the address of a server.

    Raises:
        UserError: it is not an address, or contains a password, which the message does not repeat.
    """
    if "@" in url:
        raise UserError(
            "`ps` shows a user name and password in an address to all users: use --username and --token-file"
        )
    try:
        urls.split_url(url)
    except ValueError as error:  # the text of the error contains no part of the URL
        raise UserError(f"{url!r} {error}") from error
    return url


def query_base(push_url: str, protocol: Push) -> str:
    """Return the base address of a server's query API, derived from its push address.

    Raises:
        UserError: the push address does not determine it.
    """
    parts = urlsplit(push_url)
    if protocol == "influx" and is_grafana_cloud(push_url):
        return f"{parts.scheme}://{parts.netloc.replace('influx-', 'prometheus-', 1)}/api/prom"
    for path, base in _QUERY_BASES[protocol].items():
        if parts.path.endswith(path):
            return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix(path)}{base}"
    raise UserError(f"{push_url} does not determine the address for queries: give it with --url")


def authorization(username: str | None, token: str | None) -> dict[str, str]:
    """Return the Authorization header; empty without a token."""
    return {} if token is None else {"Authorization": urls.authorization(username, token)}


def _check_exposure(url: str, headers: Mapping[str, str], settings: MonitoringSettings) -> None:
    """Refuse link-local addresses and unencrypted tokens, as for pushes, unless the settings allow them."""
    if settings.allow_insecure:
        return
    if is_link_local(url):
        raise UserError(f"{url} is a link-local address, where clouds serve secrets: use another address")
    if any(map(is_secret_header, headers)) and not is_private(url, settings.proxy):
        raise UserError(
            f"the token would go to {url} unencrypted: use https://, or set MONITORED_OPENAI_ALLOW_INSECURE=true"
        )

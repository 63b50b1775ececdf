"""Opens a `Call` for each request of the clients that share settings. Its own faults never reach the request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from monitored_openai._calls.call import Call
from monitored_openai._calls.request_fields import describe_files
from monitored_openai._calls.stream_usage import Injection, StreamUsageSupport, leaves_usage_open
from monitored_openai._endpoints.base import Endpoint
from monitored_openai._hashing import ValueHasher
from monitored_openai._logging import warn_sparsely
from monitored_openai._providers import StreamUsage, provider_of, stream_usage_of
from monitored_openai._record import NOTHING
from monitored_openai._stats import DropReason

RAW_RESPONSE_HEADER = "X-Stainless-Raw-Response"
"""The header with which the SDK's `with_raw_response` and `with_streaming_response` mark a request."""


class _Server(NamedTuple):
    """Facts derived from a client's base URL, cached while the URL stays the same object."""

    base_url: Any
    provider: str
    host: str
    url: str
    query: Mapping[str, str]
    """The query of the base URL, which the SDK sends with each request."""
    usage: StreamUsage


class CallTracker:
    """Opens the calls of one handle's clients."""

    def __init__(
        self,
        *,
        emit: Callable[[Call], None],
        on_start: Callable[[Call], None],
        on_untracked: Callable[[DropReason], None],
        inject_usage: bool,
        keeps_content: bool,
        provider: str | None,
        hasher: ValueHasher | None = None,
    ) -> None:
        """Take callbacks and settings.

        Args:
            emit: receives each call that has ended.
            on_start: receives each call that has started.
            on_untracked: receives the reason why a request has no call.
            inject_usage: True to request the usage of streams.
            keeps_content: True if the settings allow the capture of content.
            provider: the provider in the settings; `None` to find it by the host.
            hasher: hashes attributes; `None` to keep them as they are.
        """
        self._emit = emit
        self._on_start = on_start
        self._on_untracked = on_untracked
        self._keeps_content = keeps_content
        self._provider = provider
        self._hasher = hasher
        self._usage_support = StreamUsageSupport() if inject_usage else None
        self._last_server = _Server(None, "", "", "", NOTHING, "unrequested")

    def open(self, endpoint: Endpoint, client: Any, request: Mapping[str, Any]) -> Call | None:
        """Return a call for a client's next request; on a fault, count it and return `None`.

        `request`: the arguments of the client's `post` or `get`.
        """
        try:
            options = request.get("options") or NOTHING
            headers = options.get("headers")
            raw = headers.get(RAW_RESPONSE_HEADER) if headers else None
            extra_body = options.get("extra_json")
            body, files = request.get("body"), request.get("files")
            streamed: bool = request.get("stream", False)
            server = self._last_server
            if server.base_url is not client._base_url:  # the property costs a microsecond in 3.x
                server = self._last_server = self._server(client)
            injection = None
            if streamed and raw is None and endpoint.usage_on_request and server.usage != "unrequested":
                injection = self._injection(server, client, body, options)
            call = Call(
                endpoint,
                provider=server.provider,
                server=server.host,
                body=body,
                extra_body=extra_body,
                streamed=streamed,
                buffered=not streamed and raw != "stream",
                injection=injection,
                keeps_content=self._keeps_content,
                emit=self._emit,
                form=None if files is None else describe_files(files),
                attributes=client._attributes,
            )
            if self._hasher is not None:
                call.result.attributes = self._hasher.attributes(call.result.attributes)
            self._on_start(call)
        except Exception:
            warn_sparsely("open", "a call could not be observed", exc_info=True)
            self._on_untracked("fault")
            return None
        return call

    def _injection(self, server: _Server, client: Any, body: object, options: Mapping[str, Any]) -> Injection | None:
        if self._usage_support is None or not isinstance(body, Mapping):
            return None
        extra_body = options.get("extra_json")
        places: list[object] = [body]
        places += [place for place in (extra_body, options.get("params"), client._custom_query, server.query) if place]
        if not leaves_usage_open(places, (*(options.get("headers") or ()), *client._custom_headers)):
            return None
        moderated = "moderation" in body or (isinstance(extra_body, Mapping) and "moderation" in extra_body)
        return self._usage_support.injection(server.url, only_adds_usage=moderated or server.usage == "on_request")

    def _server(self, client: Any) -> _Server:
        base_url = client._base_url
        provider = self._provider or provider_of(base_url.host, kind=client._client_kind, port=base_url.port)
        usage = stream_usage_of(base_url.host, kind=client._client_kind, configured=self._provider)
        url = str(base_url)
        if usage == "on_request" and self._usage_support is not None:
            self._usage_support.mark_accepting(url)
        query = dict(base_url.params) if base_url.query else NOTHING
        return _Server(base_url, provider, base_url.netloc.decode("ascii"), url, query, usage)

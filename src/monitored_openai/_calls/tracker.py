"""Opens a `Call` for each request of one handle's clients, and never raises into the request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from monitored_openai._calls.call import Call
from monitored_openai._calls.request_fields import describe_files
from monitored_openai._calls.stream_usage import StreamUsageSupport, leaves_usage_open
from monitored_openai._endpoints.base import Endpoint
from monitored_openai._logging import warn_sparsely
from monitored_openai._providers import provider_of, stream_usage_of
from monitored_openai._record import NOTHING
from monitored_openai._stats import DropReason

RAW_RESPONSE_HEADER = "X-Stainless-Raw-Response"
"""The header by which the SDK's `with_raw_response` and `with_streaming_response` mark a request."""


class _Server(NamedTuple):
    """What is read of a client's base URL, for as long as that stays the same object."""

    base_url: Any
    provider: str
    host: str
    url: str
    needs_request: bool
    """Whether its streams may report their usage only on request."""


class CallTracker:
    """What the resources of a client need to know: how to open a call."""

    def __init__(
        self,
        *,
        emit: Callable[[Call], None],
        opened: Callable[[Call], None],
        lost: Callable[[DropReason], None],
        inject_usage: bool,
        keeps_content: bool,
        provider: str | None,
    ) -> None:
        """`opened` and `emit` see each call at its start and end; `lost` hears why one could not be observed."""
        self._emit = emit
        self._opened = opened
        self._lost = lost
        self._keeps_content = keeps_content
        self._provider = provider
        self._asking = StreamUsageSupport() if inject_usage else None
        self._last_server = _Server(None, "", "", "", needs_request=False)

    def open(self, family: Endpoint, client: Any, request: Mapping[str, Any]) -> Call | None:
        """A call for a request that a client is about to send; `None` if it cannot be observed, which is counted.

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
            if streamed and raw is None and family.injects_usage and server.needs_request and self._asking:
                named = (*(headers or ()), *client._custom_headers)
                if leaves_usage_open(body, extra_body, named):
                    injection = self._asking.injection(server.url)
            call = Call(
                family,
                provider=server.provider,
                server=server.host,
                body=body,
                extra_body=extra_body,
                streamed=streamed,
                whole=not streamed and raw != "stream",
                injection=injection,
                keeps_content=self._keeps_content,
                emit=self._emit,
                form=None if files is None else describe_files(files),
                attributes=client._attributes,
            )
            self._opened(call)
        except Exception:
            warn_sparsely("open", "a call could not be observed", exc_info=True)
            self._lost("fault")
            return None
        return call

    def _server(self, client: Any) -> _Server:
        base_url = client._base_url
        provider = self._provider or provider_of(base_url.host, kind=client._made_for)
        usage = stream_usage_of(base_url.host, kind=client._made_for, named=self._provider)
        url = str(base_url)
        if usage == "on_request" and self._asking is not None:
            self._asking.accepts(url)
        return _Server(base_url, provider, base_url.netloc.decode("ascii"), url, usage != "unrequested")

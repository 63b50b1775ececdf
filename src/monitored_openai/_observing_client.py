"""The base of the monitored clients: overrides resources and requests, so that calls to known endpoints are observed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from openai import AsyncAzureOpenAI, AzureOpenAI

from monitored_openai._calls.context import attribute_texts, without_empty
from monitored_openai._calls.interception import observe_response, send_observed, send_observed_async
from monitored_openai._endpoints.registry import endpoint_of
from monitored_openai._exporter import Monitoring, tracker_of
from monitored_openai._providers import provider_of
from monitored_openai._record import NOTHING

if TYPE_CHECKING:
    from monitored_openai._calls.call import Call

OVERRIDDEN = ("chat", "completions", "responses", "beta")
"""The resources that a monitored client overrides."""


class _Observing:
    """The base of the four clients. Type checkers do not see the members that would hide the official signatures."""

    _monitoring: Monitoring
    _token: object
    _attributes: Mapping[str, str] = NOTHING
    _official: type[Any]
    """The official client that a class of this library stands for; a user's subclass stands for itself."""

    @property
    def monitoring(self) -> Monitoring:
        """The handle of this client's exporter, with `flush`, `stats`, `settings`, `collector` and more."""
        return self._monitoring

    def with_attributes(self, **attributes: object) -> Self:
        """Return a copy of the client that adds attributes to its calls.

        The copy shares this client's connections and monitoring. Copies of the copy keep the attributes. If a block
        `monitored_openai.attributes` sets the same attribute, the value of the block wins.

        Args:
            attributes: names and values as for `monitored_openai.attributes`. A value without a text form removes this
                client's attribute of the same name.

        Returns:
            The copy; this client stays unchanged.

        Raises:
            ValueError: A name is not a legal label name, or the library sets it itself.
        """
        texts = attribute_texts(attributes)
        made: Self = self.copy()  # type: ignore[attr-defined]  # the official client's
        made._attributes = without_empty({**self._attributes, **texts})
        return made

    if not TYPE_CHECKING:

        @property
        def user_agent(self):
            """The official client's user agent, because monitoring must not change the request on the wire."""
            return f"{official_name(type(self))}/Python {self._version}"

        @property
        def _client_kind(self):
            """`azure` for an Azure client, or the name of the client's SDK `provider=`; `None` for a plain client."""
            if isinstance(self, (AzureOpenAI, AsyncAzureOpenAI)):
                return "azure"
            return getattr(getattr(self, "_provider_runtime", None), "name", None)

        def _process_response(self, **parts):
            observe_response(parts["options"], parts["response"], parts["retries_taken"])
            return super()._process_response(**parts)

    def _open_call(self, method: str, path: str, request: Mapping[str, Any]) -> Call | None:
        tracker = tracker_of(self._monitoring)
        if tracker is None:
            return None
        endpoint = endpoint_of(method, path)
        if endpoint is None and str(path).startswith("http"):
            endpoint = endpoint_of(method, str(path).removeprefix(str(self._base_url)))  # type: ignore[attr-defined]  # the official client's
        return None if endpoint is None else tracker.open(endpoint, self, request)


def provider_at(client: Any) -> str:
    """Return the provider of a client's calls."""
    provider: str | None = client.monitoring.settings.provider
    return provider or provider_of(client.base_url.host, kind=client._client_kind, port=client.base_url.port)


class ObservingClient(_Observing):
    if not TYPE_CHECKING:

        @cached_property
        def chat(self):
            from monitored_openai._resources.chat import Chat

            return Chat(self)

        @cached_property
        def completions(self):
            from monitored_openai._resources.completions import Completions

            return Completions(self)

        @cached_property
        def responses(self):
            from monitored_openai._resources.responses import Responses

            return Responses(self)

        @cached_property
        def beta(self):
            from monitored_openai._resources.beta import Beta

            return Beta(self)

        def post(self, path, **request):
            call = self._open_call("post", path, request)
            post = super().post
            return post(path, **request) if call is None else send_observed(call, post, path, request)

        def get(self, path, **request):
            call = self._open_call("get", path, request)
            get = super().get
            return get(path, **request) if call is None else send_observed(call, get, path, request)


class AsyncObservingClient(_Observing):
    if not TYPE_CHECKING:

        @cached_property
        def chat(self):
            from monitored_openai._resources.chat import AsyncChat

            return AsyncChat(self)

        @cached_property
        def completions(self):
            from monitored_openai._resources.completions import AsyncCompletions

            return AsyncCompletions(self)

        @cached_property
        def responses(self):
            from monitored_openai._resources.responses import AsyncResponses

            return AsyncResponses(self)

        @cached_property
        def beta(self):
            from monitored_openai._resources.beta import AsyncBeta

            return AsyncBeta(self)

        async def post(self, path, **request):
            call = self._open_call("post", path, request)
            post = super().post
            return await (post(path, **request) if call is None else send_observed_async(call, post, path, request))

        async def get(self, path, **request):
            call = self._open_call("get", path, request)
            get = super().get
            return await (get(path, **request) if call is None else send_observed_async(call, get, path, request))


def official_name(kind: type[Any]) -> str:
    """Return the name by which a client's class appears in the user agent and to other libraries."""
    official: type[Any] = vars(kind).get("_official", kind)
    return official.__name__

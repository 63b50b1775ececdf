"""The four clients: subclasses of the official clients. Each observes its requests to the known endpoints."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Self

from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI, Timeout

from monitored_openai._calls.context import attribute_texts, without_empty
from monitored_openai._calls.interception import observe_response, send_observed, send_observed_async
from monitored_openai._endpoints.registry import endpoint_of
from monitored_openai._exporter import Monitoring, client_token, monitoring_for, tracker_of
from monitored_openai._providers import provider_of
from monitored_openai._record import NOTHING

if TYPE_CHECKING:
    from monitored_openai._calls.call import Call
    from monitored_openai._settings.model import MonitoringSettings


class _Monitored:
    """The base of the four clients. Type checkers do not see the members that would hide the official signatures."""

    _monitoring: Monitoring
    _token: object
    _attributes: Mapping[str, str] = NOTHING

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
            return f"{OFFICIAL_NAMES.get(type(self), type(self).__name__)}/Python {self._version}"

        @property
        def _client_kind(self):
            """`azure`, or the name of the SDK's `provider=`, if it has one; `None` for a plain client."""
            if isinstance(self, _AZURE):
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


class _Sync(_Monitored):
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


class _Async(_Monitored):
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


def _init(official: type[Any]) -> Any:
    """Return an `__init__` that takes `monitoring` in addition to the official arguments."""

    @wraps(official.__init__)
    def init(self: Any, *args: Any, monitoring: MonitoringSettings | Monitoring | None = None, **kwargs: Any) -> None:
        self._monitoring = monitoring_for(monitoring)
        self._token = client_token(self._monitoring)
        official.__init__(self, *args, **kwargs)

    return _with_signature(init)


def _copy(official: type[Any]) -> Any:
    """Return a `copy` that keeps the monitoring and the attributes; the official one drops both."""

    @wraps(official.copy)
    def copy(
        self: Any,
        *,
        monitoring: MonitoringSettings | Monitoring | None = None,
        _extra_kwargs: Mapping[str, Any] = {},
        **kwargs: Any,
    ) -> Any:
        extra = {**_extra_kwargs, "monitoring": monitoring if monitoring is not None else self._monitoring}
        made = official.copy(self, _extra_kwargs=extra, **kwargs)
        made._attributes = self._attributes
        return made

    return _with_signature(copy)


def _with_signature(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `monitoring` to the signature of a wrapper, because the SDK and other libraries inspect it."""
    official = inspect.signature(function)
    monitoring = inspect.Parameter(
        "monitoring",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation="MonitoringSettings | Monitoring | None",
    )
    parameters = list(official.parameters.values())
    at = next((i for i, p in enumerate(parameters) if p.kind is p.VAR_KEYWORD), len(parameters))
    function.__signature__ = official.replace(parameters=[*parameters[:at], monitoring, *parameters[at:]])  # type: ignore[attr-defined]
    return function


class MonitoredOpenAI(_Sync, OpenAI):
    """The official `openai.OpenAI`, which also measures, prices and logs each call.

    The client has all methods and takes all arguments of the official one.

    Args:
        monitoring: settings, the handle of another client, or `None` for the settings in the environment variables
            `MONITORED_OPENAI_*`. Clients with equal settings share one exporter.
        official: the arguments of `openai.OpenAI`.

    Raises:
        SettingsError: The environment has invalid settings, and `on_error` is not `disable`.
        TypeError: `monitoring` has another type.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            monitoring: MonitoringSettings | Monitoring | None = None,
            api_key: str | Callable[[], str] | None = None,
            project: str | None = None,
            organization: str | None = None,
            base_url: Any = None,
            timeout: float | Timeout | None = None,
            max_retries: int = 2,
            default_headers: Mapping[str, str] | None = None,
            default_query: Mapping[str, object] | None = None,
            http_client: Any = None,
            **official: Any,
        ) -> None: ...

    else:
        __init__ = _init(OpenAI)
        copy = _copy(OpenAI)
        with_options = copy


class AsyncMonitoredOpenAI(_Async, AsyncOpenAI):
    """The official `openai.AsyncOpenAI`, which also measures, prices and logs each call.

    Args:
        monitoring: as for `MonitoredOpenAI`.
        official: the arguments of `openai.AsyncOpenAI`.

    Raises:
        SettingsError: The environment has invalid settings, and `on_error` is not `disable`.
        TypeError: `monitoring` has another type.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            monitoring: MonitoringSettings | Monitoring | None = None,
            api_key: str | Callable[[], Awaitable[str]] | None = None,
            project: str | None = None,
            organization: str | None = None,
            base_url: Any = None,
            timeout: float | Timeout | None = None,
            max_retries: int = 2,
            default_headers: Mapping[str, str] | None = None,
            default_query: Mapping[str, object] | None = None,
            http_client: Any = None,
            **official: Any,
        ) -> None: ...

    else:
        __init__ = _init(AsyncOpenAI)
        copy = _copy(AsyncOpenAI)
        with_options = copy


class MonitoredAzureOpenAI(_Sync, AzureOpenAI):
    """The official `openai.AzureOpenAI`, which also measures, prices and logs each call.

    Args:
        monitoring: as for `MonitoredOpenAI`.
        official: the arguments of `openai.AzureOpenAI`.

    Raises:
        SettingsError: The environment has invalid settings, and `on_error` is not `disable`.
        TypeError: `monitoring` has another type.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            monitoring: MonitoringSettings | Monitoring | None = None,
            api_key: str | Callable[[], str] | None = None,
            azure_endpoint: str | None = None,
            azure_deployment: str | None = None,
            api_version: str | None = None,
            azure_ad_token: str | None = None,
            organization: str | None = None,
            base_url: Any = None,
            timeout: float | Timeout | None = None,
            max_retries: int = 2,
            default_headers: Mapping[str, str] | None = None,
            default_query: Mapping[str, object] | None = None,
            http_client: Any = None,
            **official: Any,
        ) -> None: ...

    else:
        __init__ = _init(AzureOpenAI)
        copy = _copy(AzureOpenAI)
        with_options = copy


class AsyncMonitoredAzureOpenAI(_Async, AsyncAzureOpenAI):
    """The official `openai.AsyncAzureOpenAI`, which also measures, prices and logs each call.

    Args:
        monitoring: as for `MonitoredOpenAI`.
        official: the arguments of `openai.AsyncAzureOpenAI`.

    Raises:
        SettingsError: The environment has invalid settings, and `on_error` is not `disable`.
        TypeError: `monitoring` has another type.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            monitoring: MonitoringSettings | Monitoring | None = None,
            api_key: str | Callable[[], Awaitable[str]] | None = None,
            azure_endpoint: str | None = None,
            azure_deployment: str | None = None,
            api_version: str | None = None,
            azure_ad_token: str | None = None,
            organization: str | None = None,
            base_url: Any = None,
            timeout: float | Timeout | None = None,
            max_retries: int = 2,
            default_headers: Mapping[str, str] | None = None,
            default_query: Mapping[str, object] | None = None,
            http_client: Any = None,
            **official: Any,
        ) -> None: ...

    else:
        __init__ = _init(AsyncAzureOpenAI)
        copy = _copy(AsyncAzureOpenAI)
        with_options = copy


OVERRIDDEN = ("chat", "completions", "responses", "beta")
"""The resources that a monitored client overrides."""
_AZURE = (AzureOpenAI, AsyncAzureOpenAI)
OFFICIAL_NAMES = {
    MonitoredOpenAI: "OpenAI",
    AsyncMonitoredOpenAI: "AsyncOpenAI",
    MonitoredAzureOpenAI: "AzureOpenAI",
    AsyncMonitoredAzureOpenAI: "AsyncAzureOpenAI",
}

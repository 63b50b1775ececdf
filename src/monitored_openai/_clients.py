"""The four clients: the official ones, with every request that costs money observed."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Self

from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI, Timeout

from monitored_openai._attributes import attribute_texts, without_empty
from monitored_openai._exporter import Monitoring, monitoring_for
from monitored_openai._providers import provider_of
from monitored_openai._record import NOTHING
from monitored_openai._resources._families import family_of
from monitored_openai._resources._observe import observed, observed_async, see_response

if TYPE_CHECKING:
    from monitored_openai._call import Call
    from monitored_openai._settings import MonitoringSettings


class _Monitored:
    """What the four have in common; hidden from the type checkers is what would cost the official signatures."""

    _monitoring: Monitoring
    _token: object
    _attributes: Mapping[str, str] = NOTHING

    @property
    def monitoring(self) -> Monitoring:
        """The handle on this client's telemetry: `flush`, `aflush`, `stats`, `collector`, `settings`, `close`."""
        return self._monitoring

    def with_attributes(self, **attributes: object) -> Self:
        """A copy whose calls are labelled; it shares this client's connections and monitoring.

        Its own copies keep the labels. Where `monitored_openai.attributes` sets the same one, that is what counts.

        Args:
            attributes: names and values as `monitored_openai.attributes` takes them. A value without a text form takes
                this client's attribute of the same name away.

        Raises:
            ValueError: a name is no legal label name or is one that the library sets itself.
        """
        texts = attribute_texts(attributes)
        made: Self = self.copy()  # type: ignore[attr-defined]  # the official client's
        made._attributes = without_empty({**self._attributes, **texts})
        return made

    if not TYPE_CHECKING:

        @property
        def user_agent(self):
            """The official client's, so that the request on the wire stays the same."""
            return f"{OFFICIAL_NAMES.get(type(self), type(self).__name__)}/Python {self._version}"

        @property
        def _made_for(self):
            """What it was made for, if for something: Azure, or what its `provider` argument names, since 3.x."""
            if isinstance(self, _AZURE):
                return "azure"
            return getattr(getattr(self, "_provider_runtime", None), "name", None)

        def _process_response(self, **parts):
            see_response(parts["options"], parts["response"], parts["retries_taken"])
            return super()._process_response(**parts)

    def _opens_call(self, method: str, path: str, request: Mapping[str, Any]) -> Call | None:
        observer = self._monitoring.observer
        if observer is None:
            return None
        family = family_of(method, path)
        if family is None and str(path).startswith("http"):
            family = family_of(method, str(path).removeprefix(str(self._base_url)))  # type: ignore[attr-defined]  # the official client's
        return None if family is None else observer.open(family, self, request)


def provider_at(client: Any) -> str:
    """The provider that a client's calls go to."""
    provider: str | None = client.monitoring.settings.provider
    return provider or provider_of(client.base_url.host, kind=client._made_for)


class _Sync(_Monitored):
    if not TYPE_CHECKING:

        def post(self, path, **request):
            call = self._opens_call("post", path, request)
            post = super().post
            return post(path, **request) if call is None else observed(call, post, path, request)

        def get(self, path, **request):
            call = self._opens_call("get", path, request)
            get = super().get
            return get(path, **request) if call is None else observed(call, get, path, request)


class _Async(_Monitored):
    if not TYPE_CHECKING:

        async def post(self, path, **request):
            call = self._opens_call("post", path, request)
            post = super().post
            return await (post(path, **request) if call is None else observed_async(call, post, path, request))

        async def get(self, path, **request):
            call = self._opens_call("get", path, request)
            get = super().get
            return await (get(path, **request) if call is None else observed_async(call, get, path, request))


def _init(official: type[Any]) -> Any:
    """An `__init__` that takes what the official one takes, and `monitoring`."""

    @wraps(official.__init__)
    def init(self: Any, *args: Any, monitoring: MonitoringSettings | Monitoring | None = None, **kwargs: Any) -> None:
        self._monitoring = monitoring_for(monitoring)
        self._token = self._monitoring._clients.token()
        official.__init__(self, *args, **kwargs)

    return _with_signature(init)


def _copy(official: type[Any]) -> Any:
    """A `copy` that hands the monitoring and the attributes on; the official one drops what it does not know."""

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
    """Give the function the signature of what it wraps, with `monitoring` added: the SDK and others read it."""
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
    """The official `openai.OpenAI`, every completion of which is measured, priced and logged.

    Args beyond the official ones:
        monitoring: settings; or another client's handle, to share it; or `None` for what the environment's
            `MONITORED_OPENAI_*` variables say. Clients with equal settings share one exporter.

    Raises:
        SettingsError: the environment holds wrong settings (and `on_error` is not `disable`).
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
            **official: Any,
        ) -> None: ...

    else:
        __init__ = _init(OpenAI)
        copy = _copy(OpenAI)
        with_options = copy


class AsyncMonitoredOpenAI(_Async, AsyncOpenAI):
    """The official `openai.AsyncOpenAI`, monitored; see `MonitoredOpenAI`."""

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
            **official: Any,
        ) -> None: ...

    else:
        __init__ = _init(AsyncOpenAI)
        copy = _copy(AsyncOpenAI)
        with_options = copy


class MonitoredAzureOpenAI(_Sync, AzureOpenAI):
    """The official `openai.AzureOpenAI`, monitored; see `MonitoredOpenAI`."""

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
            **official: Any,
        ) -> None: ...

    else:
        __init__ = _init(AzureOpenAI)
        copy = _copy(AzureOpenAI)
        with_options = copy


class AsyncMonitoredAzureOpenAI(_Async, AsyncAzureOpenAI):
    """The official `openai.AsyncAzureOpenAI`, monitored; see `MonitoredOpenAI`."""

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
            **official: Any,
        ) -> None: ...

    else:
        __init__ = _init(AsyncAzureOpenAI)
        copy = _copy(AsyncAzureOpenAI)
        with_options = copy


_AZURE = (AzureOpenAI, AsyncAzureOpenAI)
OFFICIAL_NAMES = {
    MonitoredOpenAI: "OpenAI",
    AsyncMonitoredOpenAI: "AsyncOpenAI",
    MonitoredAzureOpenAI: "AzureOpenAI",
    AsyncMonitoredAzureOpenAI: "AsyncAzureOpenAI",
}

"""The four clients: subclasses of the official clients that also take the argument `monitoring`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI, Timeout

from monitored_openai._exporter import Monitoring, client_token, monitoring_for
from monitored_openai._observing_client import AsyncObservingClient, ObservingClient

if TYPE_CHECKING:
    from monitored_openai._settings.model import MonitoringSettings


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


class MonitoredOpenAI(ObservingClient, OpenAI):
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
        _official = OpenAI
        __init__ = _init(OpenAI)
        copy = _copy(OpenAI)
        with_options = copy


class AsyncMonitoredOpenAI(AsyncObservingClient, AsyncOpenAI):
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
        _official = AsyncOpenAI
        __init__ = _init(AsyncOpenAI)
        copy = _copy(AsyncOpenAI)
        with_options = copy


class MonitoredAzureOpenAI(ObservingClient, AzureOpenAI):
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
        _official = AzureOpenAI
        __init__ = _init(AzureOpenAI)
        copy = _copy(AzureOpenAI)
        with_options = copy


class AsyncMonitoredAzureOpenAI(AsyncObservingClient, AsyncAzureOpenAI):
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
        _official = AsyncAzureOpenAI
        __init__ = _init(AsyncAzureOpenAI)
        copy = _copy(AsyncAzureOpenAI)
        with_options = copy

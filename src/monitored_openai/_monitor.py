"""`monitor(client)`: returns a monitored twin of an existing client."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from inspect import getattr_static
from typing import Any, TypeAlias, overload

from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

from monitored_openai._clients import (
    AsyncMonitoredAzureOpenAI,
    AsyncMonitoredOpenAI,
    MonitoredAzureOpenAI,
    MonitoredOpenAI,
)
from monitored_openai._exporter import Monitoring, client_token, monitoring_for
from monitored_openai._observing_client import OVERRIDDEN, official_name
from monitored_openai._settings.model import MonitoringSettings

_MONITORED: dict[type[Any], type[Any]] = {
    AzureOpenAI: MonitoredAzureOpenAI,
    AsyncAzureOpenAI: AsyncMonitoredAzureOpenAI,
    OpenAI: MonitoredOpenAI,
    AsyncOpenAI: AsyncMonitoredOpenAI,
}
_MOST_CLASSES = 64
_Settings: TypeAlias = MonitoringSettings | Monitoring | None


@overload
def monitor(client: AzureOpenAI, settings: _Settings = None) -> MonitoredAzureOpenAI: ...  # type: ignore[overload-overlap]  # the first matching overload applies
@overload
def monitor(client: AsyncAzureOpenAI, settings: _Settings = None) -> AsyncMonitoredAzureOpenAI: ...  # type: ignore[overload-overlap]  # as above
@overload
def monitor(client: OpenAI, settings: _Settings = None) -> MonitoredOpenAI: ...
@overload
def monitor(client: AsyncOpenAI, settings: _Settings = None) -> AsyncMonitoredOpenAI: ...
def monitor(client: Any, settings: _Settings = None) -> Any:
    """Return a monitored twin of a client.

    The twin has the client's current options and shares its connections. Close only one of the two, because this also
    closes the connections of the other. The client itself stays unchanged.

    Args:
        client: an official client, an instance of your own subclass, or a monitored client.
        settings: settings, the handle of another client, or `None` for the settings in the environment variables
            `MONITORED_OPENAI_*`. If `client` is monitored, its own settings do not apply to the twin.

    Returns:
        The twin, which is also an instance of the client's class.

    Raises:
        SettingsError: The environment has invalid settings, and `on_error` is not `disable`.
        TypeError: `client` is not a client of the openai package, or `settings` has another type.
    """
    if not isinstance(client, (OpenAI, AsyncOpenAI)):
        raise TypeError(f"client must be a client of the openai package, not {type(client).__name__}")
    kind = type(client)
    state = {name: value for name, value in vars(client).items() if not _is_cache(kind, name)}
    return _twin(kind, state, monitoring_for(settings))


def method_on_twin(method: Callable[..., Any], monitoring: Monitoring) -> Callable[..., Any]:
    """Return the same method of a monitored twin; later changes of the client's options apply to the twin too.

    Raises:
        TypeError: `method` is not a method of a client's resource.
    """
    resource: Any = getattr(method, "__self__", None)
    client = getattr(resource, "_client", None)
    if not isinstance(client, (OpenAI, AsyncOpenAI)):
        raise TypeError("func must be a method of an OpenAI client, such as client.chat.completions.create")
    followed: Callable[..., Any] = getattr(
        type(resource)(_twin(type(client), vars(client), monitoring)), method.__name__
    )
    return followed


def _is_cache(kind: type[Any], name: str) -> bool:
    """Return whether the attribute is a cached resource, which refers to the original client."""
    return isinstance(getattr_static(kind, name, None), cached_property)


def _twin(kind: type[Any], state: dict[str, Any], monitoring: Monitoring) -> Any:
    plain: type[Any] = getattr(kind, "_twin_of", kind)
    twin = _with_state(_twin_class(plain), state)  # type: ignore[arg-type]  # a class can be hashed
    twin._monitoring = monitoring
    twin._token = client_token(monitoring)
    return twin


def _own_resources(kind: type[Any], official: type[Any]) -> dict[str, Any]:
    """Return the resources that a user's class overrides. Its twin keeps them and finds their endpoints by path."""
    found = {name: getattr_static(kind, name) for name in OVERRIDDEN}
    return {name: resource for name, resource in found.items() if resource is not getattr_static(official, name)}


def _with_state(kind: type[Any], state: dict[str, Any]) -> Any:
    """Return an object of the class that shares the state, without calling `__init__`."""
    twin = object.__new__(kind)
    twin.__dict__ = state
    return twin


@lru_cache(_MOST_CLASSES)
def _twin_class(kind: type[Any]) -> type[Any]:
    """Return a monitored subclass of a client's class.

    The subclass has the name of the client's class (the official name for our four clients), because the SDK puts
    it into the User-Agent. The handle and its token have slots, because the twin may share the client's `__dict__`.
    """

    def copy(self: Any, *, monitoring: _Settings = None, **options: Any) -> Any:
        """Return a monitored twin of the client's copy."""
        handle = self._monitoring if monitoring is None else monitoring_for(monitoring)
        copied = kind.copy(_with_state(kind, vars(self)), **options)
        twin = _twin(type(copied), vars(copied), handle)
        twin._attributes = self._attributes
        return twin

    official, monitored = next(pair for pair in _MONITORED.items() if issubclass(kind, pair[0]))
    bases = (kind,) if issubclass(kind, monitored) else (monitored, kind)
    return type(
        official_name(kind),
        bases,
        {
            "__slots__": ("_monitoring", "_token"),
            "__module__": kind.__module__,
            "__doc__": kind.__doc__,
            "_twin_of": kind,
            "copy": copy,
            "with_options": copy,
            "user_agent": kind.user_agent,
            **_own_resources(kind, official),
        },
    )

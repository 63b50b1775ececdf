"""A monitored twin of a client that somebody else's code has made."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from inspect import getattr_static
from typing import Any, TypeAlias, overload

from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

from monitored_openai._clients import (
    OFFICIAL_NAMES,
    AsyncMonitoredAzureOpenAI,
    AsyncMonitoredOpenAI,
    MonitoredAzureOpenAI,
    MonitoredOpenAI,
)
from monitored_openai._exporter import Monitoring, monitoring_for
from monitored_openai._settings import MonitoringSettings

_MONITORED: dict[type[Any], type[Any]] = {
    AzureOpenAI: MonitoredAzureOpenAI,
    AsyncAzureOpenAI: AsyncMonitoredAzureOpenAI,
    OpenAI: MonitoredOpenAI,
    AsyncOpenAI: AsyncMonitoredOpenAI,
}
_MOST_CLASSES = 64
_Settings: TypeAlias = MonitoringSettings | Monitoring | None


@overload
def monitor(client: AzureOpenAI, settings: _Settings = None) -> MonitoredAzureOpenAI: ...  # type: ignore[overload-overlap]  # of the classes that a client is of, the first here counts
@overload
def monitor(client: AsyncAzureOpenAI, settings: _Settings = None) -> AsyncMonitoredAzureOpenAI: ...  # type: ignore[overload-overlap]  # as above
@overload
def monitor(client: OpenAI, settings: _Settings = None) -> MonitoredOpenAI: ...
@overload
def monitor(client: AsyncOpenAI, settings: _Settings = None) -> AsyncMonitoredOpenAI: ...
def monitor(client: Any, settings: _Settings = None) -> Any:
    """A monitored twin of a client: of its class, with its options as they are now, over its very connections.

    The client itself stays as it is and is not monitored. Closing either of the two closes the connections of both.

    Args:
        client: an official client, one of a class of your own derived from it, or one that is monitored already, of
            which the twin is monitored by these settings instead.
        settings: as a client's `monitoring`: settings, another client's handle, or `None` for the environment.

    Raises:
        SettingsError: the environment holds wrong settings (and `on_error` is not `disable`).
        TypeError: it is no such client.
    """
    if not isinstance(client, (OpenAI, AsyncOpenAI)):
        raise TypeError(f"client must be a client of the openai package, not {type(client).__name__}")
    kind = type(client)
    state = {name: value for name, value in vars(client).items() if not _is_cache(kind, name)}
    return _twin(kind, state, monitoring_for(settings))


def method_on_twin(method: Callable[..., Any], monitoring: Monitoring) -> Callable[..., Any]:
    """The same method of the same resource, on a twin that goes on to follow every change of the client's options.

    Raises:
        TypeError: it is no method of a client's resource.
    """
    resource: Any = getattr(method, "__self__", None)
    client = getattr(resource, "_client", None)
    if not isinstance(client, (OpenAI, AsyncOpenAI)):
        raise TypeError("func must be a method of an OpenAI client, as client.chat.completions.create is")
    followed: Callable[..., Any] = getattr(
        type(resource)(_twin(type(client), vars(client), monitoring)), method.__name__
    )
    return followed


def _is_cache(kind: type[Any], name: str) -> bool:
    """Whether this is a resource that the client has made for itself, and that leads back to it."""
    return isinstance(getattr_static(kind, name, None), cached_property)


def _twin(kind: type[Any], state: dict[str, Any], monitoring: Monitoring) -> Any:
    plain: type[Any] = getattr(kind, "_twin_of", kind)
    twin = _with_state(_twin_class(plain), state)  # type: ignore[arg-type]  # a class can be hashed
    twin._monitoring = monitoring
    twin._token = monitoring._clients.token()
    return twin


def _with_state(kind: type[Any], state: dict[str, Any]) -> Any:
    """An object of this class that has, and not only begins with, this state; its class's `__init__` does not run."""
    made = object.__new__(kind)
    made.__dict__ = state
    return made


@lru_cache(_MOST_CLASSES)
def _twin_class(kind: type[Any]) -> type[Any]:
    """A monitored class derived from a client's class, and of its name, which the SDK puts into the User-Agent.

    The handle and its token have slots, beside the state that the twin may share with the client.
    """

    def copy(self: Any, *, monitoring: _Settings = None, **options: Any) -> Any:
        """The same as the client's, for a twin of the copy."""
        handle = self._monitoring if monitoring is None else monitoring_for(monitoring)
        copied = kind.copy(_with_state(kind, vars(self)), **options)
        twin = _twin(type(copied), vars(copied), handle)
        twin._attributes = self._attributes
        return twin

    monitored = next(ours for official, ours in _MONITORED.items() if issubclass(kind, official))
    bases = (kind,) if issubclass(kind, monitored) else (monitored, kind)
    return type(
        OFFICIAL_NAMES.get(kind, kind.__name__),
        bases,
        {
            "__slots__": ("_monitoring", "_token"),
            "__module__": kind.__module__,
            "__doc__": kind.__doc__,
            "_twin_of": kind,
            "copy": copy,
            "with_options": copy,
            "user_agent": kind.user_agent,
        },
    )

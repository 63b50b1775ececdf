"""What the caller says about the calls made inside a `with` block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from typing import Any, TypeVar

from monitored_openai._endpoints import Refusal, label_name
from monitored_openai._record import NOTHING

_T = TypeVar("_T")

current_attributes: ContextVar[Mapping[str, str]] = ContextVar("monitored_openai_attributes", default=NOTHING)
content_allowed: ContextVar[bool] = ContextVar("monitored_openai_content_allowed", default=True)


@contextmanager
def attributes(**labels: str) -> Iterator[None]:
    """Label every call started inside the block, across awaits, tasks and nested blocks (the inner value wins).

    Labels go into each log entry, and into the metrics where `MonitoringSettings.label_names` names them.

    Raises:
        ValueError: a name that is not a legal or not a free label name, or a value that is not a non-empty text.
    """
    for name, value in labels.items():
        _check(name, value)
    with _set(current_attributes, {**current_attributes.get(), **labels}):
        yield


@contextmanager
def no_content() -> Iterator[None]:
    """Keep what is asked and answered inside the block out of the log; everything else is recorded as ever."""
    with _set(content_allowed, False):
        yield


def _check(name: str, value: Any) -> None:
    try:
        label_name(name)
    except Refusal as refusal:
        raise ValueError(f"attribute {name[:128]!r} {refusal}") from None
    if not isinstance(value, str) or not value:
        raise ValueError(f"attribute {name!r} must be a non-empty text, not {type(value).__name__}")


@contextmanager
def _set(variable: ContextVar[_T], value: _T) -> Iterator[None]:
    token: Token[_T] = variable.set(value)
    try:
        yield
    finally:
        # A generator may be closed in another context than it was started in: there is nothing to reset there.
        with suppress(ValueError):
            variable.reset(token)

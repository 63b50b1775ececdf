"""What the caller says about the calls made inside a `with` block."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from typing import Any, TypeVar

from monitored_openai._record import NOTHING

_T = TypeVar("_T")

_LEGAL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_RESERVED_PREFIXES = ("__", "gen_ai_", "openai_")
_RESERVED_NAMES = frozenset(
    {"job", "instance", "environment", "service_name", "le", "quantile", "error_type", "kind", "reason", "signal"}
    | {"resource", "organization", "project", "shard", "replay", "detected_level"}
    | {"id", "operation", "provider", "model", "request_id", "trace_id", "span_id", "finish_reason"}
    | {"input_tokens", "output_tokens", "cost_usd"}
)

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
    if not _LEGAL_NAME.match(name):
        raise ValueError(f"attribute {name!r} is not a legal label name: use letters, digits and underscores")
    if name in _RESERVED_NAMES or name.startswith(_RESERVED_PREFIXES):
        raise ValueError(f"attribute {name!r} is a reserved label name: choose another")
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

"""Attributes and content capture for the calls inside a `with` block, and the attributes of a client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar, Token
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import TracebackType
from typing import Any, Generic, TypeVar

from monitored_openai._calls.attribute_values import attribute_text
from monitored_openai._labels import InvalidValue, label_name
from monitored_openai._logging import warn_sparsely
from monitored_openai._record import NOTHING

_T = TypeVar("_T")
_Function = TypeVar("_Function", bound=Callable[..., Any])

current_attributes: ContextVar[Mapping[str, str]] = ContextVar("monitored_openai_attributes", default=NOTHING)
content_allowed: ContextVar[bool] = ContextVar("monitored_openai_content_allowed", default=True)
_MOST_CHARACTERS = 4096
"""Limit for an attribute's value, which each queued call holds. A label or structured metadata takes 1,024 bytes."""


class Block(AbstractContextManager[None], Generic[_T]):
    """Sets a context variable inside a `with` block, or during each call of a decorated function."""

    __slots__ = ("_token", "_value", "_variable")

    def __init__(self, variable: ContextVar[_T], value: Callable[[], _T]) -> None:
        self._variable = variable
        self._value = value
        self._token: Token[_T] | None = None

    def __enter__(self) -> None:
        if self._token is not None:
            raise RuntimeError("this block has been entered already; make one for each `with`")
        self._token = self._variable.set(self._value())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        token, self._token = self._token, None
        # A generator may be closed in another context than it was started in, which needs no reset.
        with suppress(ValueError):
            if token is not None:
                self._variable.reset(token)

    def __call__(self, function: _Function) -> _Function:
        """Return the function, plain or `async def`, with each of its calls inside such a block.

        Raises:
            TypeError: the function is a generator, whose `yield` would leak the block into the consumer's code.
        """
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            raise TypeError(f"{function.__name__} is a generator; use `with` in it, around no `yield`")
        if iscoroutinefunction(function):

            @wraps(function)
            async def inside_async(*args: Any, **kwargs: Any) -> Any:
                with Block(self._variable, self._value):
                    return await function(*args, **kwargs)

            return inside_async  # type: ignore[return-value]  # `wraps` loses the exact type

        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with Block(self._variable, self._value):
                return function(*args, **kwargs)

        return inside  # type: ignore[return-value]  # as above


def attributes(**labels: object) -> Block[Mapping[str, str]]:
    """Label every call started inside the block, across awaits, tasks and nested blocks (the inner value wins).

    Labels go into each log entry, and into the metrics where `MonitoringSettings.label_names` names them.

    Args:
        labels: texts, numbers, `bool` (`true` or `false`), `Decimal`, `UUID`, dates, times, enum members (by their
            values) and NumPy scalars. Any other value, including `None` and the empty text, removes the label from the
            calls, even one from an outer block or the client; one warning a minute reports it. A text keeps its first
            4,096 characters.

    Raises:
        ValueError: a name is not a legal label name, or the library sets it itself.
    """
    texts = attribute_texts(labels)
    return Block(current_attributes, lambda: {**current_attributes.get(), **texts})


def no_content() -> Block[bool]:
    """Do not log the requests and responses of calls started inside the block; all other facts are recorded as usual."""
    return Block(content_allowed, lambda: False)


def attribute_texts(labels: Mapping[str, object]) -> dict[str, str]:
    """Return the attributes as texts, empty for a value without a text form, which a warning reports without the value.

    Raises:
        ValueError: a name is not a legal label name, or the library sets it itself.
    """
    for name in labels:
        try:
            label_name(name)
        except InvalidValue as refusal:
            raise ValueError(f"attribute {name[:128]!r} {refusal}") from None
    texts: dict[str, str] = {}
    for name, value in labels.items():
        text = attribute_text(value)
        if text is None:
            _warn_of_omission(name, value)
        texts[str.__str__(name)] = (text or "")[:_MOST_CHARACTERS]
    return texts


def _warn_of_omission(name: str, value: object) -> None:
    kind = type(value)
    with suppress(Exception):  # a metaclass may override even the name of a class
        form = "its text is empty" if issubclass(kind, str) else f"a value of type {kind.__name__} has no text form"
        warn_sparsely("attribute", "attribute %s is left out: %s; give a text", str.__str__(name), form)


def attributes_of_call(from_client: Mapping[str, str]) -> Mapping[str, str]:
    """Return the attributes of a call that starts now: the client's, overridden by those of the blocks around the call.

    An empty text in a block removes the client's attribute.
    """
    from_blocks = current_attributes.get()
    if not from_blocks:
        return from_client
    merged = {**from_client, **from_blocks} if from_client else from_blocks
    return merged if all(merged.values()) else without_empty(merged)


def without_empty(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes whose text is not empty."""
    return {name: text for name, text in texts.items() if text}

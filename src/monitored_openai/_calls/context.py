"""Attributes of calls, from `with` blocks and from the client, and blocks that switch off the capture of content."""

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
"""Limit for an attribute's value, because each queued call holds it. Labels and metadata allow 1,024 bytes."""


class Block(AbstractContextManager[None], Generic[_T]):
    """A context manager and decorator that sets a context variable."""

    __slots__ = ("_token", "_value", "_variable")

    def __init__(self, variable: ContextVar[_T], value: Callable[[], _T]) -> None:
        self._variable = variable
        self._value = value
        self._token: Token[_T] | None = None

    def __enter__(self) -> None:
        if self._token is not None:
            raise RuntimeError("this block is already active; create one for each `with`")
        self._token = self._variable.set(self._value())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        token, self._token = self._token, None
        # A generator may end in another context than the one in which it started; that context needs no reset.
        with suppress(ValueError):
            if token is not None:
                self._variable.reset(token)

    def __call__(self, function: _Function) -> _Function:
        """Return a wrapper of a function, plain or `async def`, that runs the function inside a new block.

        Raises:
            TypeError: The function is a generator: each `yield` would leak the block into the consumer's code.
        """
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            raise TypeError(f"{function.__name__} is a generator; use `with` inside it, without a `yield` in the block")
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
    """Add attributes to every call that starts inside the block, also after an `await` and in tasks that start there.

    Use it in a `with` statement or as a decorator. Blocks may be nested; the inner value applies. Each log entry contains
    all attributes. The metrics have labels only for the attributes that `MonitoringSettings.label_names` lists.

    Args:
        labels: the value of each attribute, by its name: a text, a number, `True` or `False` (written as `true` or
            `false`), a `Decimal`, a `UUID`, a date, a time, an enum member (written as its value) or a NumPy scalar. The
            library keeps the first 4,096 characters of a value. A value without a text form, such as `None`, a list or an
            empty text, removes the attribute from the calls, even if an outer block or the client sets it. The library logs
            a warning about such a value, at most once a minute.

    Returns:
        The context manager and decorator.

    Raises:
        ValueError: A name is not a legal label name, or the library sets it itself.
    """
    texts = attribute_texts(labels)
    return Block(current_attributes, lambda: {**current_attributes.get(), **texts})


def no_content() -> Block[bool]:
    """Do not capture the requests and responses of calls that start inside the block.

    Use it in a `with` statement or as a decorator. The records of these calls contain all other facts.

    Returns:
        The context manager and decorator.
    """
    return Block(content_allowed, lambda: False)


def attribute_texts(labels: Mapping[str, object]) -> dict[str, str]:
    """Return the attributes as texts; warn about a value without a text form, which becomes an empty text.

    Raises:
        ValueError: A name is not a legal label name, or the library sets it itself.
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
    """Return the attributes of a call that starts now: those of the client, overridden by those of the current blocks.

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

"""What the caller says about the calls made inside a `with` block, or by one client."""

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
"""Of a value, which each waiting call holds: a label has room for 1,024 bytes, structured metadata for as many."""


class Block(AbstractContextManager[None], Generic[_T]):
    """A `with` block, or a function decorated to be one, in which a context variable has a value of its own."""

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
        # A generator may be closed in another context than it was started in: there is nothing to reset there.
        with suppress(ValueError):
            if token is not None:
                self._variable.reset(token)

    def __call__(self, function: _Function) -> _Function:
        """The function, plain or `async def`, with each of its calls inside of such a block.

        Raises:
            TypeError: it is a generator, whose `yield` would take whoever is yielded to into the block as well.
        """
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            raise TypeError(f"{function.__name__} is a generator; use `with` in it, around no `yield`")
        if iscoroutinefunction(function):

            @wraps(function)
            async def inside_async(*args: Any, **kwargs: Any) -> Any:
                with Block(self._variable, self._value):
                    return await function(*args, **kwargs)

            return inside_async  # type: ignore[return-value]  # wraps says no more than that it is a function

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
            values) and NumPy scalars. Any other value, `None` and the empty text among them, means that the calls do
            not get this label, not even from an outer block or the client; one warning a minute reports it. A text
            keeps its first 4,096 characters.

    Raises:
        ValueError: a name is no legal label name or is one that the library sets itself.
    """
    texts = attribute_texts(labels)
    return Block(current_attributes, lambda: {**current_attributes.get(), **texts})


def no_content() -> Block[bool]:
    """Keep what is asked and answered inside the block out of the log; everything else is recorded as ever."""
    return Block(content_allowed, lambda: False)


def attribute_texts(labels: Mapping[str, object]) -> dict[str, str]:
    """Return the attributes as texts, empty for a value without a text form, which a warning reports without the value.

    Raises:
        ValueError: a name is no legal label name or is one that the library sets itself.
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


def attributes_of_call(of_client: Mapping[str, str]) -> Mapping[str, str]:
    """Those of a call that starts now: the client's and the blocks' around it, which win as they are nearer to it.

    An empty text in a block takes the client's attribute away.
    """
    of_blocks = current_attributes.get()
    if not of_blocks:
        return of_client
    merged = {**of_client, **of_blocks} if of_client else of_blocks
    return merged if all(merged.values()) else without_empty(merged)


def without_empty(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes whose text is not empty."""
    return {name: text for name, text in texts.items() if text}

"""What the caller says about the calls made inside a `with` block, or by one client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar, Token
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import TracebackType
from typing import Any, Generic, TypeVar

from monitored_openai._endpoints import Refusal, label_name
from monitored_openai._record import NOTHING

_T = TypeVar("_T")
_Function = TypeVar("_Function", bound=Callable[..., Any])

current_attributes: ContextVar[Mapping[str, str]] = ContextVar("monitored_openai_attributes", default=NOTHING)
content_allowed: ContextVar[bool] = ContextVar("monitored_openai_content_allowed", default=True)


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


def attributes(**labels: str) -> Block[Mapping[str, str]]:
    """Label every call started inside the block, across awaits, tasks and nested blocks (the inner value wins).

    Labels go into each log entry, and into the metrics where `MonitoringSettings.label_names` names them.

    Raises:
        ValueError: a name that is not a legal or not a free label name, or a value that is not a non-empty text.
    """
    check_attributes(labels)
    return Block(current_attributes, lambda: {**current_attributes.get(), **labels})


def no_content() -> Block[bool]:
    """Keep what is asked and answered inside the block out of the log; everything else is recorded as ever."""
    return Block(content_allowed, lambda: False)


def check_attributes(labels: Mapping[str, Any]) -> None:
    """Raise `ValueError` for the first attribute that cannot be one, by its name and without its value."""
    for name, value in labels.items():
        try:
            label_name(name)
        except Refusal as refusal:
            raise ValueError(f"attribute {name[:128]!r} {refusal}") from None
        if not isinstance(value, str) or not value:
            raise ValueError(f"attribute {name!r} must be a non-empty text, not {type(value).__name__}")


def attributes_of_call(of_client: Mapping[str, str]) -> Mapping[str, str]:
    """Those of a call that starts now: the client's and the blocks' around it, which win as they are nearer to it."""
    of_blocks = current_attributes.get()
    return {**of_client, **of_blocks} if of_client and of_blocks else of_client or of_blocks

"""Runs functions in the threads of a pool with the context of the caller: attributes and `no_content()` blocks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

_WITHOUT_SHARED_MEMORY = frozenset({"ProcessPoolExecutor", "InterpreterPoolExecutor"})


def carry(executor: Executor) -> Executor:
    """Return an executor that applies `attributes()` and `no_content()` blocks to the functions submitted inside them.

    Without this function, these blocks do not apply in the threads of a `ThreadPoolExecutor`. With the returned
    executor, `attributes()`, `no_content()` and all other context variables, such as the current span of OpenTelemetry,
    apply to the submitted function, as with `asyncio.to_thread`. Both executors use the same threads. If you shut down
    one of them, with `shutdown` or at the end of its `with` block, the other is shut down too.

    Args:
        executor: the executor that runs the functions in threads of this process.

    Returns:
        The executor to use in place of the given one.

    Raises:
        TypeError: The executor runs its functions in other processes or interpreters, which a context cannot enter.
    """
    if names := _WITHOUT_SHARED_MEMORY.intersection(cls.__name__ for cls in type(executor).__mro__):
        raise TypeError(f"carry() needs an executor of threads, not {min(names)}; set the attributes in the function")
    return _CarryingExecutor(executor)


class _CarryingExecutor(Executor):
    """An executor that submits functions with a copy of the current context to another executor."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        # Each function gets its own copy, because two threads cannot run in one context at the same time.
        return self._executor.submit(partial(copy_context().run, fn, *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._executor.shutdown(wait, cancel_futures=cancel_futures)

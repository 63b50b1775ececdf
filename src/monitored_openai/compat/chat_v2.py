"""Chat completions: `client.chat.completions.create = chat_v2.monitor(client.chat.completions.create, ...)`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import isawaitable
from typing import Any, cast

from monitored_openai.compat._monitored import Function, monitored


def monitor(
    func: Function,
    metrics_url: str,
    logs_url: str,
    metrics_username: str,
    logs_username: str,
    access_token: str,
    use_async: bool = False,
    disable_content: bool = False,
    environment: str = "default",
) -> Function:
    """Return a method that works like `func` and measures, prices and logs each call.

    Args:
        func: a method of a sync or async client, such as `client.chat.completions.create`.
        metrics_url: the Prometheus address of a Grafana Cloud stack, which contains `api/prom`.
        logs_url: the address of Loki.
        metrics_username: the instance ID of Prometheus.
        logs_username: the instance ID of Loki.
        access_token: an access policy token with the scopes `metrics:write` and `logs:write`.
        use_async: True to return a coroutine function even for a sync client. The method of an async client is always
            awaitable.
        disable_content: True to keep requests and responses out of the log.
        environment: the value of the label `environment`.

    Returns:
        The method of a monitored twin of the client.

    Raises:
        ValueError: A parameter is missing or invalid.
        TypeError: `func` is not a method of an OpenAI client.
    """
    method = monitored(
        func,
        metrics_url=metrics_url,
        logs_url=logs_url,
        metrics_username=metrics_username,
        logs_username=logs_username,
        access_token=access_token,
        disable_content=disable_content,
        environment=environment,
    )
    return cast(Function, _awaited(method)) if use_async else method


def _awaited(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        made = method(*args, **kwargs)
        return await made if isawaitable(made) else made

    return awaited

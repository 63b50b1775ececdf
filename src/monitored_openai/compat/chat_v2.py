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
    """The same method of the same client, every call of which is measured, priced and logged.

    Args:
        func: a client's method, as `client.chat.completions.create`.
        metrics_url: the Prometheus address of a Grafana Cloud stack, which ends in `api/prom`.
        logs_url: where Loki takes entries.
        metrics_username: the instance ID of Prometheus.
        logs_username: the instance ID of Loki.
        access_token: an access policy token with the scopes `metrics:write` and `logs:write`.
        use_async: return a coroutine function. An async client's methods are awaited without it as well.
        disable_content: keep what is asked and answered out of the log.
        environment: the label `environment`.

    Raises:
        ValueError: a parameter is missing or cannot be used.
        TypeError: `func` is no method of an OpenAI client.
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

"""Legacy completions: `client.completions.create = chat_v1.monitor(client.completions.create, ...)`."""

from __future__ import annotations

from monitored_openai.compat._monitored import Function, monitored


def monitor(
    func: Function,
    metrics_url: str,
    logs_url: str,
    metrics_username: str,
    logs_username: str,
    access_token: str,
    disable_content: bool = False,
    environment: str = "default",
) -> Function:
    """The same method of the same client, every call of which is measured, priced and logged.

    Args:
        func: a client's method, as `client.completions.create`; of an async client too.
        metrics_url: the Prometheus address of a Grafana Cloud stack, which ends in `api/prom`.
        logs_url: where Loki takes entries.
        metrics_username: the instance ID of Prometheus.
        logs_username: the instance ID of Loki.
        access_token: an access policy token with the scopes `metrics:write` and `logs:write`.
        disable_content: keep what is asked and answered out of the log.
        environment: the label `environment`.

    Raises:
        ValueError: a parameter is missing or cannot be used.
        TypeError: `func` is no method of an OpenAI client.
    """
    return monitored(
        func,
        metrics_url=metrics_url,
        logs_url=logs_url,
        metrics_username=metrics_username,
        logs_username=logs_username,
        access_token=access_token,
        disable_content=disable_content,
        environment=environment,
    )

"""The common part of `chat_v1.monitor` and `chat_v2.monitor`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from monitored_openai._exporter import monitoring_for
from monitored_openai._monitor import method_on_twin
from monitored_openai._settings.model import MonitoringSettings

Function = TypeVar("Function", bound=Callable[..., Any])


def monitored(func: Function, *, disable_content: bool, environment: str, **required: str) -> Function:
    """Return the method of a monitored twin, with settings made from the predecessor's parameters."""
    missing = [name for name, value in required.items() if not value]
    if missing:
        raise ValueError(f"{', '.join(missing)}: missing or empty; give all of {', '.join(required)}")
    if "api/prom" not in required["metrics_url"]:
        raise ValueError(
            "metrics_url: does not contain api/prom; give the Prometheus address of your Grafana Cloud stack, "
            "such as https://prometheus-prod-01-eu-west-0.grafana.net/api/prom"
        )
    destination: dict[str, Any] = dict(required)
    settings = MonitoringSettings(
        metrics_protocol="influx",
        metric_names=("gen_ai", "grafana_openai"),
        capture_content=not disable_content,
        environment=environment,
        **destination,
    )
    return cast(Function, method_on_twin(func, monitoring_for(settings)))

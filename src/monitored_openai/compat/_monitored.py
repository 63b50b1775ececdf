"""What both of the predecessor's functions do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from monitored_openai._exporter import monitoring_for
from monitored_openai._monitor import method_on_twin
from monitored_openai._settings.model import MonitoringSettings

Function = TypeVar("Function", bound=Callable[..., Any])


def monitored(func: Function, *, disable_content: bool, environment: str, **required: str) -> Function:
    """The method on a twin of its client, whose settings are what the predecessor's parameters mean."""
    missing = [name for name, value in required.items() if not value]
    if missing:
        raise ValueError(f"{', '.join(missing)}: must be given and not be empty; give all of {', '.join(required)}")
    if "api/prom" not in required["metrics_url"]:
        raise ValueError(
            "metrics_url: has no api/prom in it; give the Prometheus address of your Grafana Cloud stack, "
            "as https://prometheus-prod-01-eu-west-0.grafana.net/api/prom"
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

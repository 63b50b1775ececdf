"""Parts that all dashboards share: variables, links, and selectors that apply the variables."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

from monitored_openai._cli.query import promql
from monitored_openai._metrics.names import PRODUCED

TAG = "monitored-openai"
PROMETHEUS = models.DataSourceRef(type_val="prometheus", uid="${metrics}")
LOKI = models.DataSourceRef(type_val="loki", uid="${logs}")
WHO = ('environment=~"$environment"', 'service_name=~"$service"')
MODEL = 'gen_ai_request_model=~"$model"'
RANGE, STEP = "$__range", "$__rate_interval"


def of_calls(metric: str, *more: str) -> str:
    """Return the selector of a metric for the calls that the variables choose."""
    return promql.selector(metric, (*WHO, MODEL, *more))


def of_exporters(metric: str, *more: str) -> str:
    """Return the selector of a metric of the library itself for the services that the variables choose."""
    return promql.selector(metric, (*WHO, *more))


def board(uid: str, title: str, description: str, *, since: str = "now-6h") -> builders.Dashboard:
    """Return a dashboard without panels and variables, with links to the others."""
    link = (
        builders.DashboardLink("monitored-openai")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .include_vars(True)
        .keep_time(True)
    )
    return (
        builders.Dashboard(f"OpenAI: {title}")
        .uid(f"monitored-openai-{uid}")
        .description(description)
        .tags([TAG])
        .time(since, "now")
        .refresh("1m")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(link)
    )


def data_source(name: str, label: str, kind: str) -> builders.DatasourceVariable:
    """Return the variable that chooses a data source."""
    return builders.DatasourceVariable(name).label(label).type(kind)


def metrics_variables(*, model: bool = True) -> list[Builder[models.VariableModel]]:
    """Return the variables that choose data source, environment, service and model."""
    found: list[Builder[models.VariableModel]] = [
        data_source("metrics", "Metrics", "prometheus"),
        _choice("environment", "Environment", f"label_values({PRODUCED.name}, environment)"),
        _choice(
            "service",
            "Service",
            f'label_values({PRODUCED.name}{{environment=~"$environment"}}, service_name)',
        ),
    ]
    chosen = 'environment=~"$environment",service_name=~"$service"'
    of_model = f"label_values({promql.CALLS}{{{chosen}}}, gen_ai_request_model)"
    return [*found, _choice("model", "Model", of_model)] if model else found


def attribute_variable() -> builders.CustomVariable:
    """Return the variable that chooses the label of the cost rows; the user may type any label."""
    return (
        builders.CustomVariable("attribute")
        .label("By")
        .description("Label that groups the cost: an attribute from the setting label_names, or any other label.")
        .values("feature,team,customer,service_name,environment,gen_ai_request_model,gen_ai_response_model")
        .current(models.VariableOption(text="feature", value="feature", selected=True))
    )


def _choice(name: str, label: str, query: str) -> builders.QueryVariable:
    everything = models.VariableOption(text="All", value="$__all", selected=True)
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query({"query": query, "refId": f"variable-{name}"})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(everything)
    )

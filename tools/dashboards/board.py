"""Parts that all dashboards share: variables, links, and selectors that apply the variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

from monitored_openai._cli.query import promql
from monitored_openai._metrics.names import PRICES_DATE, PRODUCED

TAG = "monitored-openai"
PROMETHEUS = models.DataSourceRef(type_val="prometheus", uid="${metrics}")
LOKI = models.DataSourceRef(type_val="loki", uid="${logs}")
WHO = ('environment=~"$environment"', 'service_name=~"$service"')
MODEL = 'gen_ai_request_model=~"$model"'
RANGE, STEP = "$__range", "$__rate_interval"
NO_OTHER_METRICS = "/^(?!grafanacloud-(usage|ml-metrics))/"
NO_OTHER_LOGS = "/^(?!.*(usage-insights|alert-state-history)$)/"
"""The two leave out the data sources that Grafana Cloud adds for its own data: they never contain the library's."""
MARKED = "10m"
"""How long a graph marks a change: more than one step of a graph over 30 days."""

Sections = Mapping[str, Sequence[Builder[models.Panel]]]
"""The panels of each row of a dashboard, by the title of the row."""


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


def with_sections(built: builders.Dashboard, sections: Sections) -> builders.Dashboard:
    """Add the panels of each section below a row that the reader can collapse."""
    for title, panels in sections.items():
        built = built.with_row(builders.Row(title))
        for panel in panels:
            built = built.with_panel(panel)
    return built


def with_marks(built: builders.Dashboard) -> builders.Dashboard:
    """Add the marks of changed prices, and those of new deployments and the variable that names their label."""
    dates = f"max by (gen_ai_provider_name) ({of_exporters(PRICES_DATE.name)})"
    earlier = f"max by (gen_ai_provider_name) ({of_exporters(PRICES_DATE.name)} offset {MARKED})"
    deployed = of_calls(promql.CALLS, '$deployment!=""')
    before = f"last_over_time({deployed}[{promql.LOOK_BACK}] offset {MARKED})"
    variable = (
        builders.TextBoxVariable("deployment")
        .label("Deployment label")
        .description("Label whose new values are deployments, such as version; see the setting label_names.")
        .default_value("version")
    )
    return (
        built.with_variable(variable)
        .annotation(
            _Mark("Price updates", f"{dates} != {earlier}", "Price table of {{gen_ai_provider_name}} updated", "purple")
        )
        .annotation(
            _Mark(
                "Deployments",
                f"count by ($deployment) ({deployed}) unless count by ($deployment) ({before})",
                "New $deployment: {{$deployment}}",
                "blue",
                enable=False,
            )
        )
    )


class _Mark(Builder[models.AnnotationQuery]):
    """A Prometheus annotation; Grafana's SDK has no fields for its text and step."""

    def __init__(self, name: str, expr: str, text: str, color: str, *, enable: bool = True) -> None:
        self._built = _MarkModel(name=name, datasource=PROMETHEUS, enable=enable, icon_color=color, expr=expr)
        self._built.text = text

    def build(self) -> models.AnnotationQuery:
        return self._built


class _MarkModel(models.AnnotationQuery):
    text = ""

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), "textFormat": self.text, "titleFormat": self.name, "step": "60s"}


def calls_link(values: Mapping[str, str]) -> models.DashboardLink:
    """Return the link from a panel to its calls; `values` maps variables of that dashboard to their values."""
    kept = "${__url_time_range}&${metrics:queryparam}&${environment:queryparam}&${service:queryparam}"
    chosen = {"model": "${model:queryparam}"} | {
        variable: f"var-{variable}=${{{value}}}" for variable, value in values.items()
    }
    url = f"/d/monitored-openai-calls?{kept}&{'&'.join(chosen.values())}"
    return models.DashboardLink(title="Show the calls", type_val=models.DashboardLinkType.LINK, url=url)


def data_source(name: str, label: str, kind: str, regex: str = "") -> builders.DatasourceVariable:
    """Return the variable that chooses a data source, at first Grafana's default one of this kind."""
    default = models.VariableOption(text="default", value="default", selected=True)
    return builders.DatasourceVariable(name).label(label).type(kind).regex(regex).current(default)


def metrics_variables(*, model: bool = True) -> list[Builder[models.VariableModel]]:
    """Return the variables that choose data source, environment, service and model."""
    found: list[Builder[models.VariableModel]] = [
        data_source("metrics", "Metrics", "prometheus", NO_OTHER_METRICS),
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


def budget_variable() -> builders.TextBoxVariable:
    """Return the variable with the monthly budget."""
    return (
        builders.TextBoxVariable("budget")
        .label("Monthly budget, USD")
        .description("US dollars that the chosen services and models may cost in a month; a number above zero.")
        .default_value("1000")
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

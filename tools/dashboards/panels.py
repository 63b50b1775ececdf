"""Builders for each kind of panel, from its title, its description and its queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models import prometheus as queries

from tools.dashboards.board import PROMETHEUS, calls_link

Panel: TypeAlias = Builder[models.Panel]
USD, TOKENS, CALLS, SECONDS, SHARE = "currencyUSD", "short", "locale", "s", "percentunit"
LABELS = {"gen_ai_request_model": "model", "gen_ai_response_model": "answered by", "error_type": "error"}
"""Names of columns that are shorter than their labels."""
GOOD, WARN, BAD = "green", "orange", "red"


class Link(Builder[models.DashboardLink]):
    """Builds the link from a panel to its calls."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    @classmethod
    def of_series(cls, labels: Mapping[str, str]) -> Link:
        """Return the link from a series; `labels` maps variables of the calls' dashboard to labels."""
        return cls({variable: f"__field.labels.{label}" for variable, label in labels.items()})

    @classmethod
    def of_row(cls, labels: Mapping[str, str]) -> Link:
        """Return the link from a row of a table; `labels` as in `of_series`."""
        return cls({variable: f"__data.fields.{LABELS[label]}" for variable, label in labels.items()})

    def build(self) -> models.DashboardLink:
        """Return the link."""
        return calls_link(self._values)


def single(
    title: str,
    says: str,
    expr: str,
    unit: str,
    *,
    limits: tuple[float, float] | None = None,
    since: str = "",
    width: int = 4,
    decimals: float | None = None,
    linked: Mapping[str, str] | None = None,
) -> stat.Panel:
    """Return a panel with one number, over the dashboard's range or over `since` (`now/d` for today).

    With `linked`, a click leads to the calls; it maps variables of their dashboard to labels of the series.
    """
    panel = (
        stat.Panel()
        .title(title)
        .description(says)
        .datasource(PROMETHEUS)
        .with_target(_at_the_end(expr))
        .unit(unit)
        .height(4)
        .span(width)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .thresholds(_thresholds(limits))
        .no_value("no data")
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    panel = panel if decimals is None else panel.decimals(decimals)
    panel = panel if linked is None else panel.data_links([Link.of_series(linked)])
    return panel.time_from(since) if since else panel


def present(
    title: str,
    says: str,
    expr: str,
    unit: str,
    *,
    limits: tuple[float, float] | None = None,
    width: int = 6,
) -> stat.Panel:
    """Return a panel with the newest value of a sum and, behind it, its values over the range.

    A step without a sample has the value NaN. Without it, Grafana would show a value from hours ago as the newest one.
    """
    nothing = models.ValueMappingResult(text="no data")
    unknown = models.DashboardSpecialValueMapOptions(match=models.SpecialValueMatch.NULL_AND_NAN, result=nothing)
    return (
        single(title, says, expr, unit, limits=limits, width=width, linked={})
        .targets([_over_time(f"({expr}) or vector(NaN)", title, "A")])
        .graph_mode(common_models.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["last"]))
        .mappings([models.SpecialValueMap(options=unknown)])
    )


def heat(title: str, says: str, buckets: str, *, width: int = 24) -> heatmap.Panel:
    """Return a panel with the number of observations in each bucket of seconds over time."""
    says += " Choose services with the same setting histograms: counts of different buckets do not add up."
    expr = f"sum by (le) (increase({buckets}[$__rate_interval]))"
    return (
        heatmap.Panel()
        .title(title)
        .description(says)
        .datasource(PROMETHEUS)
        .with_target(_over_time(expr, "{{le}}", "A").format(queries.PromQueryFormat.HEATMAP))
        .unit(CALLS)
        .height(8)
        .span(width)
        .calculate(False)
        .cell_gap(1)
        .color(heatmap.HeatmapColorOptions().mode(heatmap_models.HeatmapColorMode.SCHEME).scheme("Blues").steps(32))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .y_axis(heatmap.YAxisConfig().unit(SECONDS).axis_placement(common_models.AxisPlacement.LEFT))
        .data_links([Link({})])
    )


def graph(
    title: str,
    says: str,
    unit: str,
    exprs: dict[str, str],
    *,
    limits: tuple[float, float] | None = None,
    stacked: bool = False,
    width: int = 12,
    linked: Mapping[str, str] | None = None,
) -> timeseries.Panel:
    """Return a panel with lines over time; `exprs` maps each legend to its expression; `linked` as in `single`."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(says)
        .datasource(PROMETHEUS)
        .unit(unit)
        .height(8)
        .span(width)
        .min(0)
        .fill_opacity(30 if stacked else 8)
        .line_width(1)
        .show_points(common_models.VisibilityMode.AUTO)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
        .thresholds(_thresholds(limits))
    )
    if limits:
        panel = panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(common_models.GraphTresholdsStyleMode.DASHED)
        )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    if linked is not None:
        panel = panel.data_links([Link.of_series(linked)])
    for number, (legend, expr) in enumerate(exprs.items()):
        panel = panel.with_target(_over_time(expr, legend, _letter(number)))
    return panel


def bars(title: str, says: str, unit: str, expr: str, legend: str, *, width: int = 12) -> bargauge.Panel:
    """Return a panel with a bar for each series: its total over the range."""
    return (
        bargauge.Panel()
        .title(title)
        .description(says)
        .datasource(PROMETHEUS)
        .with_target(_at_the_end(expr).legend_format(legend))
        .unit(unit)
        .min(0)
        .height(8)
        .span(width)
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .display_mode(common_models.BarGaugeDisplayMode.BASIC)
        .text(common.VizTextDisplayOptions().title_size(13).value_size(16))
        .thresholds(_thresholds(None))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def figures(
    title: str,
    says: str,
    columns: dict[str, tuple[str, str]],
    *,
    sort_by: str,
    height: int = 9,
    width: int = 24,
    linked: Mapping[str, str] | None = None,
) -> table.Panel:
    """Return a table with a row for each label set; `columns` maps each name to its unit and expression.

    With `linked`, a click on a value leads to the calls of the row; see `single`.
    """
    panel = table.Panel().title(title).description(says).datasource(PROMETHEUS).height(height).span(width)
    panel = panel if linked is None else panel.data_links([Link.of_row(linked)])
    names = dict(LABELS)
    for number, (name, (_, expr)) in enumerate(columns.items()):
        letter = _letter(number)
        names[f"Value #{letter}"] = name
        panel = panel.with_target(_at_the_end(expr, letter).format(queries.PromQueryFormat.TABLE))
    panel = panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    panel = panel.with_transformation(
        models.DataTransformerConfig(
            id_val="organize", options={"excludeByName": {"Time": True}, "renameByName": names, "indexByName": {}}
        )
    )
    for name, (unit, _) in columns.items():
        panel = panel.override_by_name(name, [models.DynamicConfigValue(id_val="unit", value=unit)])
    return panel.sort_by([common.TableSortByFieldState().display_name(sort_by).desc(True)])


def _at_the_end(expr: str, letter: str = "A") -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expr).instant().ref_id(letter).datasource(PROMETHEUS)


def _over_time(expr: str, legend: str, letter: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expr).range().legend_format(legend).ref_id(letter).datasource(PROMETHEUS)


def _letter(number: int) -> str:
    return chr(ord("A") + number)


def _thresholds(limits: tuple[float, float] | None) -> dashboard.ThresholdsConfig:
    steps: list[Any] = [models.Threshold(value=None, color=GOOD)]
    if limits:
        rising = limits[0] < limits[1]
        low, middle = (GOOD, WARN) if rising else (BAD, WARN)
        ordered = sorted(limits)
        steps = [
            models.Threshold(value=None, color=low),
            models.Threshold(value=ordered[0], color=middle),
            models.Threshold(value=ordered[1], color=BAD if rising else GOOD),
        ]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)

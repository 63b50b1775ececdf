"""Builders for each kind of panel, from its title, its description and its queries."""

from __future__ import annotations

from typing import Any, TypeAlias

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as queries

from tools.dashboards.board import PROMETHEUS

Panel: TypeAlias = Builder[models.Panel]
USD, TOKENS, CALLS, SECONDS, SHARE = "currencyUSD", "short", "short", "s", "percentunit"
GOOD, WARN, BAD = "green", "orange", "red"


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
) -> stat.Panel:
    """Return a panel with one number, over the dashboard's range or over `since` (`now/d` for today)."""
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
    return panel.time_from(since) if since else panel


def graph(
    title: str,
    says: str,
    unit: str,
    exprs: dict[str, str],
    *,
    limits: tuple[float, float] | None = None,
    stacked: bool = False,
    width: int = 12,
) -> timeseries.Panel:
    """Return a panel with lines over time; `exprs` maps each legend to its expression."""
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
            .display_mode(common_models.LegendDisplayMode.TABLE)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
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
        .thresholds(_thresholds(None))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def figures(
    title: str, says: str, columns: dict[str, tuple[str, str]], *, sort_by: str, height: int = 9, width: int = 24
) -> table.Panel:
    """Return a table with a row for each label set; `columns` maps each name to its unit and expression."""
    panel = table.Panel().title(title).description(says).datasource(PROMETHEUS).height(height).span(width)
    names = {}
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

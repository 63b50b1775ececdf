"""The dashboard of single calls, from the log."""

from __future__ import annotations

from collections.abc import Iterable

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import logs, loki, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

from tools.dashboards import board, panels
from tools.dashboards.board import LOKI
from tools.dashboards.panels import Panel

STREAMS = '{environment=~".+", job=~`${job:regex}(^.*)?`, environment=~"$environment", service_name=~"$service"}'
"""Selects exactly the job in the text field, or every job if the field is empty.

Grafana escapes the job for a regular expression. The group after it can match only at the beginning of the label, thus only
if the field is empty. Loki refuses a selector whose matchers all match an empty value. The first matcher matches every
entry, but no empty value.
"""


def _typed(variable: str) -> str:
    return f'urldecode "${{{variable}:percentencode}}"'


_LINE = "(lower __line__)"
_SEARCH = f"{_typed('search')} | lower"
_IN_JSON = r'replace "\\" "\\\\" | replace "\"" "\\\""'
TYPED = (
    "{{ and "
    f"(hasPrefix ({_typed('trace')}) .trace_id) (hasPrefix ({_typed('request')}) .request_id) "
    f"(or (contains ({_SEARCH}) {_LINE}) (contains ({_SEARCH} | {_IN_JSON}) {_LINE}))"
    " }}"
)
"""A Loki template that returns `true` for entries that match all three text fields; an empty field matches all.

No quoting of LogQL works for every text: Grafana's `doublequote` leaves backslashes as they are, its `regex` leaves backquotes.
Percent-encoded text has no character that ends a string, and the template decodes it. The search ignores
case, and looks for the text both unchanged and with JSON escapes.
"""
CHOSEN = (
    f'{STREAMS} | request_model=~"$model" | error_type=~"${{error:pipe}}" '
    f'| label_format matches_typed=`{TYPED}` | matches_typed="true" | drop matches_typed'
)
"""Stream labels first, then structured metadata, then filters of the line: in this order Loki reads least."""
TEXTS = (
    '| json question="request.messages", prompt="request.prompt", input="request.input", '
    'answer="response.choices[0].message.content", text="response.choices[0].text", output="response.output", '
    'tool_calls="response.choices[0].message.tool_calls", duration="duration_seconds"'
)
COLUMNS = (
    *("Time", "model", "operation", "question", "prompt", "input", "answer", "text", "output", "tool_calls"),
    *("input_tokens", "output_tokens", "cost_usd", "duration", "error_type", "finish_reason", "request_id", "trace_id"),
)
WIDTHS = {"Time": 165, "model": 150, "question": 260, "answer": 300}
"""Pixels of the columns that have long texts."""
MOST_LINES = 200
COUNTED_AGAIN = (
    "Loki counts an entry twice if a reply was lost and the library sent the entry again: the numbers may be too high. The "
    "dashboards of metrics count each call once."
)
"""The limit of all numbers from the log: a query that counts each id once fails beyond Loki's limit of 500 series."""


def dashboard() -> builders.Dashboard:
    """Return the dashboard."""
    built = board.board(
        "calls", "calls", "Search every call, with question, answer, tokens, cost and trace.", since="now-1h"
    )
    for variable in _variables():
        built = built.with_variable(variable)
    sections: board.Sections = {
        "In the range": _sums(),
        "Over time": _graphs(),
        "Conversations": [_table()],
        "Log": [_lines()],
    }
    return board.with_sections(built, sections)


def _variables() -> list[Builder[models.VariableModel]]:
    texts = {
        "search": ("Text", "Any text of an entry, in any case. An empty field selects all entries."),
        "trace": ("Trace id", "A trace id or its beginning. An empty field selects all entries."),
        "request": ("Request id", "A request id or its beginning. An empty field selects all entries."),
    }
    return [
        board.data_source("logs", "Logs", "loki", board.NO_OTHER_LOGS),
        board.data_source("traces", "Traces", "tempo"),
        *board.metrics_variables(),
        builders.TextBoxVariable("job")
        .label("Job")
        .description("Value of the clients' setting job. An empty field selects all jobs.")
        .default_value("integrations/openai"),
        builders.CustomVariable("error")
        .label("Error")
        .values("rate_limit,insufficient_quota,server_error,timeout,connection,bad_request,abandoned,cancelled,.+")
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(text="All", value="$__all", selected=True)),
        *(
            builders.TextBoxVariable(name).label(label).description(says).default_value("")
            for name, (label, says) in texts.items()
        ),
    ]


def _sums() -> list[Panel]:
    sums = {
        "Calls": (f"sum(count_over_time({CHOSEN} [$__range]))", panels.CALLS, "Entries that match the filters above."),
        "With an error": (
            f'sum(count_over_time({CHOSEN} | error_type!="" [$__range]))',
            panels.CALLS,
            "Matching entries with an error.",
        ),
        "Tokens": (
            _added(f"sum(sum_over_time({CHOSEN} | unwrap {side}_tokens [$__range]))" for side in ("input", "output")),
            panels.TOKENS,
            "Input and output tokens of matching entries whose tokens are known.",
        ),
        "Cost": (
            f"sum(sum_over_time({CHOSEN} | unwrap cost_usd [$__range]))",
            panels.USD,
            "US dollars, for matching entries that have a price.",
        ),
    }
    return [
        stat.Panel()
        .title(title)
        .description(f"{says} {COUNTED_AGAIN}")
        .datasource(LOKI)
        .with_target(_query(expr, instant=True))
        .unit(unit)
        .height(4)
        .span(6)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        for title, (expr, unit, says) in sums.items()
    ]


def _added(sums: Iterable[str]) -> str:
    """Return the sum of two LogQL queries, or the only one with a result: embeddings have no output tokens."""
    one, other = sums
    return f"({one} + {other}) or {one} or {other}"


def _graphs() -> list[Panel]:
    return [
        timeseries.Panel()
        .title(title)
        .description(f"{says} {COUNTED_AGAIN}")
        .datasource(LOKI)
        .with_target(_query(expr).legend_format("{{model}} {{error_type}}"))
        .unit(unit)
        .height(8)
        .span(12)
        .draw_style(common_models.GraphDrawStyle.BARS)
        .fill_opacity(60)
        for title, says, unit, expr in (
            (
                "Calls over time",
                "Entries that match the filters above, by model and error.",
                panels.CALLS,
                f"sum by (model, error_type) (count_over_time({CHOSEN} [$__interval]))",
            ),
            (
                "Cost over time",
                "US dollars, by model.",
                panels.USD,
                f"sum by (model) (sum_over_time({CHOSEN} | unwrap cost_usd [$__interval]))",
            ),
        )
    ]


def _table() -> table.Panel:
    trace = (
        "/explore?schemaVersion=1&panes="
        '{"t":{"datasource":"${traces}","queries":[{"refId":"A","queryType":"traceql","query":"${__value.raw}"}]}}'
    )
    units = {"cost_usd": panels.USD, "duration": panels.SECONDS, "input_tokens": "short", "output_tokens": "short"}
    hidden = dict.fromkeys(("Line", "tsNs", "id", "labels", "labelTypes", "job", "environment", "service_name"), True)
    panel = (
        table.Panel()
        .title("Questions and answers")
        .description("Newest first. Click a trace id to see its trace, or hover over a cell to see its whole text.")
        .datasource(LOKI)
        .with_target(_query(f"{CHOSEN} {TEXTS}"))
        .height(14)
        .span(24)
        .with_transformation(
            models.DataTransformerConfig(id_val="extractFields", options={"source": "labels", "format": "json"})
        )
        .with_transformation(
            models.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": hidden,
                    "indexByName": {name: number for number, name in enumerate(COLUMNS)},
                    "renameByName": {},
                },
            )
        )
        .override_by_name(
            "trace_id",
            [models.DynamicConfigValue(id_val="links", value=[{"title": "Trace", "url": trace, "targetBlank": False}])],
        )
    )
    for name, width in WIDTHS.items():
        panel = panel.override_by_name(name, [models.DynamicConfigValue(id_val="custom.width", value=width)])
    for name, unit in units.items():
        panel = panel.override_by_name(name, [models.DynamicConfigValue(id_val="unit", value=unit)])
    return panel


def _lines() -> logs.Panel:
    return (
        logs.Panel()
        .title("Entries")
        .description("The same calls as complete log entries.")
        .datasource(LOKI)
        .with_target(_query(CHOSEN))
        .height(10)
        .span(24)
        .show_time(True)
        .prettify_log_message(True)
        .enable_log_details(True)
        .sort_order(common_models.LogsSortOrder.DESCENDING)
    )


def _query(expr: str, *, instant: bool = False) -> loki.Dataquery:
    query = loki.Dataquery().expr(expr).ref_id("A").datasource(LOKI).max_lines(MOST_LINES)
    return query.query_type("instant" if instant else "range")

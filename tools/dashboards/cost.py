"""The dashboard of cost."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders

from monitored_openai._cli.query import promql
from monitored_openai._cli.query.promql import (
    CALLS,
    COST,
    COST_INCOMPLETE,
    SAVINGS,
    TOKEN_DETAILS,
    TOKENS,
    TOOL_CALLS,
    UNPRICED,
)
from tools.dashboards import board, panels
from tools.dashboards.board import RANGE, STEP, of_calls
from tools.dashboards.panels import Panel

ATTRIBUTE = ("$attribute",)
ATTRIBUTE_LEGEND = "{{$attribute}}"
ANSWERED = ("gen_ai_response_model",)


def dashboard() -> builders.Dashboard:
    """Return the dashboard."""
    built = board.board(
        "cost",
        "cost",
        "Cost by model, by your own attribute and by kind of tokens; unpriced calls, and savings by caching.",
        since="now-24h",
    )
    for variable in (*board.metrics_variables(), board.attribute_variable()):
        built = built.with_variable(variable)
    broken_down = _broken_down()
    sections = {
        "In the range": _sums(),
        "By model and $attribute": broken_down[:5],
        "By kind": broken_down[5:],
        "Unpriced and incomplete calls": _unpriced(),
    }
    return board.with_sections(board.with_marks(built), sections)


def _sums() -> list[Panel]:
    cost, calls = (promql.total(of_calls(metric), RANGE) for metric in (COST, CALLS))
    saved = promql.or_zero(promql.total(of_calls(SAVINGS), RANGE), cost)
    incomplete = promql.or_zero(promql.total(of_calls(COST_INCOMPLETE), RANGE), calls)
    unpriced = promql.or_zero(promql.total(of_calls(UNPRICED), RANGE), calls)
    return [
        panels.single(
            "Cost",
            "US dollars in the range, exact to one push; at least this much if calls are unpriced or incomplete.",
            cost,
            panels.USD,
            width=4,
        ),
        panels.single(
            "Cost per call", "Average over priced and unpriced calls.", f"{cost} / {calls}", panels.USD, width=5
        ),
        panels.single(
            "Saved by caching",
            "US dollars that the cached input would have cost in addition at the price of uncached input.",
            saved,
            panels.USD,
            width=5,
        ),
        panels.single(
            "Unpriced calls",
            "Calls whose cost is not known; the table below shows the reasons.",
            unpriced,
            panels.CALLS,
            width=5,
        ),
        panels.single(
            "Incomplete costs",
            "Calls that may cost more than shown, because the price of a part of them is unknown; the table below shows the reasons.",
            incomplete,
            panels.CALLS,
            width=5,
        ),
    ]


def _broken_down() -> list[Panel]:
    return [
        panels.bars(
            "Cost by model", "By the model that answered.", panels.USD,
            promql.total(of_calls(COST), RANGE, ANSWERED), "{{gen_ai_response_model}}",
        ),
        panels.bars(
            "Cost by $attribute", "By the label chosen above.", panels.USD,
            promql.total(of_calls(COST), RANGE, ATTRIBUTE), ATTRIBUTE_LEGEND,
        ),
        panels.graph(
            "Spend per hour by $attribute", "US dollars per hour.", panels.USD,
            {ATTRIBUTE_LEGEND: f"{promql.rate(of_calls(COST), STEP, ATTRIBUTE)} * 3600"}, stacked=True,
        ),
        panels.graph(
            "Spend per hour by kind", "Uncached and cached input, cache writes, audio, images, output, tools, and charges that replies report; they add up to the cost.", panels.USD,
            {"{{kind}}": f"{promql.rate(of_calls(COST), STEP, ('kind',))} * 3600"}, stacked=True,
        ),
        panels.figures(
            "By $attribute and model",
            "The totals of the range, exact to one push. A row without a cost has only unpriced calls; with incomplete calls, the cost is at least the number shown.",
            {
                "calls": (panels.CALLS, promql.total(of_calls(CALLS), RANGE, (*ATTRIBUTE, "gen_ai_request_model"))),
                "tokens": (panels.TOKENS, promql.total(of_calls(TOKENS), RANGE, (*ATTRIBUTE, "gen_ai_request_model"))),
                "cost": (panels.USD, promql.total(of_calls(COST), RANGE, (*ATTRIBUTE, "gen_ai_request_model"))),
                "unpriced": (panels.CALLS, promql.total(of_calls(UNPRICED), RANGE, (*ATTRIBUTE, "gen_ai_request_model"))),
                "incomplete": (panels.CALLS, promql.total(of_calls(COST_INCOMPLETE), RANGE, (*ATTRIBUTE, "gen_ai_request_model"))),
            },
            sort_by="cost",
        ),
        panels.bars(
            "Tokens by kind", "Input and output tokens of the range.", panels.TOKENS,
            promql.total(of_calls(TOKENS), RANGE, ("gen_ai_token_type",)), "{{gen_ai_token_type}}",
        ),
        panels.bars(
            "Parts of the tokens", "Cached, reasoning, audio, ... They are parts of the input and output tokens, so do not add them to these.", panels.TOKENS,
            promql.total(of_calls(TOKEN_DETAILS), RANGE, ("gen_ai_token_type",)), "{{gen_ai_token_type}}",
        ),
        panels.bars(
            "Cost by kind", "They add up to the cost. A charge is the amount that a reply reports without parts.", panels.USD,
            promql.total(of_calls(COST), RANGE, ("kind",)), "{{kind}}",
        ),
        panels.bars(
            "Tool calls", "Calls of hosted tools, and of functions that the model requests.", panels.CALLS,
            promql.total(of_calls(TOOL_CALLS), RANGE, ("tool",)), "{{tool}}",
        ),
    ]  # fmt: skip


def _unpriced() -> list[Panel]:
    by = ("reason", "gen_ai_request_model", "gen_ai_response_model")
    return [
        panels.figures(
            "Unpriced calls by reason",
            "docs/prices.md explains each reason and its fix.",
            {"calls": (panels.CALLS, promql.total(of_calls(UNPRICED), RANGE, by))},
            sort_by="calls",
            height=7,
            width=12,
        ),
        panels.figures(
            "Incomplete costs by reason",
            "docs/prices.md explains each reason and its fix. A call with several reasons counts under the first.",
            {"calls": (panels.CALLS, promql.total(of_calls(COST_INCOMPLETE), RANGE, by))},
            sort_by="calls",
            height=7,
            width=12,
        ),
    ]

"""The dashboard of spend, calls, errors, latency and tokens."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders

from monitored_openai._cli.query import promql
from monitored_openai._cli.query.promql import CALLS, COST, DURATION, FAILURES, FIRST_CHUNK, TOKEN_DETAILS, TOKENS
from monitored_openai._metrics.metric_set import LEAN_SECONDS
from tools.dashboards import board, panels
from tools.dashboards.board import RANGE, STEP, of_calls
from tools.dashboards.panels import Panel

BY = ("gen_ai_request_model",)
LEGEND = "{{gen_ai_request_model}}"
TOP = (
    f"A value of {LEAN_SECONDS[-1]:g} s means at least that: it is the largest bound of the buckets, unless the setting "
    "histograms is full."
)


BUDGET = (0.8, 1.0)
SLOW = (30.0, 60.0)
"""Limits of the colours: shares of the budget, and seconds of a call's duration."""


def dashboard() -> builders.Dashboard:
    """Return the dashboard."""
    built = board.board("overview", "overview", "Spend, calls, errors, latency and tokens of all calls, by model.")
    for variable in (*board.metrics_variables(), board.budget_variable()):
        built = built.with_variable(variable)
    sections = {
        "Now": _now(),
        "Spend": _spend(),
        "Calls in the range": _calls(),
        "Over time": _graphs(),
        "By model": [_models()],
    }
    return board.with_sections(board.with_marks(built), sections)


def _now() -> list[Panel]:
    calls = promql.rate(of_calls(CALLS), STEP)
    failed = promql.rate(of_calls(CALLS, f'error_type=~"{FAILURES}"'), STEP)
    slow = promql.quantile(0.95, promql.rate(of_calls(f"{DURATION}_bucket"), STEP, ("le",)))
    return [
        panels.present(
            "Spending now",
            "US dollars per hour at the current rate of calls, without unpriced calls.",
            f"{promql.rate(of_calls(COST), STEP)} * 3600",
            panels.USD,
        ),
        panels.present("Calls now", "Calls per second that end now.", calls, "reqps"),
        panels.present(
            "Failing now",
            "Share of the calls that end now in a rate limit, exhausted credit, a server error, a timeout or a lost "
            "connection.",
            f"({promql.or_zero(failed, calls)}) / {calls}",
            panels.SHARE,
            limits=(0.01, 0.05),
        ),
        panels.present(
            "Duration now, p95",
            "95 % of the calls that end now took at most this long. " + TOP,
            slow,
            panels.SECONDS,
            limits=SLOW,
        ),
    ]


def _spend() -> list[Panel]:
    spent = promql.total(of_calls(COST), RANGE)
    projected = f"{spent} / $__range_s * 86400 * scalar(days_in_month())"
    return [
        panels.single("Spent today", "Since midnight, exact to one push.", spent, panels.USD, since="now/d"),
        panels.single("Spent this month", "Since the first of the month.", spent, panels.USD, since="now/M"),
        panels.single(
            "Projected month",
            "Estimated cost of the whole month at the average rate since the first.",
            projected,
            panels.USD,
            since="now/M",
        ),
        panels.single(
            "Budget used",
            "Spend since the first of the month, as a share of the monthly budget above.",
            f"{spent} / $budget",
            panels.SHARE,
            since="now/M",
            limits=BUDGET,
        ),
        panels.single(
            "Projected budget use",
            "Projected spend of the whole month, as a share of the monthly budget above.",
            f"{projected} / $budget",
            panels.SHARE,
            since="now/M",
            limits=BUDGET,
        ),
        panels.single("Spent in range", "In the chosen time range, exact to one push.", spent, panels.USD),
    ]


def _unpriced() -> Panel:
    return panels.single(
        "Unpriced calls",
        "Share of the calls in the range without a known cost, for any reason. If it is above zero, the cost is a "
        "lower bound.",
        _share(promql.total(of_calls(promql.UNPRICED), RANGE), promql.total(of_calls(CALLS), RANGE)),
        panels.SHARE,
        limits=(0.05, 0.2),
        width=3,
    )


def _calls() -> list[Panel]:
    calls = promql.total(of_calls(CALLS), RANGE)
    failed = promql.total(of_calls(CALLS, f'error_type=~"{FAILURES}"'), RANGE)
    cached = promql.total(of_calls(TOKEN_DETAILS, 'gen_ai_token_type="input_cached"'), RANGE)
    read = promql.total(of_calls(TOKENS, 'gen_ai_token_type="input"'), RANGE)
    return [
        panels.single("Calls", "Calls that ended in the range.", calls, panels.CALLS, decimals=0, width=3, linked={}),
        panels.single(
            "Failed",
            "Share of the calls in the range that ended in a rate limit, exhausted credit, a server error, a timeout or "
            "a lost connection, after the SDK's retries.",
            _share(failed, calls),
            panels.SHARE,
            linked={},
            limits=(0.01, 0.05),
        ),
        panels.single(
            "Duration, p95",
            "95 % of the calls took at most this long, from the request to the last byte. " + TOP,
            promql.quantile(0.95, promql.total(of_calls(f"{DURATION}_bucket"), RANGE, ("le",))),
            panels.SECONDS,
            limits=SLOW,
        ),
        panels.single(
            "First chunk, p95",
            "95 % of the streamed answers began within this time. " + TOP,
            promql.quantile(0.95, promql.total(of_calls(f"{FIRST_CHUNK}_bucket"), RANGE, ("le",))),
            panels.SECONDS,
        ),
        panels.single(
            "Tokens", "Input and output tokens.", promql.total(of_calls(TOKENS), RANGE), panels.TOKENS, width=3
        ),
        panels.single(
            "Cache hits",
            "Share of the input tokens that the provider found in its cache.",
            _share(cached, read),
            panels.SHARE,
            width=3,
        ),
        _unpriced(),
    ]


def _graphs() -> list[Panel]:
    buckets, first = of_calls(f"{DURATION}_bucket"), of_calls(f"{FIRST_CHUNK}_bucket")
    failed = promql.rate(of_calls(CALLS, f'error_type=~"{FAILURES}"'), STEP)
    calls = promql.rate(of_calls(CALLS), STEP)
    return [
        panels.graph(
            "Spend per hour by model",
            "US dollars per hour.",
            panels.USD,
            {LEGEND: f"{promql.rate(of_calls(COST), STEP, BY)} * 3600"},
            stacked=True,
            linked={"model": "gen_ai_request_model"},
        ),
        panels.graph(
            "Calls by model",
            "Calls per second.",
            "reqps",
            {LEGEND: promql.rate(of_calls(CALLS), STEP, BY)},
            stacked=True,
            linked={"model": "gen_ai_request_model"},
        ),
        panels.graph(
            "Duration",
            "Time from the request to the last byte, over all chosen models. " + TOP,
            panels.SECONDS,
            {
                f"p{share * 100:g}": promql.quantile(share, promql.rate(buckets, STEP, ("le",)))
                for share in (0.5, 0.95, 0.99)
            },
        ),
        panels.graph(
            "Time to first chunk",
            "Time from the request to the first chunk of streamed answers. " + TOP,
            panels.SECONDS,
            {
                f"p{share * 100:g}": promql.quantile(share, promql.rate(first, STEP, ("le",)))
                for share in (0.5, 0.95, 0.99)
            },
        ),
        panels.heat(
            "Durations",
            "Number of calls in each bucket of the duration, from the request to the last byte; darker is more. " + TOP,
            buckets,
        ),
        panels.graph(
            "Failed calls",
            "Share of calls that ended in a rate limit, exhausted credit, a server error, a timeout or a lost connection.",
            panels.SHARE,
            {"failed": f"({promql.or_zero(failed, calls)}) / {calls}"},
            linked={},
            limits=(0.01, 0.05),
        ),
        panels.graph(
            "Tokens by type",
            "Tokens per second, input and output.",
            panels.TOKENS,
            {"{{gen_ai_token_type}}": promql.rate(of_calls(TOKENS), STEP, ("gen_ai_token_type",))},
            stacked=True,
        ),
    ]


def _models() -> Panel:
    buckets, first = (promql.total(of_calls(f"{of}_bucket"), RANGE, ("le", *BY)) for of in (DURATION, FIRST_CHUNK))
    return panels.figures(
        "Models",
        "Totals of the range by the requested model, exact to one push.",
        {
            "calls": (panels.CALLS, promql.total(of_calls(CALLS), RANGE, BY)),
            "failed": (panels.CALLS, promql.total(of_calls(CALLS, f'error_type=~"{FAILURES}"'), RANGE, BY)),
            "tokens": (panels.TOKENS, promql.total(of_calls(TOKENS), RANGE, BY)),
            "cost": (panels.USD, promql.total(of_calls(COST), RANGE, BY)),
            "duration p50": (panels.SECONDS, promql.quantile(0.5, buckets)),
            "duration p95": (panels.SECONDS, promql.quantile(0.95, buckets)),
            "first chunk p95": (panels.SECONDS, promql.quantile(0.95, first)),
        },
        sort_by="cost",
        linked={"model": "gen_ai_request_model"},
    )


def _share(part: str, whole: str) -> str:
    return f"({promql.or_zero(part, whole)}) / {whole}"

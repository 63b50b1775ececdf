"""The dashboard of errors, retries, latency and rate limits."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders

from monitored_openai._cli.query import promql
from monitored_openai._cli.query.promql import (
    CALLS,
    DURATION,
    FAILURES,
    FINISHES,
    FIRST_CHUNK,
    PER_CHUNK,
    RETRIES,
    USAGE_UNKNOWN,
)
from monitored_openai._metrics import names
from tools.dashboards import board, panels
from tools.dashboards.board import RANGE, STEP, of_calls
from tools.dashboards.panels import Panel

BY_MODEL = ("gen_ai_request_model",)
MODEL_LEGEND = "{{gen_ai_request_model}}"
ANY_ERROR = 'error_type!=""'


def dashboard() -> builders.Dashboard:
    """Return the dashboard."""
    built = board.board(
        "reliability", "reliability", "Errors by type, retries, abandoned streams, latency and rate limits."
    )
    for variable in board.metrics_variables():
        built = built.with_variable(variable)
    sections = {
        "In the range": _sums(),
        "Errors and retries": _errors(),
        "Latency": _times(),
        "Rate limits": [_headroom()],
    }
    return board.with_sections(board.with_marks(built), sections)


def _sums() -> list[Panel]:
    calls = promql.total(of_calls(CALLS), RANGE)
    abandoned = promql.total(of_calls(CALLS, 'error_type="abandoned"'), RANGE)
    counted = {
        "Failed": (
            promql.total(of_calls(CALLS, f'error_type=~"{FAILURES}"'), RANGE),
            "Rate limits, exhausted credit, server errors, timeouts and lost connections, after the SDK's retries.",
        ),
        "Other errors": (
            promql.total(of_calls(CALLS, ANY_ERROR, f'error_type!~"{FAILURES}|abandoned|cancelled"'), RANGE),
            "Errors that a retry does not fix, such as refused requests and rejected content.",
        ),
        "Retries": (promql.total(of_calls(RETRIES), RANGE), "Requests that the SDK sent again."),
        "Abandoned streams": (abandoned, "Streams that the reader left before their end. The provider bills them."),
    }
    return [
        panels.single(title, says, promql.or_zero(expr, calls), panels.CALLS, width=6, decimals=0)
        for title, (expr, says) in counted.items()
    ]


def _errors() -> list[Panel]:
    calls = promql.rate(of_calls(CALLS), STEP, BY_MODEL)
    failed = promql.rate(of_calls(CALLS, f'error_type=~"{FAILURES}"'), STEP, BY_MODEL)
    return [
        panels.graph(
            "Errors by type",
            "Calls that ended with an error, per second.",
            "reqps",
            {"{{error_type}}": promql.rate(of_calls(CALLS, ANY_ERROR), STEP, ("error_type",))},
            stacked=True,
            linked={"error": "error_type"},
        ),
        panels.graph(
            "Failed by model",
            "Share of each model's calls that ended in a rate limit, exhausted credit, a server error, a timeout or a lost "
            "connection.",
            panels.SHARE,
            {MODEL_LEGEND: f"({promql.or_zero(failed, calls)}) / {calls}"},
            linked={"model": "gen_ai_request_model"},
            limits=(0.01, 0.05),
        ),
        panels.graph(
            "Retries by model",
            "Requests that the SDK sent again, per second. Callers do not see the failures that a retry fixed.",
            "reqps",
            {MODEL_LEGEND: promql.rate(of_calls(RETRIES), STEP, BY_MODEL)},
            linked={"model": "gen_ai_request_model"},
        ),
        panels.figures(
            "Errors by model",
            "Totals of the range, exact to one push.",
            {"calls": (panels.CALLS, promql.total(of_calls(CALLS, ANY_ERROR), RANGE, ("error_type", *BY_MODEL)))},
            sort_by="calls",
            height=8,
            width=12,
            linked={"model": "gen_ai_request_model", "error": "error_type"},
        ),
        panels.graph(
            "Finishes by reason",
            "Reasons why answers ended, per second. Answers with `length` or `max_output_tokens` were cut off; those with "
            "`content_filter` were blocked.",
            "reqps",
            {"{{finish_reason}}": promql.rate(of_calls(FINISHES), STEP, ("finish_reason",))},
            stacked=True,
            width=8,
        ),
        panels.graph(
            "Calls in progress",
            "Calls that have started and not yet ended.",
            panels.CALLS,
            {MODEL_LEGEND: f"sum by (gen_ai_request_model) ({of_calls(names.ACTIVE.name)})"},
            stacked=True,
            width=8,
        ),
        panels.bars(
            "Calls without usage, by reason",
            "Calls whose tokens the API did not report. Their cost is unknown as well.",
            panels.CALLS,
            promql.total(of_calls(USAGE_UNKNOWN), RANGE, ("reason",)),
            "{{reason}}",
            width=8,
        ),
    ]


def _times() -> list[Panel]:
    graphs = {
        "Duration by model, p95": (DURATION, "From the request to the last byte."),
        "Time to first chunk by model, p95": (FIRST_CHUNK, "Streamed answers only."),
    }
    by_model = [
        panels.graph(
            title,
            says,
            panels.SECONDS,
            {MODEL_LEGEND: promql.quantile(0.95, promql.rate(of_calls(f"{metric}_bucket"), STEP, ("le", *BY_MODEL)))},
            width=8,
            linked={"model": "gen_ai_request_model"},
        )
        for title, (metric, says) in graphs.items()
    ]
    return [*by_model, _per_chunk(), _server_time(), _durations()]


def _per_chunk() -> Panel:
    return panels.graph(
        "Time per chunk by model, mean",
        "Time that a reader waits for each chunk after the first.",
        panels.SECONDS,
        {MODEL_LEGEND: _mean(PER_CHUNK, BY_MODEL)},
        width=8,
    )


def _server_time() -> Panel:
    return panels.graph(
        "Server time against total",
        "Mean times. The difference is network, queueing and reading the answer. Not every provider reports its "
        "server time.",
        panels.SECONDS,
        {"total": _mean(DURATION), "server": _mean(names.PROCESSING.name)},
    )


def _mean(metric: str, by: tuple[str, ...] = ()) -> str:
    return promql.mean(of_calls(f"{metric}_sum"), of_calls(f"{metric}_count"), STEP, by)


def _durations() -> Panel:
    return panels.heat(
        "Durations",
        "Number of calls in each bucket of the duration, from the request to the last byte; darker is more.",
        of_calls(f"{DURATION}_bucket"),
        width=12,
    )


def _headroom() -> Panel:
    left = f"{of_calls(names.REMAINING.name)} / {of_calls(names.LIMIT.name)}"
    return panels.graph(
        "Rate-limit headroom",
        "Share of each limit that is left: the lowest value that any process received. After a limit resets, it is not "
        "shown until the next reply.",
        panels.SHARE,
        {"{{gen_ai_request_model}} {{resource}}": f"min by (gen_ai_request_model, resource) ({left})"},
        limits=(0.3, 0.1),
        width=24,
    )

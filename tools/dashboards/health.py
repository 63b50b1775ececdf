"""The dashboard of the exporter's health: whether the telemetry is complete and recent."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders

from monitored_openai._cli.query import promql
from monitored_openai._metrics import names
from tools.dashboards import board, panels
from tools.dashboards.board import RANGE, STEP, of_exporters
from tools.dashboards.panels import Panel

BY_SIGNAL = ("signal",)
SIGNAL = "{{signal}}"
PRODUCED, DELIVERED, DROPPED = (metric.name for metric in (names.PRODUCED, names.DELIVERED, names.DROPPED))
SUCCESS = names.LAST_SUCCESS.name


def dashboard() -> builders.Dashboard:
    """Return the dashboard."""
    built = board.board(
        "health",
        "exporter health",
        "Completeness of the telemetry: delivered, dropped and waiting items, and the last success.",
    )
    for variable in board.metrics_variables(model=False):
        built = built.with_variable(variable)
    return board.with_sections(built, {"In the range": _sums(), "Over time": _graphs(), "Processes": [_processes()]})


def _sums() -> list[Panel]:
    produced = promql.total(of_exporters(PRODUCED), RANGE)
    folded = promql.total(of_exporters(names.FOLDED.name), RANGE)
    dropped = promql.or_zero(promql.total(of_exporters(DROPPED, 'reason!="sampled"'), RANGE), produced)
    return [
        panels.single(
            "Processes or hosts",
            "Processes that report now. With the setting host_dir, all processes of a host count as one.",
            f"count(count by (instance) ({of_exporters(PRODUCED)}))",
            panels.CALLS,
            width=6,
        ),
        panels.single(
            "Dropped",
            "Calls and log entries that the exporters dropped in the range, without those that sampling left out.",
            dropped,
            panels.CALLS,
            width=6,
            limits=(1, 100),
            decimals=0,
        ),
        panels.single(
            "Folded label sets",
            "Updates under the label value `other`, and rate limits left out, because max_label_sets was reached.",
            folded,
            panels.CALLS,
            width=6,
            limits=(1, 1000),
            decimals=0,
        ),
        panels.single(
            "Age of the price table",
            "Time since the newest price in the table took effect. If processes use different tables, the oldest one counts.",
            f"time() - min({of_exporters(names.PRICES_DATE.name)})",
            panels.SECONDS,
            width=6,
            limits=(180 * 86400, 365 * 86400),
        ),
    ]


def _graphs() -> list[Panel]:
    of_each = {metric: promql.rate(of_exporters(metric), STEP, BY_SIGNAL) for metric in (PRODUCED, DELIVERED)}
    dropped = promql.rate(of_exporters(DROPPED), STEP, ("signal", "reason"))
    sums, requests = of_exporters(names.SEND_SECONDS.sum), of_exporters(names.SEND_SECONDS.count)
    return [
        panels.graph(
            "Produced and delivered",
            "Per second: calls (metrics) and log entries (logs).",
            "reqps",
            {f"{SIGNAL} produced": of_each[PRODUCED], f"{SIGNAL} delivered": of_each[DELIVERED]},
        ),
        panels.graph(
            "Dropped by reason",
            "Per second, including entries that sampling left out. docs/reference.md explains each reason.",
            "reqps",
            {f"{SIGNAL} {{{{reason}}}}": promql.or_zero(dropped, of_each[PRODUCED])},
        ),
        panels.graph(
            "Waiting",
            "Calls and log entries that wait in memory.",
            panels.CALLS,
            {SIGNAL: f"sum by (signal) ({of_exporters(names.QUEUED.name)})"},
        ),
        panels.graph(
            "Time of a request to a back end, mean",
            "Time that Prometheus and Loki take to answer a push.",
            panels.SECONDS,
            {SIGNAL: promql.mean(sums, requests, STEP, BY_SIGNAL)},
        ),
        panels.graph(
            "Since the last success",
            "Time since the last push that the back end accepted: the longest of all reporting processes. A process without calls sends no log entries.",
            panels.SECONDS,
            {SIGNAL: f"time() - min by (signal) ({of_exporters(SUCCESS)})"},
        ),
        panels.graph(
            "On disk",
            "Size of the largest spool of log entries that wait on disk; zero without the setting spool_dir.",
            "bytes",
            {"spool": promql.or_zero(f"max({of_exporters(names.SPOOL_BYTES.name)})", f"max({of_exporters(PRODUCED)})")},
        ),
    ]


def _processes() -> Panel:
    by = ("instance", "signal")
    return panels.figures(
        "Each process",
        "Each process of the range. An instance consists of host, process id, start and number; with the setting host_dir, "
        "all processes of a host are one instance of host, service and epoch.",
        {
            "produced": (panels.CALLS, promql.total(of_exporters(PRODUCED), RANGE, by)),
            "delivered": (panels.CALLS, promql.total(of_exporters(DELIVERED), RANGE, by)),
            "last success": (
                "dateTimeAsIso",
                f"max by (instance, signal) (last_over_time({of_exporters(SUCCESS)}[{RANGE}])) * 1000",
            ),
        },
        sort_by="produced",
    )

"""Runs each command with its parsed arguments; the docstrings are the commands' help.

Each function imports its modules itself, so that `--help` needs no extra.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING

from monitored_openai._cli.errors import UserError
from monitored_openai._cli.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from monitored_openai._cli.query.http_api import HttpApi
    from monitored_openai._cli.rules.links import Links
    from monitored_openai._cli.rules.rule import Group


def demo(arguments: argparse.Namespace) -> int:
    """Make a few hundred calls on this machine and show what Prometheus and Loki receive.

    Starts an OpenAI-compatible server and receivers for Prometheus remote write and Loki push on 127.0.0.1. Needs no
    key and no network, and takes about 10 seconds. Exit code: 0 if the numbers of the API, of Prometheus and of Loki
    agree (with --live: if every call had its expected outcome and everything was delivered), else 1; 2 if a variable
    that --live needs is missing or wrong.
    """
    from monitored_openai._cli import local
    from monitored_openai._cli.demo import live, run

    if callable(signal.getsignal(signal.SIGINT)):  # under another handler, `asyncio.run` would not cancel its tasks
        signal.signal(signal.SIGINT, signal.default_int_handler)
    terminal = _terminal()
    if arguments.page:
        return local.run_demo(terminal)
    return live.run(terminal) if arguments.live else run.run(terminal)


def doctor(arguments: argparse.Namespace) -> int:
    """Check that the back ends accept pushes with the settings in the environment.

    Sends one harmless sample and one harmless log entry, checks the spool and the clock, and prints each problem with
    its fix. Exit code: 0 if every check passes, 1 if one fails, 2 if a setting is invalid.
    """
    from monitored_openai._cli import doctor

    return doctor.run(scraped=arguments.scraped)


def local(arguments: argparse.Namespace) -> None:
    """Receive metrics and logs on this machine and show them on a page, without Prometheus and Loki.

    Receives what clients push with MonitoringSettings.local(), keeps a bounded history in a file, and serves one page
    with spend, calls, errors, latency and every call's content. Exit code: 0 when interrupted, 2 if it cannot serve
    the page.
    """
    from monitored_openai._cli import local

    names = ("host", "port", "token", "token_file", "history", "days", "megabytes")
    local.run(_terminal(), local.Options(**{name: getattr(arguments, name) for name in names}))


def report(arguments: argparse.Namespace) -> None:
    """Show calls, errors, tokens, cost and percentiles of a time range.

    Counts and cost are exact up to the last push of each process; with --scraped they are estimates. Percentiles are
    always estimates.
    """
    from monitored_openai._cli.query import report
    from monitored_openai._cli.query.report_rows import Report

    request = Report.parse(
        by=arguments.by, over=arguments.range, until=arguments.until, where=arguments.where, scraped=arguments.scraped
    )
    with _api(arguments) as prometheus:
        report.run(prometheus, request, arguments.format)


def top(arguments: argparse.Namespace) -> None:
    """Show calls and cost of the last 5 minutes, live, until Ctrl-C."""
    from monitored_openai._cli.query import promql, top
    from monitored_openai._cli.query.report_rows import Report

    request = Report.parse(
        by=arguments.by, over="5m", until=None, where=arguments.where, scraped=False, look_back=promql.LOOK_BACK
    )
    with _api(arguments) as prometheus:
        top.run(prometheus, request, every=arguments.every, once=arguments.once)


def tail(arguments: argparse.Namespace) -> None:
    """Show calls from Loki as they arrive."""
    from monitored_openai._cli.query import tail

    query = tail.query(job=arguments.job, errors=arguments.errors, grep=arguments.grep, where=arguments.where)
    with _api(arguments) as loki:
        tail.run(loki, query, lines=arguments.lines, follow=arguments.follow, content=arguments.content)


def prices(arguments: argparse.Namespace) -> None:
    """Show the prices of a model's tokens and tools by kind and service tier, with their source."""
    from monitored_openai._cli.query import prices

    prices.show(
        arguments.model,
        provider=arguments.provider,
        host=arguments.host,
        on=arguments.on,
        update=arguments.update,
    )


def export_dashboards(arguments: argparse.Namespace) -> None:
    """Write the dashboards as JSON files."""
    from monitored_openai._cli import dashboards

    for path in dashboards.export(arguments.folder, scraped=arguments.scraped):
        print(path)


def push_dashboards(arguments: argparse.Namespace) -> None:
    """Create or update the dashboards in Grafana.

    Skips dashboards that are unchanged.
    """
    from monitored_openai._cli import dashboards
    from monitored_openai._cli.query.progress import tracked

    with _grafana(arguments) as grafana:
        pushed = dashboards.push(grafana, arguments.folder, scraped=arguments.scraped)
        for title, outcome in tracked(pushed, "pushing", len(dashboards.NAMES)):
            print(f"{outcome:<10} {title}")


def export_rules(arguments: argparse.Namespace) -> None:
    """Write the rules for Prometheus, and the same alerts for Grafana's provisioning."""
    from monitored_openai._cli.rules import files

    groups, links = _rules(arguments)
    for path in files.export(arguments.folder, groups, links, data_source=arguments.data_source):
        print(path)
    _note_missing_budget(arguments)


def push_rules(arguments: argparse.Namespace) -> None:
    """Create or update the rules in Grafana or in a ruler.

    `--to grafana` puts the alerts into Grafana's own alerting. `--to ruler` puts recording rules and alerts into the
    ruler of Mimir or Grafana Cloud. Skips unchanged rules, and deletes those of an earlier push that the package no
    longer has or whose budget is gone.
    """
    from monitored_openai._cli.rules import push

    groups, links = _rules(arguments)
    if arguments.to == "grafana" and arguments.recordings_only:
        raise UserError("--recordings-only: Grafana's alerting takes no recording rules: write --to ruler")
    if arguments.to == "grafana":
        with _grafana(arguments) as grafana:
            pushed = push.to_grafana(grafana, groups, links, folder=arguments.folder, data_source=arguments.data_source)
            _print_outcomes(pushed)
    else:
        if arguments.recordings_only:
            groups = [group for group in groups if group.records_only]
        with _api(arguments) as ruler:
            _print_outcomes(push.to_ruler(ruler, groups, links, namespace=arguments.folder))
    if not arguments.recordings_only:
        _note_missing_budget(arguments)


def _note_missing_budget(arguments: argparse.Namespace) -> None:
    if not arguments.monthly_budget:
        print("no --monthly-budget: no alerts on cost", file=sys.stderr)


def _print_outcomes(pushed: Iterable[tuple[str, str]]) -> None:
    for name, outcome in pushed:
        print(f"{outcome:<10} {name}")


def _rules(arguments: argparse.Namespace) -> tuple[list[Group], Links]:
    """Return the groups of rules and the links of their alerts, from the options of `rules`."""
    from monitored_openai._cli.dashboards import SCRAPED
    from monitored_openai._cli.query.http_api import check_url
    from monitored_openai._cli.rules import files, links

    names = ("error_objective", "first_chunk_seconds", "first_chunk_objective")
    limits = files.parse_limits(arguments.monthly_budget, **{name: getattr(arguments, name) for name in names})
    files.check_data_source(arguments.data_source)
    grafana, runbook = arguments.grafana_url or os.environ.get("GRAFANA_URL"), arguments.runbook_base
    return files.groups_of(limits, scraped=arguments.scraped), links.Links(
        runbook=links.published_runbook() if runbook is None else check_url(runbook),
        grafana=check_url(grafana).rstrip("/") if grafana else None,
        suffix=SCRAPED if arguments.scraped else "",
    )


def _grafana(arguments: argparse.Namespace) -> HttpApi:
    """Return the client of Grafana, from the options of `dashboards push` and `rules push`."""
    from monitored_openai._cli.query.http_api import HttpApi, authorization, check_url
    from monitored_openai._cli.query.tokens import read_token

    url = arguments.grafana_url or os.environ.get("GRAFANA_URL")
    if not url:
        raise UserError("no address: give --grafana-url, or set GRAFANA_URL")
    token = read_token(arguments.token, arguments.token_file, "GRAFANA_TOKEN")
    if token is None:
        raise UserError("no token: give --token-file, or set GRAFANA_TOKEN")
    return HttpApi(check_url(url), authorization(None, token))


def _terminal() -> Terminal:
    return Terminal.of(sys.stdout, os.environ)


def _api(arguments: argparse.Namespace) -> HttpApi:
    """Return the client of the server, from the options of `report`, `top`, `tail` and `rules push --to ruler`."""
    from monitored_openai._cli.query.http_api import HttpApi
    from monitored_openai._cli.query.tokens import read_token

    is_password = arguments.username is not None
    token = read_token(arguments.token, arguments.token_file, arguments.token_variable, password=is_password)
    return HttpApi.for_signal(arguments.signal, arguments.url, arguments.username, token)

"""All commands under one roof: their arguments, and how mistakes are told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from monitored_openai import __version__
from monitored_openai import _cli as plain
from monitored_openai._cli.command import PLAIN
from monitored_openai._cli.errors import UserError
from monitored_openai._cli.query.report import Format, Report
from monitored_openai._cli.terminal import escaped

_NAME = "monitored-openai"
_WRONG = 2

app = typer.Typer(
    name=_NAME,
    help="The official OpenAI clients, with every call's tokens, cost, latency and content sent to Prometheus and Loki.",
    epilog="Exit codes: 0 all is well, 1 something is not as it should be, 2 something to mend in what was asked for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
dashboards = typer.Typer(help="The dashboards that come with the package.", no_args_is_help=True)
rules = typer.Typer(help="Recording rules and alerts.", no_args_is_help=True)
app.add_typer(dashboards, name="dashboards")
app.add_typer(rules, name="rules")

MetricsUrl = Annotated[
    str | None,
    typer.Option("--url", help="Prometheus to ask; by default where MONITORED_OPENAI_METRICS_URL pushes to."),
]
LogsUrl = Annotated[
    str | None, typer.Option("--url", help="Loki to ask; by default where MONITORED_OPENAI_LOGS_URL pushes to.")
]
Username = Annotated[str | None, typer.Option(help="User name for --url, on Grafana Cloud the instance id.")]
Token = Annotated[str | None, typer.Option(hidden=True)]
MetricsTokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", help="File with a token or password that may read; or set PROMETHEUS_TOKEN."),
]
LogsTokenFile = Annotated[
    Path | None, typer.Option("--token-file", help="File with a token or password that may read; or set LOKI_TOKEN.")
]
Where = Annotated[
    list[str] | None, typer.Option("--where", metavar="LABEL=VALUE", help="Only calls with this label; repeatable.")
]


def run(arguments: list[str]) -> int:
    """Run a command; the exit code."""
    try:
        code = app(args=arguments, prog_name=_NAME, standalone_mode=False)
    except (UserError, TyperException) as error:
        text = error.format_message() if isinstance(error, TyperException) else str(error)
        if text:  # none where a command was left out: its help has been shown
            print(f"{_NAME}: {escaped(text)}", file=sys.stderr)
        return _WRONG
    return int(code or 0)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"{_NAME} {__version__}")
        raise typer.Exit


@app.callback()
def _all(
    version: Annotated[  # noqa: ARG001  # its callback does it
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    return


def _plain_command(name: str, says: str) -> None:
    """Have it in the help; the entry hands it on before this is reached."""

    def command(context: typer.Context) -> int:
        return plain.main([name, *context.args])

    settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command(name, help=says, context_settings=settings, add_help_option=False)(command)


for _name, _says in PLAIN.items():
    _plain_command(_name, _says)


@dashboards.command("export")
def export_dashboards(folder: Annotated[Path, typer.Argument(help="Where to write; made if it is not there.")]) -> None:
    """Write the dashboards' JSON files, for provisioning or import."""
    from monitored_openai._cli import dashboards

    for path in dashboards.export(folder):
        print(path)


@dashboards.command("push")
def push_dashboards(
    grafana_url: Annotated[str, typer.Option(envvar="GRAFANA_URL", help="Grafana's address.")],
    folder: Annotated[str, typer.Option(help="Title of the folder to keep them in.")] = "monitored-openai",
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with a service account's token, with the role Editor; or set GRAFANA_TOKEN."),
    ] = None,
    token: Token = None,
) -> None:
    """Put the dashboards into a Grafana, or bring them up to date; what is the same already is left alone."""
    from monitored_openai._cli import dashboards
    from monitored_openai._cli.query import progress
    from monitored_openai._cli.query.tokens import token as found_token

    given = found_token(token, token_file, "GRAFANA_TOKEN")
    if given is None:
        raise UserError("no token: give --token-file, or set GRAFANA_TOKEN")
    with progress.steps("pushing", len(dashboards.NAMES)) as advance:
        for title, outcome in dashboards.push(grafana_url, given, folder):
            advance()
            print(f"{outcome:<10} {title}")


@rules.command("export")
def export_rules(
    folder: Annotated[Path, typer.Argument(help="Where to write; made if it is not there.")],
    *,
    monthly_budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BUDGET",
            help="US dollars a month: 500 for each environment, production=500 for one, feature=search:50 for a value "
            "of an attribute; repeatable. Without any there are no alerts on cost.",
        ),
    ] = None,
    error_objective: Annotated[float, typer.Option(help="Share of the calls that are to end well.")] = 0.99,
    first_chunk_seconds: Annotated[float, typer.Option(help="By when a streamed answer is to have begun.")] = 2.56,
    first_chunk_objective: Annotated[float, typer.Option(help="Share of the streams of which that holds.")] = 0.95,
    data_source: Annotated[str, typer.Option(help="Uid of Prometheus in Grafana, for Grafana's file.")] = "prometheus",
) -> None:
    """Write the rules for Prometheus, and the same alerts for Grafana's provisioning."""
    from monitored_openai._cli.export import write
    from monitored_openai._cli.rules.rule import Budget, Limits

    if not data_source or not data_source.isprintable():
        raise UserError(
            f"--data-source {data_source!r} is no uid of a data source: write the one that Prometheus has in Grafana, or "
            "leave the option out"
        )
    try:
        limits = Limits(
            budgets=tuple(map(Budget.parsed, monthly_budget or ())),
            error_objective=error_objective,
            first_chunk_seconds=first_chunk_seconds,
            first_chunk_objective=first_chunk_objective,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    from monitored_openai._cli.rules.files import texts

    for path in write(folder, texts(limits, data_source=data_source)):
        print(path)
    if not limits.budgets:
        print("no --monthly-budget: no alerts on cost", file=sys.stderr)


@app.command()
def report(
    *,
    by: Annotated[str, typer.Option(help="Label to break down by: model, or an attribute of yours.")] = "model",
    over: Annotated[str, typer.Option("--range", help="How far back: 90m, 24h, 30d.")] = "24h",
    until: Annotated[str | None, typer.Option(help="End of the range, as 2026-11-25T12:00; now by default.")] = None,
    where: Where = None,
    form: Annotated[Format, typer.Option("--format", help="How to show it.")] = Format.TABLE,
    scraped: Annotated[
        bool, typer.Option(help="For series that Prometheus scrapes: estimate, as their totals are not exact.")
    ] = False,
    url: MetricsUrl = None,
    username: Username = None,
    token_file: MetricsTokenFile = None,
    token: Token = None,
) -> None:
    """Calls, errors, tokens, cost and percentiles of a time range, exact to one push."""
    from monitored_openai._cli.query import progress, report
    from monitored_openai._cli.query.http_api import Backend
    from monitored_openai._cli.query.tokens import token as found_token

    asked = Report.of(by=by, over=over, until=until, where=where or (), scraped=scraped)
    with (
        Backend.of(
            "metrics", url, username, found_token(token, token_file, "PROMETHEUS_TOKEN", password=username is not None)
        ) as prometheus,
        progress.waiting("asking Prometheus"),
    ):
        rows = report.rows(prometheus, asked)
    report.check_label(rows, asked)
    report.show(rows, asked, form)


@app.command()
def top(
    *,
    by: Annotated[str, typer.Option(help="Label to break down by: model, or an attribute of yours.")] = "model",
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between two looks.")] = 5.0,
    once: Annotated[bool, typer.Option(help="Look once, and end.")] = False,
    where: Where = None,
    url: MetricsUrl = None,
    username: Username = None,
    token_file: MetricsTokenFile = None,
    token: Token = None,
) -> None:
    """What is being called and spent right now, over the last 5 minutes; Ctrl-C ends it."""
    from monitored_openai._cli.query import promql, top
    from monitored_openai._cli.query.http_api import Backend
    from monitored_openai._cli.query.tokens import token as found_token

    asked = Report.of(by=by, over="5m", until=None, where=where or (), scraped=False, look_back=promql.LOOK_BACK)
    with Backend.of(
        "metrics", url, username, found_token(token, token_file, "PROMETHEUS_TOKEN", password=username is not None)
    ) as prometheus:
        top.run(prometheus, asked, every=every, once=once)


@app.command()
def tail(
    *,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=5000, help="Earlier calls to show first.")] = 10,
    follow: Annotated[bool, typer.Option(help="Go on with calls as they come; Ctrl-C ends it.")] = True,
    content: Annotated[bool, typer.Option(help="Show what was asked and answered.")] = False,
    errors: Annotated[bool, typer.Option("--errors", help="Only calls that did not end well.")] = False,
    grep: Annotated[str | None, typer.Option(metavar="TEXT", help="Only entries in which this text stands.")] = None,
    where: Where = None,
    job: Annotated[str, typer.Option(help="The setting job of the application.")] = "integrations/openai",
    url: LogsUrl = None,
    username: Username = None,
    token_file: LogsTokenFile = None,
    token: Token = None,
) -> None:
    """Calls as they come, from Loki."""
    from monitored_openai._cli.query import tail
    from monitored_openai._cli.query.http_api import Backend
    from monitored_openai._cli.query.tokens import token as found_token

    query = tail.query(job=job, errors=errors, grep=grep, where=where or ())
    with Backend.of(
        "logs", url, username, found_token(token, token_file, "LOKI_TOKEN", password=username is not None)
    ) as loki:
        tail.run(loki, query, lines=lines, follow=follow, content=content)


@app.command()
def prices(
    model: Annotated[str, typer.Argument(help="As a response names it, such as gpt-4o-mini-2024-07-18.")],
    provider: Annotated[str, typer.Option(help="OpenTelemetry's name of the provider.")] = "openai",
    on: Annotated[str | None, typer.Option(metavar="DATE", help="Prices of that day, as 2026-11-25.")] = None,
) -> None:
    """What a model's tokens cost, by kind and service tier, and which table says so."""
    from monitored_openai._cli.query import prices

    prices.show(model, provider=provider, on=on)

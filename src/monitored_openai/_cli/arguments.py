"""The command's arguments: one argparse tree for all commands."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from monitored_openai._cli import commands
from monitored_openai._cli.terminal import escaped
from monitored_openai._settings.urls import LOCAL_PORT
from monitored_openai._version import __version__

NAME = "monitored-openai"
USER_ERROR = 2
"""The exit code of an error that the user can fix."""
_MAX_NUMBER = 1e6
"""Upper bound for days, MiB and seconds."""
_MAX_LINES, _MIN_INTERVAL_SECONDS = 5000, 0.5
_FILES = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}
"""Equal to `shtab.FILE`, which completes file names; a copy, because the help must not need shtab."""


class Parser(argparse.ArgumentParser):
    """Reports an error on one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with code 2."""
        if message.endswith("expected one argument"):
            message += "; write OPTION=VALUE if the value begins with a dash"
        self.exit(USER_ERROR, f"{self.prog}: {escaped(message)}\n")

    def option(self, name: str, text: str, *more: str, default: Any = None, **settings: Any) -> None:
        """Add an option or argument; the help shows its default, and the shell completes a path."""
        help_text = text if default in (None, []) else f"{text}; {default} by default"
        if name.startswith("-"):
            settings["default"] = default
        action = self.add_argument(name, *more, help=help_text, **settings)
        if action.type is Path:
            action.complete = _FILES  # type: ignore[attr-defined]  # read by shtab

    def switch(self, name: str, text: str, *, default: bool = False) -> None:
        """Add an option that also has a `--no-` form."""
        self.add_argument(name, action=argparse.BooleanOptionalAction, default=default, help=text)


if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]  # noqa: SLF001  # argparse has no public name for it


def build_parser() -> Parser:
    """Return the parser of all commands; `run` in the parsed arguments is the function of the chosen command."""
    parser = Parser(
        prog=NAME,
        description="Tools for the monitored OpenAI clients, which push every call's tokens, cost, latency and content "
        "to Prometheus and Loki.",
        epilog="Exit codes: 0 success, 1 a check failed, 2 an error that you can fix, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.set_defaults(error_prefix=NAME)
    subparsers = _add_commands(parser)
    _add_demo(_add_command(subparsers, "demo", commands.demo))
    doctor = _add_command(subparsers, "doctor", commands.doctor)
    doctor.switch("--scraped", "Prometheus scrapes the metrics, so no URL needs to be set")
    _add_local(_add_command(subparsers, "local", commands.local))
    _add_report(_add_command(subparsers, "report", commands.report))
    _add_top(_add_command(subparsers, "top", commands.top))
    _add_tail(_add_command(subparsers, "tail", commands.tail))
    _add_prices(_add_command(subparsers, "prices", commands.prices))
    _add_dashboards(subparsers)
    _add_rules(subparsers)
    _add_completion(subparsers)
    return parser


def _add_commands(parser: Parser) -> Commands:
    """Add subcommands; without one, the command prints its help."""

    def print_help(_: argparse.Namespace) -> int:
        parser.print_help()
        return USER_ERROR

    parser.set_defaults(run=print_help)
    return parser.add_subparsers(title="commands", metavar="COMMAND")


def _add_group(subparsers: Commands, name: str, text: str) -> Commands:
    return _add_commands(subparsers.add_parser(name, help=text.rstrip("."), description=text))


def _add_command(subparsers: Commands, name: str, run: Callable[[argparse.Namespace], int | None]) -> Parser:
    """Add a command; the docstring of `run` is its help, and the first line its entry in the list of commands."""
    text = cleandoc(run.__doc__ or "")
    parser = subparsers.add_parser(name, help=text.partition("\n")[0].rstrip("."), description=text)
    parser.set_defaults(run=run, prog=parser.prog)
    return parser


def _add_demo(demo: Parser) -> None:
    modes = demo.add_mutually_exclusive_group()
    modes.add_argument("--page", action="store_true", help="also show the calls on a page in the browser, until Ctrl-C")
    text = (
        "make five tiny real calls instead (far below one US cent); needs OPENAI_API_KEY, MONITORED_OPENAI_METRICS_URL "
        "and MONITORED_OPENAI_LOGS_URL, and uses all other MONITORED_OPENAI_* variables"
    )
    modes.add_argument("--live", action="store_true", help=text)


def _add_local(local: Parser) -> None:
    local.set_defaults(error_prefix=local.prog)
    local.option("--port", "port to listen on, or 0 for a free one", type=_port, default=LOCAL_PORT)
    local.option("--host", "address to listen on; one that other machines can reach needs a token", default="127.0.0.1")
    _add_token(
        local,
        "file with a token of at least 8 characters; clients send it as their access_token, browsers as the password "
        "(any user name); or set MONITORED_OPENAI_ACCESS_TOKEN, which is used if --host needs a token",
    )
    local.option("--history", "file of the history; by default in the user's data folder", type=Path, metavar="FILE")
    local.option("--days", "days to keep calls", type=_positive, default=30)
    local.option("--megabytes", "MiB of calls to keep", type=_positive, default=512)


def _add_report(report: Parser) -> None:
    _add_by(report)
    report.option("--range", "length of the range, such as 90m, 24h or 30d", default="24h")
    report.option("--until", "end of the range, such as 2026-11-25T12:00; now by default", metavar="TIME")
    report.option("--format", "output format", choices=("table", "csv", "json"), default="table")
    _add_scraped(report)
    _add_server(report, "metrics", "Prometheus", "PROMETHEUS_TOKEN")


def _add_top(top: Parser) -> None:
    _add_by(top)
    top.option("--every", "seconds between two queries", type=_interval, default=5, metavar="SECONDS")
    top.switch("--once", "query once and exit")
    _add_server(top, "metrics", "Prometheus", "PROMETHEUS_TOKEN")


def _add_tail(tail: Parser) -> None:
    tail.option("--lines", "earlier calls to show first", "-n", type=_lines, default=10)
    tail.switch("--follow", "continue with new calls until Ctrl-C", default=True)
    tail.switch("--content", "show each call's prompt and answer")
    tail.add_argument("--errors", action="store_true", help="only failed calls")
    tail.option("--grep", "only entries that contain this text", metavar="TEXT")
    tail.option("--job", "value of the application's setting job", default="integrations/openai")
    _add_server(tail, "logs", "Loki", "LOKI_TOKEN")


def _add_prices(prices: Parser) -> None:
    prices.option("model", "the name in a response, such as gpt-4o-mini-2024-07-18", metavar="MODEL")
    prices.option("--provider", "the provider's name, as in the label gen_ai_provider_name", default="openai")
    prices.option(
        "--host", "host of the API, such as us.api.openai.com, because some regions cost more", metavar="HOST"
    )
    prices.option("--on", "prices on that day, such as 2026-11-25; today by default", metavar="DATE")
    prices.add_argument("--update", action="store_true", help="download the newest published prices and show those")


def _add_dashboards(subparsers: Commands) -> None:
    group = _add_group(subparsers, "dashboards", "Write the package's dashboards to files or push them to Grafana.")
    export = _add_command(group, "export", commands.export_dashboards)
    _add_folder(export)
    push = _add_command(group, "push", commands.push_dashboards)
    _add_grafana_url(push)
    push.option("--folder", "title of the dashboards' folder in Grafana", default=NAME)
    _add_token(push, "file with a token of a service account with the role Editor; or set GRAFANA_TOKEN")
    for parser in (export, push):
        _add_scraped(parser)


def _add_rules(subparsers: Commands) -> None:
    group = _add_group(subparsers, "rules", "Write recording rules and alerts to files or push them.")
    export = _add_command(group, "export", commands.export_rules)
    _add_folder(export)
    push = _add_command(group, "push", commands.push_rules)
    push.option(
        "--to",
        "Grafana's own alerting, or the ruler of Mimir or Grafana Cloud",
        choices=("grafana", "ruler"),
        required=True,
    )
    push.option("--folder", "title of the folder in Grafana, or namespace of the ruler", default=NAME)
    push.switch("--recordings-only", "push only the recording rules, to a ruler")
    _add_address(push, "metrics", "the ruler", "PROMETHEUS_TOKEN")
    _add_token(push, "file with a token that may write rules; or set GRAFANA_TOKEN, for a ruler PROMETHEUS_TOKEN")
    for parser in (export, push):
        _add_limits(parser)
        _add_grafana_url(parser)
        parser.option(
            "--runbook-base",
            "address of the page with the runbook of each alert; by default in the documentation",
            metavar="URL",
        )
        parser.option(
            "--data-source", "uid of the Prometheus data source in Grafana", default="prometheus", metavar="UID"
        )
        _add_scraped(parser)


def _add_limits(rules: Parser) -> None:
    text = (
        "US dollars a month: 500 for each environment, production=500 for one, feature=search:50 for a value of an "
        "attribute; repeatable; alerts on cost need a budget"
    )
    rules.option("--monthly-budget", text, action="append", default=[], metavar="BUDGET")
    rules.option(
        "--error-objective", "target share of calls without a failure of the service", type=float, default=0.99
    )
    rules.option(
        "--first-chunk-seconds",
        "target seconds to the first chunk of a stream; a bound of its histogram",
        type=float,
        default=2.56,
    )
    rules.option(
        "--first-chunk-objective",
        "target share of streams that begin within --first-chunk-seconds",
        type=float,
        default=0.95,
    )


def _add_scraped(parser: Parser) -> None:
    parser.switch("--scraped", "for series that Prometheus scrapes: estimate totals with PromQL's increase")


def _add_grafana_url(parser: Parser) -> None:
    parser.option("--grafana-url", "Grafana's address; or set GRAFANA_URL", metavar="URL")


def _add_completion(subparsers: Commands) -> None:
    def print_script(arguments: argparse.Namespace) -> None:
        """Print the script that completes this command in a shell.

        For bash: eval "$(monitored-openai completion bash)"
        """
        import shtab

        print(shtab.complete(build_parser(), arguments.shell))

    _add_command(subparsers, "completion", print_script).add_argument("shell", choices=("bash", "zsh", "tcsh"))


def _add_folder(export: Parser) -> None:
    export.option("folder", "folder for the files; created if missing", type=Path, metavar="FOLDER")


def _add_by(parser: Parser) -> None:
    parser.option("--by", "label of the rows: model, or an attribute", default="model", metavar="LABEL")


def _add_server(parser: Parser, signal: str, server: str, token_variable: str) -> None:
    """Add the options that select calls and the server to query."""
    text = "only calls with this value of a label; repeatable"
    parser.option("--where", text, action="append", default=[], metavar="LABEL=VALUE")
    _add_address(parser, signal, server, token_variable)
    _add_token(parser, f"file with a token or password with read access; or set {token_variable}")


def _add_address(parser: Parser, signal: str, server: str, token_variable: str) -> None:
    parser.set_defaults(signal=signal, token_variable=token_variable)
    parser.option("--url", f"address of {server}; by default derived from MONITORED_OPENAI_{signal.upper()}_URL")
    parser.option("--username", "user name that belongs to the token; on Grafana Cloud the instance ID")


def _add_token(parser: Parser, text: str) -> None:
    parser.option("--token-file", text, type=Path, metavar="FILE")
    parser.add_argument("--token", help=argparse.SUPPRESS)


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: write a number from 0 to 65535")
    return int(text)


def _lines(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or int(text) > _MAX_LINES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of calls: write one from 0 to {_MAX_LINES}")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < _MAX_NUMBER:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number above 0 and below {_MAX_NUMBER:,.0f}")
    return number


def _interval(text: str) -> float:
    if (seconds := _positive(text)) < _MIN_INTERVAL_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r}: write at least {_MIN_INTERVAL_SECONDS:g} seconds")
    return seconds

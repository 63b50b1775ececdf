"""The command `monitored-openai`."""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import NoReturn

from monitored_openai import __version__
from monitored_openai._cli.exit_codes import ended
from monitored_openai._cli.terminal import Terminal, escaped
from monitored_openai._settings.urls import LOCAL_PORT

_TOO_MUCH = 1e6
"""Days, or MiB: more than anybody means."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as all of the command does."""

    def error(self, message: str) -> NoReturn:
        """End with it."""
        self.exit(2, f"{self.prog}: {escaped(message)}\n")


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: its arguments; `None` means those of the process.

    Returns:
        The exit code: 0 when all is well, 1 when something is not as it should be, 2 for wrong arguments or a wrong
        environment, 130 when interrupted.
    """
    parser, given = _parser(), sys.argv[1:] if argv is None else argv
    if not given:
        parser.print_help()
        return 2
    arguments = parser.parse_args(given)
    return ended(lambda: int(arguments.run(arguments)))


def _demo(arguments: argparse.Namespace) -> int:
    from monitored_openai._cli import local  # `--help` and `--version` need none of this
    from monitored_openai._cli.demo import live
    from monitored_openai._cli.demo import run as demo  # `--help` and `--version` need none of this

    if arguments.page:
        return local.run_demo(_terminal())
    return live.run(_terminal()) if arguments.live else demo.run(_terminal())


def _local(arguments: argparse.Namespace) -> int:
    from monitored_openai._cli import local

    given = {one.name: getattr(arguments, one.name) for one in fields(local.Options)}
    given = {name: value for name, value in given.items() if value is not None}
    return local.run(_terminal(), local.Options(**given))


def _doctor(_: argparse.Namespace) -> int:
    from monitored_openai._cli import doctor

    return doctor.run()


def _terminal() -> Terminal:
    return Terminal.of(sys.stdout, os.environ)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="monitored-openai",
        description="The official OpenAI clients, with every call's tokens, cost, latency and content "
        "sent to Prometheus and Loki.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    demo = commands.add_parser(
        "demo",
        help="make some hundred calls on this machine and show what Prometheus and Loki get of them",
        description="Starts an OpenAI-compatible server and receivers for Prometheus remote write and Loki push on "
        "127.0.0.1, makes some hundred calls (sync, async, streamed, failing), and shows what the receivers got. "
        "Needs no key and no network, and takes about 10 seconds.",
        epilog="Exit code: 0 if what the API served, what Prometheus got and what Loki got agree to the last token, "
        "else 1 with what differs; 2 if something is missing for --live.",
    )
    demo.set_defaults(run=_demo)
    ways = demo.add_mutually_exclusive_group()
    ways.add_argument(
        "--page", action="store_true", help="show it on a page in the browser as well, which stays up until Ctrl-C"
    )
    ways.add_argument(
        "--live",
        action="store_true",
        help="make a handful of tiny real calls instead (far below one US cent); needs OPENAI_API_KEY, "
        "MONITORED_OPENAI_METRICS_URL and MONITORED_OPENAI_LOGS_URL, and heeds all other MONITORED_OPENAI_* variables",
    )
    _add_local(commands)
    doctor = commands.add_parser(
        "doctor",
        help="check that the back ends take what the settings in the environment send them",
        description="Sends one harmless sample and one harmless log entry, looks at the spool and the clock, and says "
        "in plain words what is wrong and what to do.",
        epilog="Exit code: 0 if all is well, 1 if something is not, 2 if the settings themselves are wrong.",
    )
    doctor.set_defaults(run=_doctor)
    return parser


def _add_local(commands: argparse._SubParsersAction[_Parser]) -> None:
    local = commands.add_parser(
        "local",
        help="take metrics and logs on this machine and show them on a page, without Prometheus and Loki",
        description="Receives what clients push with MonitoringSettings.local(), keeps a bounded history of it in a "
        "file, and serves one page with spend, calls, errors, latency and every call's content.",
        epilog="Exit code: 0 when interrupted, 2 if the page cannot be served so.",
    )
    local.set_defaults(run=_local)
    local.add_argument("--port", type=_port, help=f"where to listen; {LOCAL_PORT} unless given, 0 means a free one")
    local.add_argument("--host", help="address to listen on; 127.0.0.1 unless given, others need a token")
    local.add_argument("--token", help=argparse.SUPPRESS)
    local.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file with a token of at least 8 characters; answer only clients that send it as their access_token, and "
        "browsers that give it as a password (any user name); for other machines MONITORED_OPENAI_ACCESS_TOKEN does too",
    )
    local.add_argument(
        "--history", type=Path, metavar="FILE", help="file to keep it in; one of the user's unless given"
    )
    local.add_argument("--days", type=_positive, help="days that calls are kept; 30 unless given")
    local.add_argument("--megabytes", type=_positive, help="MiB of calls that are kept; 512 unless given")


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: write a number from 0 to 65535")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < _TOO_MUCH:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number above 0 and below {_TOO_MUCH:,.0f}")
    return number

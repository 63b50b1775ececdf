"""The command `monitored-openai`."""

from __future__ import annotations

import argparse
import os
import sys

from monitored_openai import __version__

_INTERRUPTED = 130
"""What a shell says of a program that SIGINT ended: 128 + 2."""


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: its arguments; `None` means those of the process.

    Returns:
        The exit code: 0 when all is well, 1 when something is not as it should be, 2 for wrong arguments or a wrong
        environment, 130 when interrupted.
    """
    arguments = _parser().parse_args(argv)
    try:
        code = _demo(live=arguments.live)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # as in `monitored-openai demo | head`: nobody reads on, and Python would still flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _demo(*, live: bool) -> int:
    from monitored_openai._cli import demo  # `--help` and `--version` need none of this
    from monitored_openai._cli import live as live_demo
    from monitored_openai._cli.terminal import Terminal

    terminal = Terminal.of(sys.stdout, os.environ)
    return live_demo.run(terminal) if live else demo.run(terminal)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
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
    demo.add_argument(
        "--live",
        action="store_true",
        help="make a handful of tiny real calls instead (far below one US cent); needs OPENAI_API_KEY, "
        "MONITORED_OPENAI_METRICS_URL and MONITORED_OPENAI_LOGS_URL, and heeds all other MONITORED_OPENAI_* variables",
    )
    return parser

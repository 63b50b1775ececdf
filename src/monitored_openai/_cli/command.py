"""The command's entry: what the plain package can do, and under the extra `cli` the rest."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from monitored_openai import _cli as plain
from monitored_openai._cli.exit_codes import ended

PLAIN = {
    "demo": "Make some hundred calls on this machine and show what Prometheus and Loki get of them.",
    "local": "Take metrics and logs on this machine and show them on a page, without Prometheus and Loki.",
    "doctor": "Check that the back ends take what the settings in the environment send them.",
}
"""The commands that need no extra; their options are argparse's."""
_EXTRA = ("dashboards", "rules", "report", "top", "tail", "prices")
_WRONG = 2


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: its arguments; `None` means those of the process.

    Returns:
        The exit code: 0 when all is well, 1 when something is not as it should be, 2 for what the user can mend, 130
        when interrupted.
    """
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] and arguments[0] in PLAIN:
        return plain.main(arguments)
    if find_spec("typer") is None:
        return _without_extra(arguments)
    from monitored_openai._cli.app import run  # what the plain package can do must not need it

    return ended(lambda: run(arguments))


def _without_extra(arguments: list[str]) -> int:
    if arguments[:1] and arguments[0] in _EXTRA:
        needed = "it needs more packages: pip install 'monitored-openai[cli]'"
        print(f"monitored-openai {arguments[0]}: {needed}", file=sys.stderr)
        return _WRONG
    return plain.main(arguments)

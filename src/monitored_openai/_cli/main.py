"""Runs the command `monitored-openai`: its exit codes and its one-line errors.

The console script calls `_monitored_openai_command.py` beside this package, which handles interrupts during the imports.
"""

from __future__ import annotations

import errno
import os
import sys

from monitored_openai._cli.arguments import NAME, USER_ERROR, build_parser
from monitored_openai._cli.errors import UserError
from monitored_openai._cli.terminal import escaped

_INTERRUPTED = 130
"""The exit code that a shell reports for a program that SIGINT ended: 128 + 2."""
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_EXTRA_PACKAGES = {"rich", "shtab", "yaml"}


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the arguments; `None` means those of the process.

    Returns:
        The exit code: 0 for success, 1 if a check failed or the output cannot be written, 2 for an error that the user
        can fix, 130 after an interrupt.
    """
    _replace_closed_streams()
    try:
        code = _run(argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader is gone, as in `monitored-openai demo | head`
        _discard_output()
        return 1
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        print(f"{NAME}: the output cannot be written: {error.strerror}", file=sys.stderr)
        _discard_output()
        return 1
    return code


def _run(argv: list[str] | None) -> int:
    try:
        arguments = build_parser().parse_args(argv)
    except SystemExit as end:  # argparse printed the help, the version or an error
        return int(end.code or 0)
    try:
        return int(arguments.run(arguments) or 0)
    except UserError as error:
        print(f"{arguments.error_prefix}: {escaped(str(error))}", file=sys.stderr)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA_PACKAGES:
            raise
        print(
            f"{arguments.prog}: this command needs more packages: pip install 'monitored-openai[cli]'", file=sys.stderr
        )
    return USER_ERROR


def _replace_closed_streams() -> None:
    """Replace each standard stream that `>&-` has closed with the null device."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))


def _discard_output() -> None:
    """Redirect the output to the null device, because Python's flush at exit would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""How the command ends when somebody stops it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

_INTERRUPTED = 130
"""What a shell says of a program that SIGINT ended: 128 + 2."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def ended(run: Callable[[], int]) -> int:
    """The exit code of what is run, to whose end all has been shown; without a traceback where it was stopped."""
    try:
        code = run()
        if sys.stdout is not None:  # it is closed, as by `>&-`
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # as in `monitored-openai demo | head`: nobody reads on, and Python would still flush
        _let_go_of_output()
        return 1
    except OSError as error:
        if error.errno not in _FULL:
            raise
        print(f"monitored-openai: what is said cannot be written: {error.strerror}", file=sys.stderr)
        _let_go_of_output()
        return 1
    return code


def _let_go_of_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

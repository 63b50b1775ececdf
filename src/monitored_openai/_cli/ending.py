"""How the command ends when somebody stops it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

_INTERRUPTED = 130
"""What a shell says of a program that SIGINT ended: 128 + 2."""


def ended(run: Callable[[], int]) -> int:
    """The exit code of what is run, to whose end all has been shown; without a traceback where it was stopped."""
    try:
        code = run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # as in `monitored-openai demo | head`: nobody reads on, and Python would still flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code

"""Shows a progress bar on standard error; only on a terminal, and removed at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def steps(what: str, total: int) -> Iterator[Callable[[], object]]:
    """Show a bar of `total` steps until the block ends; call the function given after each step."""
    console = Console(stderr=True)
    if not console.is_interactive:
        yield lambda: None
        return
    # Lines printed meanwhile go above the bar if they go to the same terminal; those to a file or pipe stay there.
    with Progress(console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as shown:
        task = shown.add_task(what, total=total)
        yield lambda: shown.advance(task)

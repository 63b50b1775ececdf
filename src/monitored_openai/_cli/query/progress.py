"""That something is under way: on standard error, on a terminal only, and gone afterwards."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Something of unknown length."""
    console = Console(stderr=True)
    if not console.is_interactive:
        yield
        return
    with console.status(what):
        yield


@contextmanager
def steps(what: str, total: int) -> Iterator[Callable[[], object]]:
    """So many steps; the function given is called after each."""
    console = Console(stderr=True)
    if not console.is_interactive:
        yield lambda: None
        return
    # What is printed meanwhile goes above the bar, on the same terminal; in a file or pipe it stays where it belongs.
    with Progress(console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as shown:
        task = shown.add_task(what, total=total)
        yield lambda: shown.advance(task)

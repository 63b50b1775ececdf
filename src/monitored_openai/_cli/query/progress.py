"""Shows a progress bar on standard error if that is a terminal, and removes it at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

_Item = TypeVar("_Item")


def tracked(items: Iterable[_Item], what: str, total: int) -> Iterator[_Item]:
    """Yield the items, and show a bar of `total` steps meanwhile."""
    console = Console(stderr=True)
    if not console.is_interactive:  # rich before 14 ends even a disabled bar with an empty line
        yield from items
        return
    # If standard output is a terminal too, rich prints the program's lines above the bar; a file gets them directly.
    with Progress(console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as progress:
        yield from progress.track(items, total=total, description=what)

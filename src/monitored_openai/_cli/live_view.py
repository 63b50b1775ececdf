"""`monitored-openai top`: a report that keeps up with what happens."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from time import time

from rich.console import Console
from rich.live import Live

from monitored_openai._cli import reporting
from monitored_openai._cli.backend import Backend


def run(prometheus: Backend, asked: reporting.Report, *, every: float, once: bool) -> None:
    """Show it until the user has seen enough; once where nothing can be drawn anew."""
    console = Console()
    if once or not console.is_terminal:
        console.print(reporting.readable(reporting.rows(prometheus, asked), asked))
        return
    pause = threading.Event()
    with suppress(KeyboardInterrupt), Live(console=console, screen=True, auto_refresh=False) as view:
        while True:
            now = replace(asked, at=time())
            view.update(reporting.readable(reporting.rows(prometheus, now), now), refresh=True)
            pause.wait(every)

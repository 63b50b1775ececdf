"""`monitored-openai top`: a report that keeps up with what happens."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from time import time

from rich.console import Console
from rich.live import Live

from monitored_openai._cli.query import progress, report
from monitored_openai._cli.query.http_api import Backend


def run(prometheus: Backend, asked: report.Report, *, every: float, once: bool) -> None:
    """Show it until the user has seen enough; once where nothing can be drawn anew."""
    console = Console()
    with suppress(KeyboardInterrupt):
        with progress.waiting("asking Prometheus"):
            rows = report.rows(prometheus, asked)
        report.check_label(rows, asked)
        if once or not console.is_interactive:
            report.show(rows, asked, report.Format.TABLE)
            return
        pause = threading.Event()
        with Live(console=console, screen=True, auto_refresh=False) as view:
            while True:
                view.update(report.readable(rows, asked, room=console.width), refresh=True)
                pause.wait(every)
                asked = replace(asked, at=time())
                rows = report.rows(prometheus, asked)

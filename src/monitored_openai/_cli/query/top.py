"""`monitored-openai top`: a live report."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from time import time

from rich.console import Console
from rich.live import Live

from monitored_openai._cli.query import report
from monitored_openai._cli.query.http_api import HttpApi
from monitored_openai._cli.query.report_rows import Report, check_label, query_rows
from monitored_openai._cli.terminal import waiting


def run(prometheus: HttpApi, request: Report, *, every: float, once: bool) -> None:
    """Show the report every `every` seconds until Ctrl-C; once if `once` is set or if the output is not a terminal."""
    console = Console()
    with suppress(KeyboardInterrupt):
        with waiting("asking Prometheus"):
            rows = query_rows(prometheus, request)
        check_label(rows, request)
        if once or not console.is_interactive:
            report.show(rows, request, "table")
            return
        pause = threading.Event()
        with Live(console=console, screen=True, auto_refresh=False) as view:
            while True:
                view.update(report.as_table(rows, request, room=console.width), refresh=True)
                pause.wait(every)
                request = replace(request, at=time())
                rows = query_rows(prometheus, request)

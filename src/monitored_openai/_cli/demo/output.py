"""What the demo shows: what runs, what the receivers got, whether the sides agree, and what to do next."""

from __future__ import annotations

import math

from monitored_openai import __version__
from monitored_openai._cli.demo import tables
from monitored_openai._cli.demo.counts import TOKENS, Figures, differences, total
from monitored_openai._cli.demo.entries import show_entries
from monitored_openai._cli.demo.openai_server import Api
from monitored_openai._cli.demo.queries import COST, Metrics, log_cost, log_figures
from monitored_openai._cli.demo.receivers import LogsReceiver, MetricsReceiver
from monitored_openai._cli.terminal import Terminal

SNIPPET = """\
from monitored_openai import MonitoredOpenAI, MonitoringSettings
client = MonitoredOpenAI(monitoring=MonitoringSettings(    # was: OpenAI()
    metrics_url="https://prometheus.example.com",
    logs_url="https://loki.example.com",
))"""
"""What to change in one's own code."""


def introduce(terminal: Terminal, api: Api, metrics: MetricsReceiver, logs: LogsReceiver) -> None:
    """Say what is about to happen."""
    terminal.line(terminal.bold(f"monitored-openai {__version__}: the demo"))
    terminal.line("An application calls an API, and its calls show up in Prometheus and Loki.")
    terminal.line("All of it runs here, on 127.0.0.1: no key, no network, no bill.")
    terminal.line()
    for name, what, url in (
        ("API", "a small OpenAI-compatible server", api.base_url),
        ("Prometheus", "here a receiver of remote write", metrics.url),
        ("Loki", "here a receiver of Loki's push", logs.url),
    ):
        terminal.line(f"  {name:<11} {terminal.dim(f'{what:<34}')} {url}")
    terminal.line()


def show(terminal: Terminal, true: Figures, metrics: MetricsReceiver, logs: LogsReceiver) -> int:
    """Show what the receivers got; 0 if it is what is `true`, else 1."""
    received = Metrics(metrics.series)
    _heading(terminal, "What Prometheus got", f"{len(metrics.series):,} series in {metrics.pushes} pushes")
    tables.show_models(terminal, received)
    tables.show_features(terminal, received)
    tables.show_notes(terminal, received)
    _heading(terminal, "What Loki got", f"{len(logs.entries):,} entries in {logs.pushes} pushes; four of them:")
    show_entries(terminal, logs.entries)
    _heading(terminal, "Do the three agree?", "")
    if _check(terminal, true, received, logs):
        return 1
    _heading(terminal, "In your own code", "change the import and the client, and nothing else:")
    for line in SNIPPET.splitlines():
        terminal.line(f"  {line}")
    return 0


def _heading(terminal: Terminal, text: str, more: str) -> None:
    terminal.line()
    terminal.line(f"{terminal.bold(text)}  {terminal.dim(more)}".rstrip())


def _check(terminal: Terminal, true: Figures, metrics: Metrics, logs: LogsReceiver) -> list[str]:
    """Show whether the sums agree, and all that they are made of; what does not."""
    prometheus, loki = metrics.figures(), log_figures(logs.entries)
    terminal.line(f"  API served        {_sums(true)}")
    terminal.line(f"  Prometheus side:  {_sums(prometheus)}")
    terminal.line(f"  Loki side:        {_sums(loki)}")
    wrong = differences(true, {"the Prometheus side": prometheus, "the Loki side": loki})
    cost, log_cost_usd = sum(metrics.by("", COST).values()), log_cost(logs.entries)
    if not math.isclose(cost, log_cost_usd, rel_tol=1e-9):
        wrong.append(f"the Prometheus side has a cost of ${cost:.6f}, the Loki side of ${log_cost_usd:.6f}")
    for text in wrong:
        terminal.line(terminal.bad(f"  No: {text}"))
    if not wrong:
        text = "Yes: calls, errors, retries, tokens of all kinds and cost, model by model."
        terminal.line(terminal.good(f"  {text}"))
    calls, repeated = total(true, "calls"), total(true, "repeated requests")
    terminal.note(
        f"The API had {calls + repeated:,} requests for {calls:,} calls: the SDK repeated {repeated:,} that were "
        f"refused, which counts as retries. {total(true, 'calls without usage'):,} calls ended before the API told "
        "their tokens; they count as unknown, not as 0."
    )
    return wrong


def _sums(figures: Figures) -> str:
    return f"{total(figures, 'calls'):>5,} calls and {total(figures, *TOKENS):>9,} tokens"

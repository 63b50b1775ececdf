"""The demo's output: the servers, the telemetry that they received, and whether all sides agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from monitored_openai import __version__
from monitored_openai._cli.demo import counts
from monitored_openai._cli.demo.counts import Counts, Metrics
from monitored_openai._cli.demo.openai_server import Api
from monitored_openai._cli.demo.receivers import LogsReceiver, MetricsReceiver
from monitored_openai._cli.demo.replies import UNPRICED_MODEL
from monitored_openai._cli.terminal import NO_BREAK_SPACE, Terminal
from monitored_openai._local.conversation import turns
from monitored_openai._local.ingest import ReceivedEntry
from monitored_openai._metrics import names

SNIPPET = """\
from monitored_openai import MonitoredOpenAI, MonitoringSettings
client = MonitoredOpenAI(monitoring=MonitoringSettings(    # was: OpenAI()
    metrics_url="https://prometheus.example.com",
    logs_url="https://loki.example.com",
))"""
"""The change in the reader's own code."""

_EXAMPLES: tuple[Callable[[Mapping[str, Any]], bool], ...] = (
    lambda call: "error_type" not in call and "chunks" not in call and call["attributes"][counts.FEATURE] == "support",
    lambda call: "error_type" not in call and "chunks" in call and call["attributes"][counts.FEATURE] == "summaries",
    lambda call: call.get("error_type") == "rate_limit",
    lambda call: call.get("error_type") == "abandoned" and "response" in call,
)
"""Conditions for the log entries to show, one entry each."""


def introduce(terminal: Terminal, api: Api, metrics: MetricsReceiver, logs: LogsReceiver) -> None:
    """Show which servers the demo runs."""
    terminal.line(terminal.bold(f"monitored-openai {__version__}: the demo"))
    terminal.line("An application calls an API, and its calls appear in Prometheus and Loki.")
    terminal.line("All of it runs here, on 127.0.0.1: no key, no network, no bill.")
    terminal.line()
    for name, role, url in (
        ("API", "a small OpenAI-compatible server", api.base_url),
        ("Prometheus", "here a receiver of remote write", metrics.url),
        ("Loki", "here a receiver of Loki's push", logs.url),
    ):
        terminal.line(f"  {name:<11} {terminal.dim(f'{role:<34}')} {url}")
    terminal.line()


def show(terminal: Terminal, true: Counts, metrics: MetricsReceiver, logs: LogsReceiver) -> int:
    """Show the telemetry that the receivers accepted; return 0 if it equals the `true` counts, else 1."""
    received, entries = Metrics(metrics.series), logs.entries
    _heading(terminal, "Prometheus received", f"{len(metrics.series):,} series in {len(metrics.pushes)} pushes")
    show_groups(terminal, received, "model", counts.MODEL)
    terminal.line(terminal.bold(_row(received, "all", {})))
    terminal.line()
    show_groups(terminal, received, "feature", counts.FEATURE)
    _show_notes(terminal, received)
    _heading(terminal, "Loki received", f"{len(entries):,} entries in {len(logs.pushes)} pushes; four of them:")
    show_examples(terminal, entries)
    _heading(terminal, "Do the three agree?", "")
    if not _agree(terminal, true, received, entries):
        return 1
    _heading(terminal, "In your own code", "change the import and the client, and nothing else:")
    for line in SNIPPET.splitlines():
        terminal.line(f"  {line}")
    return 0


def show_groups(terminal: Terminal, metrics: Metrics, name: str, label: str) -> None:
    """Show a row for each value of a label."""
    terminal.line(terminal.dim(f"{'tokens':>38}{'whole answer':>27}{'first chunk':>13}"))
    head = f"  {name:<13}{'calls':>5}{'errors':>7}{'in':>8}{'out':>8}{'cost, $':>9}"
    terminal.line(terminal.dim(f"{head}{'p50':>7}{'p95':>6}{'p50':>7}{'p95':>6}"))
    for value in sorted(metrics.by(label, counts.CALLS)):
        terminal.line(_row(metrics, value, {label: value}))


def show_examples(terminal: Terminal, entries: Sequence[ReceivedEntry]) -> None:
    """Show the first log entry of each kind."""
    for is_example in _EXAMPLES:
        for entry in [one for one in entries if is_example(one.call)][:1]:
            at = datetime.fromtimestamp(entry.timestamp_ns / 1e9).astimezone()
            facts = f"{at:%H:%M:%S}  {', '.join(_facts(entry.call))}"
            terminal.line(f"  {terminal.fitted(facts, terminal.width - 3)}")
            texts: dict[str, str] = {turn.side: turn.text for turn in turns(entry.call)}
            for name, text in {**texts, "error": entry.call.get("error_message", "")}.items():
                if text:
                    terminal.line(f"    {terminal.dim(f'{name:<9}')} {terminal.fitted(text, terminal.width - 15)}")


def _heading(terminal: Terminal, text: str, more: str) -> None:
    terminal.line()
    terminal.line(f"{terminal.bold(text)}  {terminal.dim(more)}".rstrip())


def _row(metrics: Metrics, name: str, where: Mapping[str, str]) -> str:
    numbers, cost = metrics.counts(**where), metrics.by("", counts.COST, **where).get("")
    unknown = sum(metrics.by("", counts.UNPRICED, **where).values()) + counts.total(numbers, "incomplete costs")
    usd = "unknown" if cost is None else f"{'≥' if unknown else ''}{cost:.4f}"
    calls = f"{counts.total(numbers, 'calls'):>5}{counts.total(numbers, 'errors'):>7}"
    tokens = f"{counts.total(numbers, 'input tokens'):>8,}{counts.total(numbers, 'output tokens'):>8,}"
    seconds = (
        (metrics.quantile(share, metric, **where), width)
        for metric in (names.DURATION, names.TIME_TO_FIRST_CHUNK)
        for share, width in ((0.5, 7), (0.95, 6))
    )
    times = "".join(f"{'-' if math.isnan(value) else f'{value:.2f}':>{width}}" for value, width in seconds)
    return f"  {name:<13}{calls}{tokens}{usd:>9}{times}"


def _show_notes(terminal: Terminal, metrics: Metrics) -> None:
    by_type = metrics.by("error_type", counts.CALLS)
    errors = ", ".join(f"{by_type[name]:.0f}{NO_BREAK_SPACE}{name}" for name in sorted(by_type) if name)
    unpriced = sum(metrics.by("", counts.UNPRICED, **{counts.MODEL: UNPRICED_MODEL}).values())
    terminal.line()
    terminal.note(f"Errors: {errors}.")
    terminal.note(
        f"Cost: by list price; {UNPRICED_MODEL} is in no price list, so {unpriced:.0f} calls count as unpriced, not as free. "
        "≥: at least this much, because some calls have no price."
    )
    terminal.note(
        "Seconds: p50 and p95 as PromQL's histogram_quantile estimates them; only streamed calls have a first chunk."
    )


def _facts(call: Mapping[str, Any]) -> Iterator[str]:
    yield from (call["request_model"], *call.get("attributes", {}).values(), f"{call['duration_seconds']:.2f} s")
    if "chunks" in call:
        yield "streamed"
    if retries := call.get("retries"):
        yield "1 retry" if retries == 1 else f"{retries} retries"
    if usage := call.get("usage"):
        yield f"{usage['input_tokens']}+{usage['output_tokens']} tokens"
    if cost := call.get("cost"):
        yield f"{'≥' if call.get('cost_incomplete') else ''}${cost['total_usd']:.6f}"
    if "error_type" in call:
        yield call["error_type"]


def _agree(terminal: Terminal, true: Counts, metrics: Metrics, entries: Sequence[ReceivedEntry]) -> bool:
    """Show whether the sums, their parts and the costs agree, and each difference."""
    sides = {"the Prometheus side": metrics.counts(), "the Loki side": counts.log_counts(entries)}
    for name, numbers in zip(("API served", "Prometheus side:", "Loki side:"), (true, *sides.values()), strict=True):
        calls, tokens = counts.total(numbers, "calls"), counts.total(numbers, *counts.TOKENS)
        terminal.line(f"  {name:<17} {calls:>5,} calls and {tokens:>9,} tokens")
    wrong = counts.differences(true, sides)
    cost, log_usd = sum(metrics.by("", counts.COST).values()), counts.log_cost(entries)
    if not math.isclose(cost, log_usd, rel_tol=1e-9):
        wrong.append(f"the Prometheus side has a cost of ${cost:.6f}, the Loki side of ${log_usd:.6f}")
    for text in wrong:
        terminal.line(terminal.bad(f"  No: {text}"))
    if not wrong:
        terminal.line(terminal.good("  Yes: calls, errors, retries, tokens of all kinds and cost, model by model."))
    calls, repeated = counts.total(true, "calls"), counts.total(true, "repeated requests")
    terminal.note(
        f"The API received {calls + repeated:,} requests for {calls:,} calls: the SDK repeated {repeated:,} refused "
        f"requests, which count as retries. {counts.total(true, 'calls without usage'):,} calls ended before the API "
        "reported their tokens; they count as unknown, not as 0."
    )
    return not wrong

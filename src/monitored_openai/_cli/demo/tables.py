"""The figures that Prometheus got, as tables."""

from __future__ import annotations

import math

from monitored_openai._cli.demo.counts import Figures, total
from monitored_openai._cli.demo.queries import (
    COST,
    DURATION,
    FEATURE,
    MODEL,
    TIME_TO_FIRST_CHUNK,
    TOKENS_TOTAL,
    UNPRICED,
    Metrics,
)
from monitored_openai._cli.demo.workload import UNPRICED_MODEL
from monitored_openai._cli.terminal import NO_BREAK_SPACE, Terminal


def show_models(terminal: Terminal, metrics: Metrics) -> None:
    """A row for each model, and one for all."""
    figures, costs = metrics.figures(), metrics.by(MODEL, COST)
    terminal.line(terminal.dim(f"{'tokens':>38}{'whole answer':>27}{'first chunk':>13}"))
    head = f"  {'model':<13}{'calls':>5}{'errors':>7}{'in':>8}{'out':>8}{'cost, $':>9}"
    terminal.line(terminal.dim(f"{head}{'p50':>7}{'p95':>6}{'p50':>7}{'p95':>6}"))
    for model in sorted({model for model, _ in figures}):
        of_model = Figures({key: number for key, number in figures.items() if key[0] == model})
        terminal.line(_row(model, of_model, costs.get(model)) + _times(metrics, **{MODEL: model}))
    terminal.line(terminal.bold(_row("all", figures, sum(costs.values())) + _times(metrics)))


def show_features(terminal: Terminal, metrics: Metrics) -> None:
    """A row for each feature."""
    calls, tokens = metrics.by(FEATURE, f"{DURATION}_count"), metrics.by(FEATURE, TOKENS_TOTAL)
    costs = metrics.by(FEATURE, COST)
    terminal.line()
    terminal.line(terminal.dim(f"  {'feature':<13}{'calls':>5}{'tokens':>23}{'cost, $':>9}"))
    for feature in sorted(calls):
        cost = f"{costs.get(feature, 0):.4f}"
        terminal.line(f"  {feature:<13}{calls[feature]:>5.0f}{tokens.get(feature, 0):>23,.0f}{cost:>9}")


def show_notes(terminal: Terminal, metrics: Metrics) -> None:
    """What one may ask of these figures."""
    by_type = metrics.by("error_type", f"{DURATION}_count")
    errors = ", ".join(f"{by_type[name]:.0f}{NO_BREAK_SPACE}{name}" for name in sorted(by_type) if name)
    unpriced = sum(metrics.by("reason", UNPRICED, **{MODEL: UNPRICED_MODEL}).values())
    terminal.line()
    terminal.note(f"Errors: {errors}.")
    terminal.note(
        f"Cost: by list price; {UNPRICED_MODEL} is in no list, so {unpriced:.0f} calls count as unpriced, not as free."
    )
    terminal.note(
        "Seconds: p50 and p95 as PromQL's histogram_quantile estimates them; the first chunk is that of streamed calls."
    )


def _row(name: str, figures: Figures, cost: float | None) -> str:
    counts = f"{total(figures, 'calls'):>5}{total(figures, 'errors'):>7}"
    tokens = f"{total(figures, 'input tokens'):>8,}{total(figures, 'output tokens'):>8,}"
    return f"  {name:<13}{counts}{tokens}{'unknown' if cost is None else f'{cost:.4f}':>9}"


def _times(metrics: Metrics, **where: str) -> str:
    return "".join(
        f"{_seconds(metrics.quantile(share, name, **where)):>{width}}"
        for name in (DURATION, TIME_TO_FIRST_CHUNK)
        for share, width in ((0.5, 7), (0.95, 6))
    )


def _seconds(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{seconds:.2f}"

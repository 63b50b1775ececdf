"""Write the table of all metrics into docs/metrics.md, or with ``--check`` exit 1 if it is stale."""

# ruff: noqa: INP001 - a script, no module of a package

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from monitored_openai import CallRecord, Cost, Usage  # noqa: E402 - found by the path above
from monitored_openai._exporter.ledger import DeliveryLedger  # noqa: E402
from monitored_openai._exporter.metrics_state import OWN_METRICS, MetricsState  # noqa: E402
from monitored_openai._metrics.rate_limits import RATE_LIMIT_METRICS, RateLimits  # noqa: E402
from monitored_openai._metrics.store import ACTIVE, CALL_METRICS, Metric, Metrics, Sample  # noqa: E402
from scripts.endpoint_support import OBSERVED  # noqa: E402

PAGE = ROOT / "docs" / "metrics.md"
BEGIN = "<!-- metrics table: written by scripts/metrics_table.py -->"
END = "<!-- end of the metrics table -->"
OF_ALL_CALLS = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
COUNTED = Usage(input_tokens=2, output_tokens=2, input_cached_tokens=1, input_seconds=1.5, input_characters=1)
HEADERS = {
    "openai-processing-ms": "1",
    "openai-organization": "o",
    "openai-project": "p",
    "x-ratelimit-limit-tokens": "1",
    "x-ratelimit-remaining-tokens": "1",
    "x-ratelimit-reset-tokens": "1s",
}
COST = Cost(input_usd=1, input_cached_usd=1, output_usd=1, cache_savings_usd=1)


def record(usage: Usage | None, cost: Cost | None) -> CallRecord:
    """A call of which everything is known but, where they are missing, the usage and the cost."""
    return CallRecord(
        id="",
        operation="chat",
        provider="openai",
        server="",
        request_model="m",
        response_model="m",
        started_ns=0,
        ended_ns=0,
        duration=1,
        time_to_first_chunk=1,
        chunk_intervals=(1,),
        retries=1,
        error_type=None if usage else "timeout",
        usage=usage,
        usage_unknown=None if usage else "timeout",
        cost=cost,
        unpriced=None if cost else "usage_unknown",
        headers=HEADERS,
    )


def samples() -> list[Sample]:
    """At least one sample of each metric, with all the labels that it can have."""
    metrics, limits = Metrics(), RateLimits(max_label_sets=1, shown_seconds=1)
    for each in (record(COUNTED, COST), record(None, None)):
        metrics.fold(each)
        limits.fold(each)
    active = Sample(ACTIVE.name, metrics.labels("chat", "openai", "m", {}), 1)
    ledger = DeliveryLedger(max_entries=1, max_bytes=1, logs=True)
    ledger.record_untracked("fault")
    ledger.record_push(taken=True)
    totals = MetricsState(ledger, label_names=(), max_label_sets=1, push_seconds=1)
    totals.prices_timestamp = 0.0
    return [*metrics.samples(), *limits.samples(1), active, *totals.samples()]


def labels_of(metric: Metric, all_samples: Iterable[Sample]) -> list[str]:
    """The labels of a metric beyond those that are no news: the calls' own, and the buckets'."""
    found = {name: None for sample in all_samples if sample.name in metric.series_names for name, _ in sample.labels}
    return [name for name in found if name not in (*OF_ALL_CALLS, "le")]


def table(metrics: Iterable[Metric], all_samples: Iterable[Sample]) -> str:
    """The metrics as a Markdown table, in the order of their declaration."""
    rows = ["| name | type | more labels | meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{metric.name}` | {metric.type} | {' '.join(f'`{name}`' for name in labels_of(metric, all_samples))} "
        f"| {metric.help} |"
        for metric in metrics
    ]
    return "\n".join(rows)


def operations() -> str:
    """The values of `gen_ai_operation_name`, each with the methods whose calls it names."""
    methods: dict[str, list[str]] = {}
    for row in OBSERVED:
        for family in row.families:
            methods.setdefault(family.operation, []).extend(f"`{name}`" for name in row.methods.split())
    methods["batch_result"] = ["`monitored_openai.batch_usage(..., count=True)`"]
    return "\n".join(
        f"- `{operation}`: {', '.join(dict.fromkeys(names))}" for operation, names in sorted(methods.items())
    )


def text() -> str:
    """The tables, the operations, and the bounds of the histograms."""
    all_samples = samples()
    bounds = [
        f"- `{metric.name}`: {', '.join(f'{bound:g}' if bound < 1e5 else f'{bound:.0f}' for bound in metric.bounds)}"
        for metric in (*CALL_METRICS, *OWN_METRICS)
        if metric.bounds
    ]
    of_calls, limits, own = (table(metrics, all_samples) for metrics in (CALL_METRICS, RATE_LIMIT_METRICS, OWN_METRICS))
    return "\n\n".join(
        (
            "### Of the calls",
            of_calls,
            "### Of the rate limits",
            limits,
            "### Of the library itself",
            own,
            "### Operations",
            operations(),
            "### Bounds of the histograms",
            "\n".join(bounds),
        )
    )


def main(arguments: list[str]) -> int:
    """Write or check the table; the exit status."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    fresh = f"{before}{BEGIN}\n\n{text()}\n\n{END}{after}"
    if "--check" not in arguments:
        PAGE.write_text(fresh, encoding="utf-8")
    return int("--check" in arguments and fresh != page)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

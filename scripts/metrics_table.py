"""Write the table of all metrics into docs/metrics.md, or with ``--check`` exit 1 if it is stale."""

# ruff: noqa: INP001 - a script, no module of a package

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from monitored_openai._metrics.metric_set import DETAILS, MetricSet, metric_set  # noqa: E402 - found by the path above
from monitored_openai._metrics.names import (  # noqa: E402 - found by the path above
    CALL_METRICS,
    LEGACY_METRICS,
    OTEL_GENAI_METRICS,
    OWN_METRICS,
    RATE_LIMIT_METRICS,
    Metric,
)
from scripts.endpoint_support import OBSERVED  # noqa: E402

PAGE = ROOT / "docs" / "metrics.md"
BEGIN = "<!-- metrics table: written by scripts/metrics_table.py -->"
END = "<!-- end of the metrics table -->"


def table(metrics: Iterable[Metric]) -> str:
    """Return the metrics as a Markdown table, in the order of their definition."""
    rows = ["| name | type | more labels | meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{metric.name}` | {metric.type} | {' '.join(f'`{name}`' for name in metric.labels)} | {metric.help} |"
        for metric in metrics
    ]
    return "\n".join(rows)


def operations() -> str:
    """Return the values of `gen_ai_operation_name`, each with the SDK methods that it stands for."""
    methods: dict[str, list[str]] = {}
    for row in OBSERVED:
        for family in row.families:
            methods.setdefault(family.operation, []).extend(f"`{name}`" for name in row.methods.split())
    methods["batch_result"] = ["`monitored_openai.batch_usage(..., count=True)`"]
    return "\n".join(
        f"- `{operation}`: {', '.join(dict.fromkeys(names))}" for operation, names in sorted(methods.items())
    )


def bounds() -> str:
    """Return the bounds of each histogram as a table, with a column for each value of the setting `histograms`."""
    rows = [f"| name | {' | '.join(f'`{detail}`' for detail in DETAILS)} |", "|---|" + "---|" * len(DETAILS)]
    for metric in (*CALL_METRICS, *OTEL_GENAI_METRICS, *OWN_METRICS):
        if metric.bounds:
            schemes = ("otel_genai",) if metric in OTEL_GENAI_METRICS else ("gen_ai",)
            cells = (_bounds(metric, metric_set(detail, schemes=schemes)) for detail in DETAILS)
            rows.append(f"| `{metric.name}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def _bounds(metric: Metric, metrics: MetricSet) -> str:
    if metrics.has(metric):
        return _texts(metrics.bounds[metric]) or "sum and count"
    read = metric_set(schemes=("otel_genai",)).bounds.get(metric, ())
    return f"left out; with `otel_genai`: {_texts(read)}" if read else "left out"


def _texts(bounds: Iterable[float]) -> str:
    return ", ".join(f"{bound:g}" if bound < 1e5 else f"{bound:.0f}" for bound in bounds)


def text() -> str:
    """Return the tables of metrics, the operations and the bounds of the histograms."""
    sections = {
        "Calls": table(CALL_METRICS),
        "Limits of the API": table(RATE_LIMIT_METRICS),
        "The library itself": table(OWN_METRICS),
        "The scheme `otel_genai`": table(OTEL_GENAI_METRICS),
        "The predecessor's series": table(LEGACY_METRICS),
        "Operations": operations(),
        "Bounds of the histograms": bounds(),
    }
    return "\n\n".join(f"### {title}\n\n{section}" for title, section in sections.items())


def main(arguments: list[str]) -> int:
    """Write or check the table; return the exit status."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    fresh = f"{before}{BEGIN}\n\n{text()}\n\n{END}{after}"
    if "--check" not in arguments:
        PAGE.write_text(fresh, encoding="utf-8")
    return int("--check" in arguments and fresh != page)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The forms of PromQL that dashboards, rules and reports are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from monitored_openai._metrics import names

CALLS = names.DURATION.count
DURATION = names.DURATION.name
FIRST_CHUNK = names.TIME_TO_FIRST_CHUNK.name
TOKENS_PER_CALL = names.TOKEN_USAGE.name
PER_CHUNK = names.TIME_PER_OUTPUT_CHUNK.name
TOKENS = names.TOKENS_TOTAL.name
TOKEN_DETAILS = names.TOKEN_DETAILS.name
COST = names.COST.name
SAVINGS = names.SAVINGS.name
UNPRICED = names.UNPRICED.name
USAGE_UNKNOWN = names.USAGE_UNKNOWN.name
RETRIES = names.RETRIES.name

FAILURES = "rate_limit|server_error|timeout|connection"
"""The error types that are the service's failures: not the caller's mistakes, and not what the caller broke off."""

LOOK_BACK = "1h"
"""How far back the value at a range's beginning is looked for; less would count twice what an outage hides."""
LONGEST_OUTAGE = "12h"
"""The same where being wrong after a night without telemetry is worse than reading more of each series."""

SHORT = {"model": "gen_ai_request_model", "service": "service_name"}
"""Words for labels that are long to type."""
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def selector(metric: str, matchers: Iterable[str] = ()) -> str:
    """The series of a metric that fit the matchers, each as `label="value"`."""
    chosen = ",".join(matchers)
    return f"{metric}{{{chosen}}}" if chosen else metric


def equal(labels: Mapping[str, str]) -> list[str]:
    """A matcher for each label, whatever is in its value."""
    return [f"{name}={quoted(value)}" for name, value in labels.items()]


def quoted(text: str) -> str:
    """The text as a string of PromQL and LogQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def total(series: str, over: str, by: Iterable[str] = (), *, look_back: str = LOOK_BACK) -> str:
    """How much pushed counters grew over a range, exact to one push interval: see docs/metrics.md."""
    return f"sum{_by(by)} ({growth(series, over, look_back=look_back)})"


def growth(series: str, over: str, *, look_back: str = LOOK_BACK) -> str:
    """The same for each series on its own."""
    return (
        f"last_over_time({series}[{over}])"
        f" - (last_over_time({series}[{look_back}] offset {over}) or last_over_time({series}[{over}]) * 0)"
    )


def estimated(series: str, over: str, by: Iterable[str] = ()) -> str:
    """The same for scraped counters, which begin again at zero: what `increase` makes of them."""
    return f"sum{_by(by)} (increase({series}[{over}]))"


def rate(series: str, over: str, by: Iterable[str] = ()) -> str:
    """How much counters grow per second."""
    return f"sum{_by(by)} (rate({series}[{over}]))"


def quantile(share: float, buckets: str) -> str:
    """A quantile from the sums of a histogram's buckets, which have the label `le`."""
    return f"histogram_quantile({share:g}, {buckets})"


def or_zero(value: str, reporting: str) -> str:
    """Zero where there is no such value though somebody reports; nothing where nobody does."""
    return f"({value}) or ({reporting}) * 0"


def _by(labels: Iterable[str]) -> str:
    listed = ", ".join(labels)
    return f" by ({listed})" if listed else ""

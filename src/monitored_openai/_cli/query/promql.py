"""Builds the PromQL expressions of dashboards, rules and reports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from monitored_openai._metrics import names

DURATION = names.DURATION.name
CALLS = names.DURATION.count
FIRST_CHUNK = names.TIME_TO_FIRST_CHUNK.name
PER_CHUNK = names.TIME_PER_OUTPUT_CHUNK.name
TOKENS = names.TOKENS_TOTAL.name
TOKEN_DETAILS = names.TOKEN_DETAILS.name
COST = names.COST.name
COST_INCOMPLETE = names.COST_INCOMPLETE.name
TOOL_CALLS = names.TOOL_CALLS.name
SAVINGS = names.SAVINGS.name
UNPRICED = names.UNPRICED.name
USAGE_UNKNOWN = names.USAGE_UNKNOWN.name
FINISHES = names.FINISHES.name
RETRIES = names.RETRIES.name

FAILURES = "rate_limit|insufficient_quota|server_error|timeout|connection"
"""Error types of the service's failures; excludes invalid requests and calls that the caller cancelled."""

REFUSALS = "insufficient_quota|invalid_api_key|model_not_found"
"""Error types that no retry fixes, because the account, the key or the model is wrong."""

LOOK_BACK = "1h"
"""The time before a range in which a query finds the starting value; after a longer outage, totals count calls twice."""
LONGEST_OUTAGE = "12h"
"""The look-back of queries that must stay correct after a night without telemetry; they read more samples."""

LABEL_ALIASES = {"model": "gen_ai_request_model", "service": "service_name"}
"""Short names for long labels."""
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SELECTOR = r'[\w:]+(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?'
_GROWTH = re.compile(
    rf"last_over_time\((?P<series>{_SELECTOR})\[(?P<over>[^\]]+)\]\)"
    r" - \(last_over_time\((?P=series)\[[^\]]+\] offset (?P=over)\)"
    r" or last_over_time\((?P=series)\[(?P=over)\]\) \* 0\)"
)
"""Matches the expressions that `growth` returns."""


def selector(metric: str, matchers: Iterable[str] = ()) -> str:
    """Return the selector of a metric's series with the matchers, each as `label="value"`."""
    chosen = ",".join(matchers)
    return f"{metric}{{{chosen}}}" if chosen else metric


def equal(labels: Mapping[str, str]) -> list[str]:
    """Return an equality matcher for each label."""
    return [f"{name}={quoted(value)}" for name, value in labels.items()]


def quoted(text: str) -> str:
    """Return the text as a string literal of PromQL and LogQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def total(series: str, over: str, by: Iterable[str] = (), *, look_back: str = LOOK_BACK) -> str:
    """Return the increase of pushed counters over a range, exact to one push interval: see docs/metrics.md."""
    return f"sum{_by(by)} ({growth(series, over, look_back=look_back)})"


def growth(series: str, over: str, *, look_back: str = LOOK_BACK) -> str:
    """Return the increase of each pushed series over a range."""
    return (
        f"last_over_time({series}[{over}])"
        f" - (last_over_time({series}[{look_back}] offset {over}) or last_over_time({series}[{over}]) * 0)"
    )


def estimated(series: str, over: str, by: Iterable[str] = ()) -> str:
    """Return the increase of scraped counters, which restart at zero, as estimated by `increase`."""
    return f"sum{_by(by)} (increase({series}[{over}]))"


def for_scraped_series(expr: str) -> str:
    """Return the expression with each `growth` estimated by `increase`, because scraped counters restart at zero."""
    return _GROWTH.sub(r"increase(\g<series>[\g<over>])", expr)


def rate(series: str, over: str, by: Iterable[str] = ()) -> str:
    """Return the increase of counters per second."""
    return f"sum{_by(by)} (rate({series}[{over}]))"


def mean(sums: str, counts: str, over: str, by: Iterable[str] = ()) -> str:
    """Return the mean of a histogram's values; series without values in `over` are left out."""
    named = tuple(by)
    return f"{rate(sums, over, named)} / ({rate(counts, over, named)} > 0)"


def quantile(share: float, buckets: str) -> str:
    """Return a quantile of a histogram; `buckets` are sums with the label `le`."""
    return f"histogram_quantile({share:g}, {buckets})"


def or_zero(value: str, reporting: str) -> str:
    """Return the value, or zero if it has no series and `reporting` has some."""
    return f"({value}) or ({reporting}) * 0"


def _by(labels: Iterable[str]) -> str:
    listed = ", ".join(labels)
    return f" by ({listed})" if listed else ""

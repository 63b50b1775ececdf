"""The parameters of a report, and its rows: the numbers of a time range for each value of a label."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from monitored_openai._cli.errors import UserError
from monitored_openai._cli.query import promql
from monitored_openai._cli.query.http_api import HttpApi

_UNITS = {"y": 365 * 86400.0, "w": 7 * 86400.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
"""Seconds of each unit, in the order that Prometheus requires."""
_DURATION = re.compile("".join(f"(?:([0-9]{{1,15}}){unit})?" for unit in _UNITS))
_MAX_SECONDS = 100 * _UNITS["y"]
_LABELS = {**promql.LABEL_ALIASES, "response_model": "gen_ai_response_model"}
ALIASES = {name: alias for alias, name in _LABELS.items()}
_PARTIAL_LABELS = frozenset(
    "gen_ai_response_model gen_ai_token_type error_type finish_reason kind reason tool le".split()
)
"""Labels missing on some metrics; grouping or filtering by them would show false zeros."""
_PARALLEL_QUERIES = 4
_NONE, _ALL = "(none)", "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The parameters of a report."""

    label: str
    over: str
    """Length of the range, as PromQL writes it."""
    at: float
    """End of the range, in seconds since the epoch."""
    matchers: tuple[str, ...]
    scraped: bool
    look_back: str

    @classmethod
    def parse(
        cls,
        *,
        by: str,
        over: str,
        until: str | None,
        where: Iterable[str],
        scraped: bool,
        look_back: str = promql.LONGEST_OUTAGE,
    ) -> Self:
        """Return the report for the options; a short `look_back` makes frequent queries cheap.

        Raises:
            UserError: an option is invalid.
        """
        if not 0 < _seconds_in(over) <= _MAX_SECONDS:
            raise UserError(f"--range {over}: write a number and a unit, as in 90m, 24h or 30d, up to 100y")
        return cls(
            label=parse_label(by),
            over=over,
            at=time.time() if until is None else parse_time(until),
            matchers=tuple(_parse_matchers(where)),
            scraped=scraped,
            look_back=look_back,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The numbers for one value of the label; `None` means unknown.

    `cost_usd` is a lower bound if calls are unpriced or have an incomplete cost.
    """

    name: str
    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    unpriced_calls: int
    incomplete_calls: int
    duration_p50: float | None
    duration_p95: float | None
    first_chunk_p95: float | None


def _seconds_in(duration: str) -> float:
    """Return the length of a duration such as 1h30m in seconds; 0 if it is invalid."""
    found = _DURATION.fullmatch(duration)
    return (
        sum(int(number or 0) * unit for number, unit in zip(found.groups(), _UNITS.values(), strict=True))
        if found
        else 0
    )


def parse_label(name: str) -> str:
    """Return the label for a name or its alias.

    Raises:
        UserError: the name is not valid, or some of the metrics do not have the label.
    """
    if not promql.LABEL.fullmatch(name):
        raise UserError(f"{name!r} is not the name of a label: write model, or an attribute such as feature")
    label = _LABELS.get(name, name)
    if label in _PARTIAL_LABELS:
        raise UserError(
            f"{name}: some figures of a report lack this label; write model, or an attribute such as feature"
        )
    return label


def _parse_matchers(where: Iterable[str]) -> list[str]:
    labels: dict[str, str] = {}
    for text in where:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--where {text}: write label=value, as in environment=production")
        labels[parse_label(name)] = value
    return promql.equal(labels)


def parse_time(text: str) -> float:
    """Return a date, with or without a time, as seconds since the epoch.

    Raises:
        UserError: the text is not a date.
    """
    try:
        at = datetime.fromisoformat(text).timestamp()
        datetime.fromtimestamp(at).astimezone()  # the report shows it in this form
        return at
    except (ValueError, OverflowError, OSError) as error:
        raise UserError(f"{text!r} is not a date: write 2026-11-25 or 2026-11-25T12:00") from error


def query_rows(prometheus: HttpApi, report: Report) -> list[Row]:
    """Return a row for each value of the label, the most expensive first, and then one for all."""
    expressions = {**_expressions(report, (report.label,)), **_expressions(report, ())}
    with ThreadPoolExecutor(_PARALLEL_QUERIES) as pool:
        replies = pool.map(lambda key: _query(prometheus, expressions[key], report, split=key[1]), expressions)
        answers = dict(zip(expressions, replies, strict=True))
    names = {name for (_, split), values in answers.items() if split for name in values}
    found = [_row(name, {what: answers[what, split].get(name) for what, split in answers if split}) for name in names]
    found = [row for row in found if row.calls or row.input_tokens or row.output_tokens]
    found.sort(key=lambda row: (-(row.cost_usd or 0), -row.calls, row.name))
    return [*found, _row(_ALL, {what: answers[what, split].get("") for what, split in answers if not split})]


def check_label(found: Sequence[Row], report: Report) -> None:
    """Check that a call of the range has the label.

    Raises:
        UserError: calls were counted, and none of them has the label.
    """
    names = {row.name for row in found[:-1]}
    if names == {_NONE} and found[0].calls:
        name = ALIASES.get(report.label, report.label)
        raise UserError(
            f"no call of this range has the label {name!r}: the setting label_names turns attributes into labels"
        )


def _expressions(report: Report, by: tuple[str, ...]) -> dict[tuple[str, bool], str]:
    def counted(metric: str, *more: str, split: tuple[str, ...] = ()) -> str:
        series, names = promql.selector(metric, (*report.matchers, *more)), (*split, *by)
        if report.scraped:
            return promql.estimated(series, report.over, names)
        return promql.total(series, report.over, names, look_back=report.look_back)

    def percentile(share: float, metric: str) -> str:
        return promql.quantile(share, counted(f"{metric}_bucket", split=("le",)))

    expressions = {
        "calls": counted(promql.CALLS),
        "errors": counted(promql.CALLS, 'error_type!=""'),
        "input_tokens": counted(promql.TOKENS, 'gen_ai_token_type="input"'),
        "output_tokens": counted(promql.TOKENS, 'gen_ai_token_type="output"'),
        "cost_usd": counted(promql.COST),
        "unpriced_calls": counted(promql.UNPRICED),
        "incomplete_calls": counted(promql.COST_INCOMPLETE),
        "duration_p50": percentile(0.5, promql.DURATION),
        "duration_p95": percentile(0.95, promql.DURATION),
        "first_chunk_p95": percentile(0.95, promql.FIRST_CHUNK),
    }
    return {(name, bool(by)): expr for name, expr in expressions.items()}


def _query(prometheus: HttpApi, expr: str, report: Report, *, split: bool) -> dict[str, float]:
    """Return the number for each value of the label; `(none)` stands for a missing label.

    Without `split`, return the total under an empty name.
    """
    reply = prometheus.post_form("/api/v1/query", {"query": expr, "time": f"{report.at:.3f}"})
    with prometheus.expecting("Prometheus"):
        result = reply["data"]["result"]
        names = (series["metric"].get(report.label, _NONE) if split else "" for series in result)
        return {name: float(series["value"][1]) for name, series in zip(names, result, strict=True)}


def _row(name: str, values_of: Mapping[str, float | None]) -> Row:
    def number(what: str) -> int:
        value = values_of[what] or 0
        if not math.isfinite(value):
            raise UserError(
                f"Prometheus returns {value} as the number of {what.replace('_', ' ')}: is the address right?"
            )
        return round(value)

    def known(what: str) -> float | None:
        value = values_of[what]
        return value if value is not None and math.isfinite(value) else None

    cost = known("cost_usd")
    counts = ("calls", "errors", "input_tokens", "output_tokens", "unpriced_calls", "incomplete_calls")
    values: dict[str, Any] = {
        **{what: number(what) for what in counts},
        **{what: known(what) for what in ("duration_p50", "duration_p95", "first_chunk_p95")},
    }
    return Row(name=name, cost_usd=cost, **values)

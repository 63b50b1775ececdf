"""`monitored-openai report`: what Prometheus says of a time range, one row for each value of a label."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from monitored_openai._cli.errors import UserError
from monitored_openai._cli.query import promql
from monitored_openai._cli.query.http_api import Backend
from monitored_openai._cli.terminal import escaped

_UNITS = {"y": 365 * 86400.0, "w": 7 * 86400.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
"""Seconds of each, in the order in which Prometheus reads them."""
_DURATION = re.compile("".join(f"(?:([0-9]{{1,15}}){unit})?" for unit in _UNITS))
_MOST_SECONDS = 100 * _UNITS["y"]
_SHORT = {**promql.SHORT, "response_model": "gen_ai_response_model"}
_WORDS = {name: word for word, name in _SHORT.items()}
_OF_SOME = {"gen_ai_response_model", "gen_ai_token_type", "error_type", "kind", "reason", "le"}
"""Labels that some of the figures have and others do not: by them, or with them, others would be zero that are not."""
_HEADS = ("calls", "errors", "in", "out", "cost, $", "unpriced", "p50", "p95", "first chunk p95")
_SHORTEST_NAME, _LONGEST_NAME = 12, 60
_WIDEST = 1000
"""Where no terminal is: a file, a pipe."""
_AT_ONCE = 4
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a formula begins; some spreadsheets take the full-width signs as well."""
_NONE, _ALL = "(none)", "all"


class Format(StrEnum):
    """How a report is shown."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is asked for."""

    label: str
    over: str
    at: float
    matchers: tuple[str, ...]
    scraped: bool
    look_back: str

    @classmethod
    def of(
        cls,
        *,
        by: str,
        over: str,
        until: str | None,
        where: Iterable[str],
        scraped: bool,
        look_back: str = promql.LONGEST_OUTAGE,
    ) -> Self:
        """From what the user wrote; `look_back` is for who asks every few seconds.

        Raises:
            Mistake: it says what is wrong, and what would be right.
        """
        if not 0 < _seconds_in(over) <= _MOST_SECONDS:
            raise UserError(f"--range {over}: write a number and a unit, as in 90m, 24h or 30d, up to 100y")
        return cls(
            label=label(by),
            over=over,
            at=time.time() if until is None else moment(until),
            matchers=tuple(matchers(where)),
            scraped=scraped,
            look_back=look_back,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The figures of one value of the label; what is not known is `None`."""

    name: str
    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    unpriced_calls: int
    duration_p50: float | None
    duration_p95: float | None
    first_chunk_p95: float | None


def _seconds_in(duration: str) -> float:
    """How long that is; 0 where it is none."""
    found = _DURATION.fullmatch(duration)
    return (
        sum(int(number or 0) * unit for number, unit in zip(found.groups(), _UNITS.values(), strict=True))
        if found
        else 0
    )


def label(name: str) -> str:
    """The label that a word means."""
    if not promql.LABEL.fullmatch(name):
        raise UserError(f"{name!r} is no name of a label: write model, or an attribute such as feature")
    found = _SHORT.get(name, name)
    if found in _OF_SOME:
        raise UserError(f"{name}: not all figures of a report have it; write model, or an attribute such as feature")
    return found


def matchers(where: Iterable[str]) -> list[str]:
    """A matcher for each `label=value`."""
    found: dict[str, str] = {}
    for text in where:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--where {text}: write label=value, as in environment=production")
        found[label(name)] = value
    return promql.equal(found)


def moment(text: str) -> float:
    """A date, with a time or without, as seconds since the epoch."""
    try:
        at = datetime.fromisoformat(text).timestamp()
        datetime.fromtimestamp(at).astimezone()  # as it will be shown
        return at
    except (ValueError, OverflowError, OSError) as error:
        raise UserError(f"{text!r} is no date: write 2026-11-25 or 2026-11-25T12:00") from error


def rows(prometheus: Backend, report: Report) -> list[Row]:
    """A row for each value, the most expensive first, and one for all."""
    asked = {**_expressions(report, (report.label,)), **_expressions(report, ())}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        told = pool.map(lambda key: _ask(prometheus, asked[key], report, split=key[1]), asked)
        answers = dict(zip(asked, told, strict=True))
    names = {name for (_, split), values in answers.items() if split for name in values}
    found = [_row(name, {what: answers[what, split].get(name) for what, split in answers if split}) for name in names]
    found = [row for row in found if row.calls or row.input_tokens or row.output_tokens]
    found.sort(key=lambda row: (-(row.cost_usd or 0), -row.calls, row.name))
    return [*found, _row(_ALL, {what: answers[what, split].get("") for what, split in answers if not split})]


def check_label(found: Sequence[Row], report: Report) -> None:
    """Refuse a report by a label that no call has.

    Raises:
        Mistake: calls were counted, and none of them has the label.
    """
    names = {row.name for row in found[:-1]}
    if names == {_NONE} and found[0].calls:
        word = _WORDS.get(report.label, report.label)
        raise UserError(
            f"no call of this range has the label {word!r}: attributes become labels by the setting label_names"
        )


def show(found: Sequence[Row], report: Report, form: Format) -> None:
    """Print it."""
    if form is Format.JSON:
        told = {"by": report.label, "range": report.over, "until": report.at, "rows": [asdict(row) for row in found]}
        print(json.dumps(told, indent=2))
    elif form is Format.CSV:
        written = csv.writer(sys.stdout, lineterminator="\n")
        written.writerow([field.name for field in fields(Row)])
        written.writerows(["" if value is None else _cell(value) for value in asdict(row).values()] for row in found)
    else:
        terminal = Console()
        room = terminal.width if terminal.is_terminal else _WIDEST
        Console(width=_WIDEST).print(readable(found, report, room=room))


def _cell(value: float | str) -> float | str:
    """A value for CSV: no text that a spreadsheet would run as a formula, and no control character."""
    if not isinstance(value, str):
        return value
    text = escaped(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def readable(found: Sequence[Row], report: Report, *, room: int) -> Group:
    """As people read it."""
    end = datetime.fromtimestamp(report.at).astimezone()
    return Group(f"{report.over} until {end:%Y-%m-%d %H:%M:%S}", _table(found, report, room))


def _table(found: Sequence[Row], report: Report, room: int) -> Table:
    """In so many columns if it can be: names are folded there, figures never are, and never cut."""
    cells = [_cells(row) for row in found]
    names = [Text(escaped(row.name)) for row in found]
    head = _WORDS.get(report.label, report.label)
    figures = [max(map(len, column)) for column in zip(*cells, strict=True)]
    loose = [max(width, len(head)) for width, head in zip(figures, _HEADS, strict=True)]
    tight = [max(width, *map(len, head.split())) for width, head in zip(figures, _HEADS, strict=True)]
    longest = min(max(len(head), *(name.cell_len for name in names)), _LONGEST_NAME)
    fits = longest + sum(loose) + 2 * len(loose) <= room
    gap, widths = (2, loose) if fits else (1, tight)
    left = room - sum(widths) - gap * len(widths)
    shown = Table(box=None, pad_edge=False, padding=0)  # versions of rich differ in what padding adds to a width
    shown.add_column(head, overflow="fold", width=max(min(longest, left), min(longest, _SHORTEST_NAME)))
    for text, width in zip(_HEADS, widths, strict=True):
        shown.add_column(text, justify="right", width=gap + width)
    for name, row in zip(names, cells, strict=True):
        shown.add_row(name, *row, style="bold" if row is cells[-1] else "")
    return shown


def _cells(row: Row) -> tuple[str, ...]:
    cost = "unknown" if row.cost_usd is None else f"{row.cost_usd:,.4f}"
    counts = (f"{row.calls:,}", f"{row.errors:,}", f"{row.input_tokens:,}", f"{row.output_tokens:,}")
    times = (_seconds(of) for of in (row.duration_p50, row.duration_p95, row.first_chunk_p95))
    return (*counts, cost, f"{row.unpriced_calls:,}", *times)


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f} s"


def _expressions(report: Report, by: tuple[str, ...]) -> dict[tuple[str, bool], str]:
    def counted(metric: str, *more: str, split: tuple[str, ...] = ()) -> str:
        series, names = promql.selector(metric, (*report.matchers, *more)), (*split, *by)
        if report.scraped:
            return promql.estimated(series, report.over, names)
        return promql.total(series, report.over, names, look_back=report.look_back)

    def percentile(share: float, metric: str) -> str:
        return promql.quantile(share, counted(f"{metric}_bucket", split=("le",)))

    asked = {
        "calls": counted(promql.CALLS),
        "errors": counted(promql.CALLS, 'error_type!=""'),
        "input_tokens": counted(promql.TOKENS, 'gen_ai_token_type="input"'),
        "output_tokens": counted(promql.TOKENS, 'gen_ai_token_type="output"'),
        "cost_usd": counted(promql.COST),
        "unpriced_calls": counted(promql.UNPRICED),
        "duration_p50": percentile(0.5, promql.DURATION),
        "duration_p95": percentile(0.95, promql.DURATION),
        "first_chunk_p95": percentile(0.95, promql.FIRST_CHUNK),
    }
    return {(name, bool(by)): expr for name, expr in asked.items()}


def _ask(prometheus: Backend, expr: str, report: Report, *, split: bool) -> dict[str, float]:
    """The figure of each of the label's values, `(none)` where it has none; of all together under an empty name."""
    answer = prometheus.form("/api/v1/query", {"query": expr, "time": f"{report.at:.3f}"})
    try:
        found = answer["data"]["result"]
        names = (series["metric"].get(report.label, _NONE) if split else "" for series in found)
        return {name: float(series["value"][1]) for name, series in zip(names, found, strict=True)}
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{prometheus.url} answers, but not as Prometheus does: is the address right?") from error


def _row(name: str, values_of: Mapping[str, float | None]) -> Row:
    def number(what: str) -> int:
        value = values_of[what] or 0
        if not math.isfinite(value):
            raise UserError(
                f"Prometheus tells no number of {what.replace('_', ' ')}, but {value}: is the address right?"
            )
        return round(value)

    def known(what: str) -> float | None:
        value = values_of[what]
        return value if value is not None and math.isfinite(value) else None

    cost = known("cost_usd")
    values: dict[str, Any] = {
        **{what: number(what) for what in ("calls", "errors", "input_tokens", "output_tokens", "unpriced_calls")},
        **{what: known(what) for what in ("duration_p50", "duration_p95", "first_chunk_p95")},
    }
    return Row(name=name, cost_usd=cost, **values)

"""`monitored-openai report`: print the rows of a report as a table, as CSV or as JSON."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from itertools import compress
from typing import Literal

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from monitored_openai._cli.query.http_api import HttpApi
from monitored_openai._cli.query.report_rows import ALIASES, Report, Row, check_label, query_rows
from monitored_openai._cli.terminal import amount, escaped, waiting

_HEADS = ("calls", "errors", "in", "out", "cost, $", "unpriced", "incomplete", "p50", "p95", "first chunk p95")
_RARE = "incomplete"
"""The column that the table shows only if it has a number other than zero."""
_MIN_NAME_WIDTH, _MAX_NAME_WIDTH = 12, 60
_UNLIMITED_WIDTH = 1000
"""In characters, for a file or a pipe."""
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a formula; some spreadsheets accept the full-width signs."""

Format = Literal["table", "csv", "json"]


def run(prometheus: HttpApi, report: Report, form: Format) -> None:
    """Query Prometheus and print the report.

    Raises:
        UserError: Prometheus refuses, or no call has the label.
    """
    with waiting("asking Prometheus"):
        rows = query_rows(prometheus, report)
    check_label(rows, report)
    show(rows, report, form)


def show(found: Sequence[Row], report: Report, form: Format) -> None:
    """Print the rows."""
    if form == "json":
        document = {
            "by": report.label,
            "range": report.over,
            "until": report.at,
            "rows": [asdict(row) for row in found],
        }
        print(json.dumps(document, indent=2))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow([field.name for field in fields(Row)])
        writer.writerows(["" if value is None else _cell(value) for value in asdict(row).values()] for row in found)
    else:
        terminal = Console()
        room = terminal.width if terminal.is_terminal else _UNLIMITED_WIDTH
        Console(width=_UNLIMITED_WIDTH).print(as_table(found, report, room=room))
        if not any(row.calls for row in found):
            print("Prometheus has no calls of this range; `monitored-openai doctor` checks the settings for pushes.")


def _cell(value: float | str) -> float | str:
    """Return a value for CSV that no spreadsheet runs as a formula, without control characters."""
    if not isinstance(value, str):
        return value
    text = escaped(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def as_table(found: Sequence[Row], report: Report, *, room: int) -> Group:
    """Return the report as a table of at most `room` characters, if that is possible."""
    end = datetime.fromtimestamp(report.at).astimezone()
    return Group(f"{report.over} until {end:%Y-%m-%d %H:%M:%S}", _table(found, report, room))


def _table(found: Sequence[Row], report: Report, room: int) -> Table:
    """Return the table; wrap names to fit into `room` characters, but never wrap or cut numbers."""
    shown_columns = [name != _RARE or any(row.incomplete_calls for row in found) for name in _HEADS]
    heads = list(compress(_HEADS, shown_columns))
    cells = [tuple(compress(_cells(row), shown_columns)) for row in found]
    names = [Text(escaped(row.name)) for row in found]
    head = ALIASES.get(report.label, report.label)
    numbers = [max(map(len, column)) for column in zip(*cells, strict=True)]
    loose = [max(width, len(head)) for width, head in zip(numbers, heads, strict=True)]
    tight = [max(width, *map(len, head.split())) for width, head in zip(numbers, heads, strict=True)]
    longest = min(max(len(head), *(name.cell_len for name in names)), _MAX_NAME_WIDTH)
    fits = longest + sum(loose) + 2 * len(loose) <= room
    gap, widths = (2, loose) if fits else (1, tight)
    left = room - sum(widths) - gap * len(widths)
    shown = Table(box=None, pad_edge=False, padding=0)  # versions of rich differ in how padding changes the width
    shown.add_column(head, overflow="fold", width=max(min(longest, left), min(longest, _MIN_NAME_WIDTH)))
    for text, width in zip(heads, widths, strict=True):
        shown.add_column(text, justify="right", width=gap + width)
    for name, row in zip(names, cells, strict=True):
        shown.add_row(name, *row, style="bold" if row is cells[-1] else "")
    return shown


def _cells(row: Row) -> tuple[str, ...]:
    at_least = "≥" if row.unpriced_calls or row.incomplete_calls else ""
    unknown = "unknown" if row.calls else "-"
    cost = unknown if row.cost_usd is None else f"{at_least}{amount(row.cost_usd, decimals=4)}"
    counts = (f"{row.calls:,}", f"{row.errors:,}", f"{row.input_tokens:,}", f"{row.output_tokens:,}")
    times = (_seconds(of) for of in (row.duration_p50, row.duration_p95, row.first_chunk_p95))
    return (*counts, cost, f"{row.unpriced_calls:,}", f"{row.incomplete_calls:,}", *times)


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f} s"

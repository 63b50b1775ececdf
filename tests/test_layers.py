"""The layers: the imports that each unit may have, and the units that may do I/O."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

PACKAGE = "monitored_openai"
SOURCE = Path(__file__).parent.parent / "src" / PACKAGE

DEEP = {"_exporter", "_local", "_cli"}
"""Packages whose modules and subpackages have rows of their own."""

LAYERS: dict[str, set[str]] = {
    # values, and rules without state
    "_version": set(),
    "_logging": set(),
    "_stats": set(),
    "_frozen": set(),
    "_record": {"_frozen"},
    "_providers": set(),
    "_json": set(),
    "_files": set(),
    "_redaction": set(),
    "_hashing": {"_record"},
    "_labels": {"_redaction"},
    "_metrics": {"_labels", "_record", "_redaction"},
    "_settings": {"_labels", "_logging", "_metrics", "_record", "_redaction"},
    # the caller's thread
    "_endpoints": {"_frozen", "_json", "_logging", "_record"},
    "_resources": {"_endpoints"},
    "_calls": {"_endpoints", "_hashing", "_json", "_labels", "_logging", "_providers", "_record", "_stats"},
    # a finished record to its price, its series and its log entry
    "_pricing": {"_labels", "_logging", "_providers", "_record", "_settings"},
    "_legacy_series": {"_labels", "_metrics", "_record", "_redaction"},
    "_log_entry": {"_calls", "_json", "_labels", "_legacy_series", "_record", "_redaction"},
    # the exporter's thread, with all I/O
    "_exporter.values": set(),
    "_exporter.losses": {"_stats"},
    "_exporter.encoders": {"_json"},
    "_exporter.runtime": {"_calls", "_logging", "_settings", "_stats"},
    "_exporter.ledger": {"_calls", "_exporter.runtime", "_stats"},
    "_exporter.clients": {"_exporter.runtime"},
    "_exporter.price_updates": {"_exporter.runtime", "_logging"},
    "_exporter.idle": {"_exporter.clients", "_exporter.ledger"},
    "_exporter.call_queue": {"_calls", "_exporter.ledger", "_stats"},
    "_exporter.metrics_state": {"_exporter.ledger", "_exporter.runtime", "_metrics", "_record"},
    "_exporter.spool": {"_exporter.ledger", "_exporter.values", "_files", "_logging", "_settings", "_stats"},
    "_exporter.delivery": {
        *("_exporter.clients", "_exporter.encoders", "_exporter.ledger", "_exporter.metrics_state", "_exporter.idle"),
        *("_exporter.spool", "_exporter.values", "_json", "_legacy_series", "_log_entry", "_logging", "_metrics"),
        *("_redaction", "_settings", "_stats", "_version"),
    },
    "_exporter.host": {
        *("_exporter.delivery", "_exporter.encoders", "_exporter.idle", "_exporter.ledger", "_exporter.metrics_state"),
        *(
            "_exporter.spool",
            "_exporter.values",
            "_files",
            "_logging",
            "_metrics",
            "_settings",
            "_stats",
        ),
    },
    "_exporter.advice": {"_exporter.delivery", "_settings"},
    "_exporter.diagnostics": {
        *("_exporter.advice", "_exporter.delivery", "_exporter.encoders", "_exporter.host", "_exporter.runtime"),
        *("_exporter.spool", "_metrics", "_settings"),
    },
    "_exporter.recovery": {"_exporter.delivery", "_exporter.host", "_exporter.ledger", "_exporter.spool"},
    "_exporter.state": {"_exporter.delivery", "_exporter.host", "_exporter.spool"},
    "_exporter.build": {
        *("_exporter.clients", "_exporter.delivery", "_exporter.encoders", "_exporter.host", "_exporter.ledger"),
        *("_exporter.metrics_state", "_exporter.recovery", "_exporter.idle", "_exporter.spool", "_exporter.state"),
        *("_logging", "_settings", "_stats"),
    },
    "_exporter.flushes": {"_exporter.delivery", "_logging"},
    "_exporter.exporter": {
        *("_calls", "_endpoints", "_exporter.build", "_exporter.call_queue", "_exporter.clients"),
        *("_exporter.delivery", "_exporter.encoders", "_exporter.flushes", "_exporter.ledger", "_exporter.losses"),
        *("_exporter.metrics_state", "_exporter.idle", "_exporter.price_updates", "_exporter.state", "_legacy_series"),
        *("_exporter.runtime", "_hashing", "_log_entry", "_logging"),
        *("_pricing", "_record", "_redaction", "_settings", "_stats"),
    },
    "_exporter.runner": {
        *("_calls", "_exporter.build", "_exporter.call_queue", "_exporter.clients", "_exporter.delivery"),
        *("_exporter.exporter", "_exporter.ledger", "_exporter.losses", "_exporter.metrics_state"),
        *("_exporter.runtime", "_exporter.state", "_hashing", "_logging", "_metrics", "_settings", "_stats"),
    },
    "_exporter.handle": {
        *("_calls", "_exporter.runner", "_exporter.runtime", "_exporter.spool"),
        *("_logging", "_metrics", "_settings", "_stats"),
    },
    "_exporter": {"_exporter.handle"},
    # the public classes and functions
    "_observing_client": {"_calls", "_endpoints", "_exporter", "_providers", "_record", "_resources"},
    "_clients": {"_exporter", "_observing_client", "_settings"},
    "_monitor": {"_clients", "_exporter", "_observing_client", "_settings"},
    "_batches": {
        *("_calls", "_clients", "_endpoints", "_exporter", "_json", "_observing_client", "_pricing", "_record"),
    },
    "__init__": {
        *("_batches", "_calls", "_clients", "_exporter", "_monitor", "_record", "_settings", "_stats", "_version"),
    },
    "compat": {"_exporter", "_monitor", "_settings"},
    # the embedded back end
    "_local": set(),
    "_local.media": set(),
    "_local.conversation": {"_local.media"},
    "_local.quantile": set(),
    "_local.strict_json": set(),
    "_local.remote_write_decoder": set(),
    "_local.ingest": {"_local.remote_write_decoder", "_local.strict_json"},
    "_local.chains": set(),
    "_local.call_columns": {"_json", "_labels", "_local.chains", "_local.conversation", "_local.ingest"},
    "_local.renewal": {"_local.call_columns", "_local.chains", "_local.strict_json"},
    "_local.history": {"_files", "_local.renewal"},
    "_local.calls": {
        *("_json", "_local.call_columns", "_local.chains", "_local.conversation", "_local.history", "_local.ingest"),
        "_local.strict_json",
    },
    "_local.counters": {"_local.history", "_local.remote_write_decoder", "_metrics"},
    "_local.time_range": {"_local.history"},
    "_local.stored_times": {"_json", "_local.history"},
    "_local.percentiles": {"_local.stored_times", "_local.time_range"},
    "_local.overview": {"_local.percentiles", "_local.counters", "_local.quantile", "_local.time_range", "_metrics"},
    "_local.query": {
        *(
            "_json",
            "_local.history",
            "_local.quantile",
            "_local.remote_write_decoder",
            "_local.strict_json",
            "_metrics",
        ),
    },
    "_local.http": {"_settings"},
    "_local.server": {
        *("_json", "_local.call_columns", "_local.calls", "_local.counters", "_local.history", "_local.http"),
        "_local.ingest",
        *(
            "_local.overview",
            "_local.percentiles",
            "_local.query",
            "_local.remote_write_decoder",
            "_local.stored_times",
        ),
        "_local.time_range",
    },
    # the command
    "_cli": set(),
    "_cli.errors": set(),
    "_cli.terminal": set(),
    "_cli.export": {"_cli.errors", "_files"},
    "_cli.demo": {
        *("__init__", "_cli.terminal", "_local.conversation", "_local.http", "_local.ingest", "_local.quantile"),
        *("_local.remote_write_decoder", "_local.server", "_metrics"),
    },
    "_cli.doctor": {"_cli.terminal", "_exporter.diagnostics", "_settings"},
    "_cli.query": {
        *("_cli.errors", "_cli.terminal", "_exporter.delivery", "_exporter.price_updates"),
        *("_local.conversation", "_metrics", "_pricing", "_settings", "_version"),
    },
    "_cli.grafana": {"_cli.query"},
    "_cli.dashboards": {"_cli.export", "_cli.grafana", "_cli.query"},
    "_cli.rules": {"_cli.dashboards", "_cli.errors", "_cli.export", "_cli.grafana", "_cli.query", "_metrics"},
    "_cli.local": {
        *("_cli.demo", "_cli.errors", "_cli.query", "_cli.terminal", "_files", "_local.calls"),
        *("_local.counters", "_local.history", "_local.http", "_local.server", "_settings", "_version"),
    },
    "_cli.commands": {
        *("_cli.dashboards", "_cli.demo", "_cli.doctor", "_cli.errors", "_cli.local", "_cli.query", "_cli.rules"),
        "_cli.terminal",
    },
    "_cli.arguments": {"_cli.commands", "_cli.terminal", "_settings", "_version"},
    "_cli.main": {"_cli.arguments", "_cli.errors", "_cli.terminal"},
}
"""Each unit of the package and the units that it may import; a row names only rows above it.

`python -m tests.test_layers` prints the rows of the present source.
"""

RESERVED: dict[str, set[str]] = {
    "_thread": {"_exporter.runtime"},
    "anyio": {"_exporter.delivery"},
    "argparse": {"_cli.arguments", "_cli.commands"},
    "asyncio": {
        *("_cli.demo", "_exporter.delivery", "_exporter.diagnostics", "_exporter.exporter", "_exporter.flushes"),
        "_exporter.handle",
        *("_exporter.host", "_exporter.recovery", "_exporter.idle", "_exporter.runner", "_exporter.runtime"),
    },
    "certifi": {"_exporter.delivery"},
    "concurrent": {"_calls", "_cli.demo", "_cli.query", "_exporter.handle", "_exporter.runner", "_exporter.runtime"},
    "cramjam": {"_exporter.encoders", "_local.remote_write_decoder"},
    "genai_prices": {"_cli.query", "_exporter.price_updates", "_pricing"},
    "h11": {"_local.http"},
    "http": {"_exporter.delivery", "_local.http"},
    "httpx": {"_cli.query", "_exporter", "_exporter.delivery"},
    "httpx2": set(),  # the HTTP library of the SDK's version 3, which may be missing
    "multiprocessing": set(),
    "openai": {
        "_batches",
        "_calls",
        "_cli.demo",
        "_clients",
        "_endpoints",
        "_monitor",
        "_observing_client",
        "_resources",
    },
    "prometheus_client": {"_metrics"},
    "pydantic": {"_settings"},
    "pydantic_core": {"_json", "_redaction", "_settings"},
    "pydantic_settings": {"_settings"},
    "queue": set(),
    "regex": {"_redaction", "_settings"},
    "requests": set(),
    "rich": {"_cli.query"},
    "select": {"_local.http"},
    "selectors": {"_exporter.runtime"},
    "shtab": {"_cli.arguments"},
    "signal": {"_cli.commands", "_cli.local", "_exporter.runtime"},
    "socket": {"_exporter.runtime", "_local.http"},
    "socketserver": {"_local.http"},
    "sqlite3": {
        *(
            "_exporter.host",
            "_exporter.spool",
            "_files",
            "_local.chains",
            "_local.counters",
            "_local.history",
            "_local.query",
            "_local.renewal",
            "_local.server",
            "_local.stored_times",
        ),
    },
    "ssl": {"_exporter.delivery", "_settings"},
    "subprocess": set(),
    "threading": {
        *("_cli.demo", "_cli.local", "_cli.query", "_exporter.runtime", "_local.history", "_local.http"),
        "_local.server",
    },
    "urllib3": set(),
    "yaml": {"_cli.rules"},
}
"""Libraries that do I/O, start threads or are costly, and the only units that may import them."""


def source_files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def unit_of(path: Path) -> str:
    """The row that a source file belongs to."""
    first, *rest = path.relative_to(SOURCE).with_suffix("").parts
    return f"{first}.{rest[0]}" if first in DEEP and rest != ["__init__"] else first


UNITS = {unit_of(path) for path in source_files()}


def unit_named(module: str) -> str:
    """The row that an import of this module or name, relative to the package, refers to."""
    first, second, *_ = (*module.split("."), "", "")
    if first in DEEP and f"{first}.{second}" in UNITS:
        return f"{first}.{second}"
    return first if first in UNITS else "__init__"


def imports_of(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and absolute name of each import anywhere in the source, including those for type checkers."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, node.module] if node.module else above)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def breaches(source: str, unit: str, package: str = PACKAGE) -> Iterator[str]:
    """Each import in the source that its unit must not make."""
    for line, name in imports_of(source, package):
        top, _, rest = name.partition(".")
        if top != PACKAGE:
            if unit not in RESERVED.get(top, {unit}):
                yield f"line {line}: {unit} may not import {top}"
            continue
        target = unit_named(rest)
        if target != unit and target not in LAYERS.get(unit, ()):
            yield f"line {line}: {unit} may not import {target}"


def package_of(path: Path) -> str:
    return ".".join([PACKAGE, *path.relative_to(SOURCE).parts[:-1]])


def used() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """The units that each unit imports, and the units that import each library."""
    units: dict[str, set[str]] = {unit: set() for unit in UNITS}
    libraries: dict[str, set[str]] = {}
    for path in source_files():
        unit = unit_of(path)
        for _, name in imports_of(path.read_text(), package_of(path)):
            top, _, rest = name.partition(".")
            if top != PACKAGE:
                libraries.setdefault(top, set()).add(unit)
            elif unit_named(rest) != unit:
                units[unit].add(unit_named(rest))
    return units, libraries


def test_every_unit_has_a_row_and_every_row_a_unit() -> None:
    assert set(LAYERS) == UNITS


def test_a_row_names_only_rows_above_it() -> None:
    rooms = list(LAYERS)
    upward = [
        (room, other)
        for room, allowed in LAYERS.items()
        for other in allowed
        if other not in rooms[: rooms.index(room)]
    ]
    assert upward == []


def test_no_row_allows_an_import_that_its_unit_does_not_make() -> None:
    units, libraries = used()
    assert {unit: sorted(allowed - units[unit]) for unit, allowed in LAYERS.items() if allowed - units[unit]} == {}
    unused = {name: sorted(allowed - libraries.get(name, set())) for name, allowed in RESERVED.items()}
    assert {name: units for name, units in unused.items() if units} == {}


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down_and_io_stays_in_its_units(path: Path) -> None:
    assert list(breaches(path.read_text(), unit_of(path), package_of(path))) == []


@pytest.mark.parametrize(
    ("source", "unit", "package"),
    [
        ("import httpx", "_calls", PACKAGE),
        ("import asyncio.subprocess", "_metrics", PACKAGE),
        ("from threading import Lock", "_endpoints", PACKAGE),
        ("def late():\n    import openai", "_exporter.delivery", PACKAGE),
        ("if TYPE_CHECKING:\n    from openai import Stream", "_record", PACKAGE),
        ("from monitored_openai._clients import MonitoredOpenAI", "_record", PACKAGE),
        ("from monitored_openai import _exporter", "_calls", PACKAGE),
        ("from monitored_openai import MonitoredOpenAI", "_exporter.exporter", PACKAGE),
        ("import monitored_openai._metrics.store", "_calls", PACKAGE),
        ("from . import _metrics", "_calls", PACKAGE),
        ("from .. import _metrics", "_endpoints", f"{PACKAGE}._endpoints"),
        ("from .._metrics import Metrics", "_endpoints", f"{PACKAGE}._endpoints"),
        ("from monitored_openai._exporter import handle", "_exporter.runtime", PACKAGE),
        ("from monitored_openai._exporter.handle import Monitoring", "_exporter.runtime", PACKAGE),
        ("from ..delivery.retry import RetryState", "_exporter.spool", f"{PACKAGE}._exporter.spool"),
        ("from monitored_openai._cli.main import main", "_cli.query", PACKAGE),
        ("from monitored_openai._local.server import LocalServer", "_local.http", PACKAGE),
        ("import h11", "_local.server", PACKAGE),
    ],
)
def test_a_forbidden_import_is_found_in_any_form(source: str, unit: str, package: str) -> None:
    assert len(list(breaches(source, unit, package))) == 1


@pytest.mark.parametrize(
    ("source", "unit", "package"),
    [
        ("import httpx, asyncio", "_exporter.delivery", PACKAGE),
        ("from monitored_openai._record import Usage", "_metrics", PACKAGE),
        ("from . import _record", "_metrics", PACKAGE),
        ("from .chat import Completions", "_endpoints", f"{PACKAGE}._endpoints"),
        ("from .spool import file", "_exporter.delivery", f"{PACKAGE}._exporter"),
        ("import json", "_record", PACKAGE),
    ],
)
def test_an_allowed_import_passes(source: str, unit: str, package: str) -> None:
    assert list(breaches(source, unit, package)) == []


UNSAFE = {"pickle", "marshal", "shelve", "dbm", "subprocess", "xml"}
"""Modules that could turn the content of a spool file or of a back end's response into running code."""


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_that_is_read_can_become_code_and_no_value_becomes_sql(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert UNSAFE.isdisjoint(name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in UNSAFE
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"eval", "exec", "compile", "__import__"}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in EXECUTES:
            built = [part for of in node.args[:1] for part in ast.walk(of) if isinstance(part, ast.FormattedValue)]
            assert all(isinstance(part.value, ast.Name) and part.value.id in CONSTANT for part in built), node.lineno


EXECUTES = {"execute", "executemany", "executescript", "_one"}
CONSTANT = {"of", "count", "_APPLICATION_ID", "_VERSION", "_SCHEMA"}
"""Constants of the code that SQL statements may contain."""


def main() -> None:
    """Print the rows of the present source, lowest units first and units in a cycle last."""
    units, libraries = used()
    placed: list[str] = []
    while free := sorted(unit for unit in units.keys() - {*placed} if units[unit] <= {*placed}):
        placed += free
    rows = [(unit, units[unit]) for unit in (*placed, *sorted(units.keys() - {*placed}))]
    rows += [(library, libraries.get(library, set())) for library in RESERVED]
    sys.stdout.writelines(f'"{name}": {{{str(sorted(allowed))[1:-1]}}},\n' for name, allowed in rows)


if __name__ == "__main__":
    main()


def test_no_module_imports_itself_through_others() -> None:
    imported: dict[str, set[str]] = {}
    for path in source_files():
        name = ".".join([PACKAGE, *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(".__init__")
        imported[name] = {name for _, name in imports_of(path.read_text(), package_of(path))}
    left = {
        name: {other if other in imported else other.rpartition(".")[0] for other in others} & imported.keys() - {name}
        for name, others in imported.items()
    }
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    assert left == {}

"""Which module may import which, and where I/O may happen: the tables below are the architecture."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

PACKAGE = "monitored_openai"
SOURCE = Path(__file__).parent.parent / "src" / PACKAGE

LAYERS: dict[str, set[str]] = {
    # values, and rules without state
    "_version": set(),
    "_log": set(),
    "_owed": set(),
    "_text_forms": set(),
    "_json": {"_text_forms"},
    "_stats": set(),
    "_record": set(),
    "_endpoints": set(),
    "_providers": set(),
    "_identifiers": {"_text_forms"},
    "_forms": set(),
    # files that hold secrets, for whatever keeps them
    "_private_files": set(),
    "_databases": {"_private_files"},
    "_unescaped": set(),
    "_secret_rules": set(),
    "_secrets": {"_secret_rules", "_unescaped"},
    "_redaction": {"_secrets"},
    "_setting_forms": {"_endpoints"},
    "_settings": {"_endpoints", "_log", "_setting_forms"},
    "_attributes": {"_endpoints", "_log", "_record", "_text_forms"},
    "_errors": {"_record"},
    # a call, as the client sees it
    "_answer": {"_json", "_log", "_record"},
    "_injection": {"_errors"},
    "_trail": {"_answer", "_errors", "_identifiers", "_injection", "_json", "_log", "_owed", "_record"},
    "_call": {
        *("_answer", "_attributes", "_errors", "_identifiers", "_injection", "_json", "_log", "_record", "_text_forms"),
        "_trail",
    },
    "_observer": {"_answer", "_call", "_forms", "_injection", "_log", "_providers", "_record", "_stats"},
    "_resources": {"_answer", "_call", "_log", "_record"},
    # what becomes of its record
    "_rates": {"_record"},
    "_price_table": {"_providers", "_rates"},
    "_pricing": {"_log", "_price_table", "_rates", "_record"},
    "_metrics": {"_record", "_redaction"},
    "_grafana_openai": {"_metrics", "_record", "_redaction"},
    "_log_entry": {"_grafana_openai", "_identifiers", "_json", "_metrics", "_record", "_redaction"},
    "_rate_limits": {"_metrics", "_record", "_redaction"},
    "_collector": {"_metrics", "_rate_limits"},
    # the only place with I/O; it is handed ended calls, and hands out observers, to the clients above it
    "_exporter": {
        *(
            "_answer",
            "_call",
            "_collector",
            "_databases",
            "_endpoints",
            "_grafana_openai",
            "_json",
            "_log",
            "_log_entry",
        ),
        *(
            "_metrics",
            "_observer",
            "_owed",
            "_pricing",
            "_private_files",
            "_rate_limits",
            "_record",
            "_redaction",
            "_settings",
            "_stats",
            "_version",
        ),
    },
    "_clients": {
        *("_attributes", "_call", "_exporter", "_providers", "_record", "_resources", "_settings"),
    },
    "_batches": {"_answer", "_call", "_clients", "_json", "_observer", "_pricing", "_record", "_resources"},
    "_twins": {"_clients", "_exporter", "_settings"},
    "compat": {"_exporter", "_settings", "_twins"},
    "__init__": {
        *("_attributes", "_batches", "_clients", "_exporter", "_record", "_settings", "_stats", "_twins", "_version"),
    },
    # the embedded back end, and the command
    "_local": {"_databases", "_endpoints", "_json", "_metrics", "_private_files"},
    "_cli": {
        "__init__",
        "_endpoints",
        "_exporter",
        "_local",
        "_metrics",
        "_price_table",
        "_pricing",
        "_private_files",
        "_rates",
    },
}
"""Each module or folder of the package, and which others it may import; a row names only rows above it."""

IO = {"_exporter", "_local", "_cli"}
RESERVED: dict[str, set[str]] = {
    "_thread": IO,
    "anyio": IO,
    "asyncio": IO,
    "certifi": IO,
    "concurrent": IO,
    "cramjam": IO,
    "genai_prices": {"_price_table"},
    "h11": {"_local"},
    "http": IO,
    "httpx": {"_cli", "_exporter"},
    "httpx2": set(),  # the SDK's own HTTP library since its version 3, and not always there
    "multiprocessing": IO,
    "openai": {"_cli", "_clients", "_resources", "_twins"},
    "prometheus_client": {"_collector"},
    "pydantic_core": {"_json", "_secrets", "_settings"},
    "pydantic_settings": {"_settings"},
    "queue": IO,
    "regex": {"_redaction", "_setting_forms"},
    "requests": set(),
    "select": IO,
    "selectors": IO,
    "signal": IO,
    "socket": IO,
    "socketserver": {"_local"},
    "sqlite3": {"_databases", "_exporter", "_local"},
    "subprocess": {"_cli"},
    "threading": IO,
    "urllib3": set(),
    "rich": {"_cli"},
    "shtab": {"_cli"},
    "yaml": {"_cli"},
}
"""Libraries outside of the package that only these modules may import."""


def room_of(path: Path) -> str:
    """The row of the table that a source file falls under."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and absolute name of everything imported, anywhere in the source, for type checkers only or not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, node.module] if node.module else above)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def breaches(source: str, room: str, package: str = PACKAGE) -> Iterator[str]:
    """Each import in the source that its room may not do."""
    for line, name in imports_of(source, package):
        top, _, rest = name.partition(".")
        if top != PACKAGE:
            if room not in RESERVED.get(top, {room}):
                yield f"line {line}: {room} may not import {top}"
            continue
        target = rest.split(".")[0]
        target = target if target in LAYERS else "__init__"
        if target != room and target not in LAYERS.get(room, ()):
            yield f"line {line}: {room} may not import {target}"


def source_files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def test_every_module_has_a_row_and_every_row_a_module() -> None:
    assert {room_of(path) for path in source_files()} == set(LAYERS)


def test_a_row_names_only_rows_above_it() -> None:
    rooms = list(LAYERS)
    upward = [
        (room, other)
        for room, allowed in LAYERS.items()
        for other in allowed
        if other not in rooms[: rooms.index(room)]
    ]
    assert upward == []


def test_no_row_allows_what_its_module_does_not_use() -> None:
    used: dict[str, set[str]] = {room: set() for room in LAYERS}
    for path in source_files():
        package = ".".join([PACKAGE, *path.relative_to(SOURCE).parts[:-1]])
        for _, name in imports_of(path.read_text(), package):
            top, _, rest = name.partition(".")
            if top == PACKAGE:
                target = rest.split(".")[0]
                used[room_of(path)].add(target if target in LAYERS else "__init__")
    assert {room: sorted(allowed - used[room]) for room, allowed in LAYERS.items() if allowed - used[room]} == {}


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down_and_io_stays_in_its_rooms(path: Path) -> None:
    package = ".".join([PACKAGE, *path.relative_to(SOURCE).parts[:-1]])
    assert list(breaches(path.read_text(), room_of(path), package)) == []


@pytest.mark.parametrize(
    ("source", "room", "package"),
    [
        ("import httpx", "_call", PACKAGE),
        ("import asyncio.subprocess", "_metrics", PACKAGE),
        ("from threading import Lock", "_resources", PACKAGE),
        ("def late():\n    import openai", "_exporter", PACKAGE),
        ("if TYPE_CHECKING:\n    from openai import Stream", "_record", PACKAGE),
        ("from monitored_openai._clients import MonitoredOpenAI", "_record", PACKAGE),
        ("from monitored_openai import _exporter", "_call", PACKAGE),
        ("from monitored_openai import MonitoredOpenAI", "_exporter", PACKAGE),
        ("import monitored_openai._metrics.store", "_call", PACKAGE),
        ("from . import _metrics", "_call", PACKAGE),
        ("from .. import _metrics", "_resources", f"{PACKAGE}._resources"),
        ("from .._metrics import Metrics", "_resources", f"{PACKAGE}._resources"),
    ],
)
def test_a_forbidden_import_is_found_in_any_form(source: str, room: str, package: str) -> None:
    assert len(list(breaches(source, room, package))) == 1


@pytest.mark.parametrize(
    ("source", "room", "package"),
    [
        ("import httpx, asyncio", "_exporter", PACKAGE),
        ("from monitored_openai._record import Usage", "_metrics", PACKAGE),
        ("from . import _record", "_metrics", PACKAGE),
        ("from .chat import Completions", "_resources", f"{PACKAGE}._resources"),
        ("import json", "_record", PACKAGE),
    ],
)
def test_an_allowed_import_is_let_pass(source: str, room: str, package: str) -> None:
    assert list(breaches(source, room, package)) == []


UNSAFE = {"pickle", "marshal", "shelve", "dbm", "subprocess", "xml"}
"""Whoever can write a file of the spool, or answer a push, must not be able to run code by it."""


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
"""Names that stand for a few words of the code's own."""

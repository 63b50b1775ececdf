"""Write the tables of docs/reference.md: log fields, errors, reasons; with ``--check`` exit 1 if they are stale."""

# ruff: noqa: INP001 - a script, no module of a package

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from monitored_openai._calls import error_types  # noqa: E402 - found by the path above
from monitored_openai._log_entry import log_entry  # noqa: E402
from monitored_openai._pricing.rates import Unpriced  # noqa: E402
from monitored_openai._record import ErrorType, UsageUnknown  # noqa: E402
from monitored_openai._stats import DropReason  # noqa: E402
from scripts.reference_words import DROPPED, ERRORS, FIELDS, METADATA, USAGE_UNKNOWN  # noqa: E402
from tests.support.records import COST, full_record  # noqa: E402

PAGE = ROOT / "docs" / "reference.md"
BEGIN = "<!-- reference tables: written by scripts/reference_tables.py -->"
END = "<!-- end of the reference tables -->"
SETTINGS = ROOT / "src" / "monitored_openai" / "_settings"
LABELS = SETTINGS.parent / "_labels.py"
MOST_BYTES = 240 * 1024
FAILED = {"error_type": "timeout", "error_message": "Request timed out.", "usage_unknown": "timeout"}
EVERYTHING = {**FAILED, "unpriced": "usage_unknown", "provider_cost": 0.0003}
EVERYTHING |= {"cost": replace(COST, incomplete=("tool_fee",)), "tool_calls": {"web_search": 2}}
EVERYTHING |= {"api_error": {"code": "408", "type": "timeout"}}


def table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = (headings, ("---",) * len(headings), *rows)
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def same(words: Mapping[str, str], known: Iterable[str]) -> Mapping[str, str]:
    """Return the words in the order of the code.

    Raises:
        SystemExit: The names of the words are not exactly the known names.
    """
    names = list(known)
    if differing := words.keys() ^ set(names):
        raise SystemExit(f"scripts/reference_words.py: write or remove {', '.join(sorted(differing))}")
    return {name: words[name] for name in names}


def fields() -> Iterator[tuple[str, ...]]:
    """Yield a row for each field of a log entry's line: name, example, meaning."""
    entry = log_entry(full_record(**EVERYTHING), redact=None, max_bytes=MOST_BYTES)
    line: dict[str, Any] = json.loads(entry.line)
    seldom = {"cut": True, "content_left_out": "the content could not be prepared: ValueError"}
    for name, says in same(FIELDS, (*line, *seldom)).items():
        yield f"`{name}`", f"`{shown((line | seldom)[name])}`", says


def shown(value: object) -> str:
    """Return an example, short enough for a table."""
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        first = next(iter(value.items()))
        return json.dumps(dict([first]), ensure_ascii=False).removesuffix("}") + (", …}" if len(value) > 1 else "}")
    return text


def metadata() -> Iterator[tuple[str, ...]]:
    """Yield a row for each name that the library writes into the structured metadata of an entry."""
    made = full_record(**EVERYTHING, attributes={})
    known = {
        **made.identifiers,
        "safety_identifier": "u-17",
        "prompt_cache_key": "faq",
        "previous_response_id": "resp_1",
        "conversation": "conv_1",
        "prompt_id": "pmpt_1",
        "prompt_version": "3",
    }
    found = log_entry(full_record(**EVERYTHING, attributes={}, identifiers=known), redact=None, max_bytes=MOST_BYTES)
    for name, says in same(METADATA, found.metadata).items():
        yield f"`{name}`", f"`{found.metadata[name]}`", says


def errors() -> Iterator[tuple[str, ...]]:
    """Yield a row for each `error_type`: meaning, statuses, exceptions and codes."""
    for name, says in same(ERRORS, get_args(ErrorType)).items():
        status = [str(number) for number, word in error_types.STATUSES.items() if word == name]
        classes = [word for word, kind in error_types.CLASSES.items() if kind == name]
        codes = [word for word, kind in error_types.CODES.items() if kind == name]
        yield (
            f"`{name}`",
            says,
            ", ".join(status),
            *(", ".join(f"`{word}`" for word in found) for found in (classes, codes)),
        )


def settings_errors() -> Iterator[tuple[str, ...]]:
    """Yield each message about a setting as its two parts, fault and fix, in alphabetical order."""
    for text in sorted({text for path in (*SETTINGS.glob("*.py"), LABELS) for text in complaints(path)}):
        wrong, _, mend = text.rpartition("; ") if "; " in text else (text, "", "")
        yield wrong, mend


def complaints(path: Path) -> Iterator[str]:
    """Yield the messages about settings that the module contains, in the order of its code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        found: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "InvalidValue":
            found = node.args
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Conflicts":
            found = [pair.elts[1] for pair in ast.walk(node) if isinstance(pair, ast.Tuple)]
        elif isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
            found = node.value.elts[1:]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and "WRONG" in node.target.id:
            found = [one for one in ast.walk(node) if isinstance(one, ast.Constant)]
        elif isinstance(node, ast.FunctionDef) and node.name == "not_a_setting":
            found = [one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value is not None]
        for one in found:
            text = written(one)
            if " " in text:
                yield text


def written(node: ast.expr) -> str:
    """Return a text of the code, with an ellipsis for each inserted value."""
    if isinstance(node, ast.JoinedStr):
        return "".join(written(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "…"
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def reasons(words: Mapping[str, str], known: Iterable[str]) -> str:
    """Return a table of reasons."""
    return table(("reason", "meaning"), ((f"`{name}`", says) for name, says in same(words, known).items()))


def text() -> str:
    """Return all tables with their headings."""
    unpriced = ", ".join(f"`{reason}`" for reason in Unpriced)
    usage_unknown = [name for part in get_args(UsageUnknown) for name in get_args(part) if name not in ERRORS]
    return "\n\n".join(
        (
            "## Fields of a log entry",
            "A log entry is a line of JSON with these fields. *Without content* means that `capture_content=False` or a block `no_content()` applies to the call:",
            table(("field", "example", "meaning"), fields()),
            "If `metric_names` contains `grafana_openai`, entries and metadata also have the [predecessor's names](migration.md).",
            "### Structured metadata",
            "Loki stores these values beside the line:",
            table(("name", "example", "meaning"), metadata()),
            "## Errors of calls",
            table(("`error_type`", "meaning", "HTTP status", "exceptions", "codes"), errors()),
            "## Why tokens are not known",
            "If a call failed and the server sent no error status, the reason is the `error_type` of the call. If the server sent an error status, the entry has no `usage_unknown`: the library assumes that the call used no tokens. The other reasons are:",
            reasons(USAGE_UNKNOWN, usage_unknown),
            "## Why a call has no price",
            f"The reasons are {unpriced}. The page on prices describes [each reason](prices.md#unpriced-calls).",
            "## Why something was dropped",
            reasons(DROPPED, get_args(DropReason)),
            "## Messages about settings",
            "For a value of the wrong type or outside its [bounds](settings.md#all-settings), the message names the type or the bound. The other messages are:",
            table(("message after the setting's name", "fix"), settings_errors()),
        )
    )


def main(arguments: list[str]) -> int:
    """Write or check the tables; return the exit status."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    fresh = f"{before}{BEGIN}\n\n{text()}\n\n{END}{after}"
    if "--check" not in arguments:
        PAGE.write_text(fresh, encoding="utf-8")
    return int("--check" in arguments and fresh != page)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

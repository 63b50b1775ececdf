"""Write the table of all settings into docs/settings.md, or with ``--check`` exit 1 if it is stale."""

# ruff: noqa: INP001 - a script, no module of a package

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from monitored_openai._settings.model import MonitoringSettings  # noqa: E402 - found by the path above
from monitored_openai._settings.variables import ENV_PREFIX  # noqa: E402 - found by the path above

PAGE = ROOT / "docs" / "settings.md"
BEGIN = "<!-- settings table: written by scripts/settings_table.py -->"
END = "<!-- end of the settings table -->"
WORDS = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    tuple: "list",
    SecretStr: "secret text",
    get_origin(Mapping[str, str]): "mapping",
    get_origin(Callable[..., None]): "function",
}


def type_text(annotation: Any) -> str:
    """Describe in words the values that a field of this type accepts."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(type_text(argument) for argument in arguments if argument is not NoneType)
    return WORDS[origin or annotation]


def bounds_text(field: FieldInfo) -> str:
    """Return the bounds of a number, or an empty text."""
    bounds = {type(bound).__name__: bound for bound in field.metadata}
    return f", {bounds['Ge'].ge} to {bounds['Le'].le}" if "Ge" in bounds else ""


def variable_text(name: str, field: FieldInfo) -> str:
    """Return the environment variable of a field; a function has none."""
    return "only in code" if type_text(field.annotation) == "function" else f"`{ENV_PREFIX}{name.upper()}`"


def default_text(field: FieldInfo) -> str:
    """Return the default of a field, or its source."""
    if field.default_factory is not None:
        return (field.default_factory.__doc__ or "").rstrip(".").replace("The", "the")
    if field.default is None:
        return "unset"
    if field.default and isinstance(field.default, tuple):
        return " ".join(f"`{item}`" for item in field.default)
    return f"`{field.default}`" if field.default or isinstance(field.default, (int, float)) else "empty"


def docstrings() -> dict[str, str]:
    """Return the docstring below each field, on one line, from the source: Python does not keep it."""
    (body,) = (
        node.body for node in ast.parse(inspect.getsource(MonitoringSettings)).body if isinstance(node, ast.ClassDef)
    )
    found: dict[str, str] = {}
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


def table() -> str:
    """Return the Markdown table, one row for each field in the order of declaration."""
    meanings = docstrings()
    rows = ["| name | type | default | environment variable | meaning |", "|---|---|---|---|---|"]
    rows += [
        f"| `{name}` | {type_text(field.annotation)}{bounds_text(field)} | {default_text(field)} "
        f"| {variable_text(name, field)} | {meanings[name]} |"
        for name, field in MonitoringSettings.model_fields.items()
    ]
    return "\n".join(rows)


def main(arguments: list[str]) -> int:
    """Write or check the table; return the exit status."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    fresh = f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"
    if "--check" not in arguments:
        PAGE.write_text(fresh, encoding="utf-8")
    return int("--check" in arguments and fresh != page)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

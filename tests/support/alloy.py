"""A reader of Grafana Alloy's configuration syntax, as far as a configuration without functions and operators needs it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|//[^\n]*|\#[^\n]*|/\*.*?\*/)|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<number>\d+(?:\.\d+)?)"""
    r"""|(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)|(?P<mark>[{}\[\](),=\n])""",
    re.DOTALL,
)
CONSTANTS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What another component exports."""

    component: str
    export: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A component, or a block in one."""

    arguments: dict[str, Any] = field(default_factory=dict)
    blocks: dict[str, Block] = field(default_factory=dict)
    """By name, a component by its name and label."""


def read(text: str) -> Block:
    """Read a whole file.

    Raises:
        SyntaxError: it is none.
    """
    return _Reader(text).body("")


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._kind = self._value = ""
        self._next()

    def body(self, end: str) -> Block:
        """Arguments and blocks up to the closing brace, or to the end of the file; each on a line of its own."""
        block = Block()
        self._lines()
        while self._value != end:
            name = self._take("name")
            if self._value == "=":
                self._next()
                self._once(block.arguments, name, self._expression())
            else:
                label = f".{json.loads(self._take('string'))}" if self._kind == "string" else ""
                self._take("mark", "{")
                inner = self.body("}")
                self._take("mark", "}")
                self._once(block.blocks, name + label, inner)
            if self._value != end:
                self._take("mark", "\n")
            self._lines()
        return block

    def _expression(self) -> Any:
        if self._kind == "string":
            return json.loads(self._take("string"))
        if self._kind == "number":
            return float(self._take("number"))
        if self._kind == "name":
            name = self._take("name")
            component, _, export = name.rpartition(".")
            return CONSTANTS[name] if name in CONSTANTS else Reference(component=component, export=export)
        self._take("mark", "[")
        self._lines()
        items = []
        while self._value != "]":
            items.append(self._expression())
            if self._value != "]":
                self._take("mark", ",")
            self._lines()
        self._next()
        return items

    def _once(self, there: dict[str, Any], name: str, value: Any) -> None:
        if name in there:
            raise SyntaxError(f"{name} is there twice")
        there[name] = value

    def _lines(self) -> None:
        while self._value == "\n":
            self._next()

    def _take(self, kind: str, value: str | None = None) -> str:
        if self._kind != kind or value not in (None, self._value):
            line = self._text.count("\n", 0, self._at) + 1
            raise SyntaxError(f"line {line}: {self._value!r} where {value or kind} must be")
        taken = self._value
        self._next()
        return taken

    def _next(self) -> None:
        while self._at < len(self._text):
            found = TOKEN.match(self._text, self._at)
            if found is None:
                raise SyntaxError(f"line {self._text.count(chr(10), 0, self._at) + 1}: {self._text[self._at]!r}")
            self._at = found.end()
            if found.lastgroup != "space":
                self._kind, self._value = str(found.lastgroup), found[0]
                return
        self._kind, self._value = "end", ""

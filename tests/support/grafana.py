"""Grafana's variables in a query, and the part of Loki's templates that the dashboards use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote_plus

VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)(?::(\w+))?\}")
_REGEX_SIGNS = re.compile(r"[\\^$*+?.()|\[\]{}/]")
_FORMATS: dict[str, Callable[[str], str]] = {
    "": lambda text: text,
    "raw": lambda text: text,
    "pipe": lambda text: text,
    "regex": lambda text: _REGEX_SIGNS.sub(r"\\\g<0>", text),
    "percentencode": lambda text: quote(text, safe=""),
}
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[()|]|[\w.]+)')
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "urldecode": unquote_plus,
    "lower": lambda text: "".join(map(str.lower, text)),  # each character by itself, as Go does
    "replace": lambda old, new, text: text.replace(old, new),
    "contains": lambda part, text: part in text,
    "hasPrefix": lambda part, text: text.startswith(part),
    "and": lambda *values: all(values),
    "or": lambda *values: any(values),
}


def filled(expression: str, values: Mapping[str, str]) -> str:
    """The expression with a value for each variable, in the format that the expression asks for."""
    return VARIABLE.sub(lambda found: _FORMATS[found[3] or ""](values[found[1] or found[2]]), expression)


def rendered(template: str, line: str, labels: Mapping[str, str]) -> Any:
    """The value of a template of one action, for an entry."""
    tokens = _TOKEN.findall(template.removeprefix("{{").removesuffix("}}"))
    value = _pipeline(tokens, line, labels)
    assert not tokens
    return value


def _pipeline(tokens: list[str], line: str, labels: Mapping[str, str]) -> Any:
    last: list[Any] = []
    while tokens:
        words = []
        while tokens and tokens[0] not in (")", "|"):
            words.append(_operand(tokens, line, labels))
        called, *arguments = words
        last = [called(*arguments, *last) if callable(called) else called]
        if not tokens or tokens.pop(0) == ")":
            break
    return last[0]


def _operand(tokens: list[str], line: str, labels: Mapping[str, str]) -> Any:
    token = tokens.pop(0)
    if token == "(":
        return _pipeline(tokens, line, labels)
    if token.startswith('"'):
        return re.sub(r"\\(.)", r"\1", token[1:-1])
    if token.startswith("."):
        return labels.get(token[1:], "")
    return line if token == "__line__" else _FUNCTIONS[token]

"""Evaluates the LogQL of this project that counts or sums, over the samples of a fake Loki.

It knows stream selectors, label filters, ``json name="field"``, ``label_format`` with a template, ``drop`` and ``unwrap``;
``count_over_time``, ``sum_over_time``, ``sum`` and ``count`` with ``by``; ``+`` and ``or``. Each range holds all samples.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from tests.support.grafana import rendered

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]

_TOKEN = re.compile(r'\s*(`[^`]*`|"(?:[^"\\]|\\.)*"|=~|!=|!~|[\w.]+|\S)')
_TESTS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda value, wanted: value == wanted,
    "!=": lambda value, wanted: value != wanted,
    "=~": lambda value, wanted: re.fullmatch(wanted, value, re.DOTALL) is not None,
    "!~": lambda value, wanted: re.fullmatch(wanted, value, re.DOTALL) is None,
}
_OVER_TIME = ("count_over_time", "sum_over_time")
_VECTORS: dict[str, Callable[[list[float]], float]] = {"sum": sum, "count": len}


class Sample(Protocol):
    """A stored entry."""

    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def line(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, str]: ...


def is_metric(expression: str) -> bool:
    """Whether the result of an expression is numbers, not entries."""
    return not expression.lstrip().startswith("{")


def value(expression: str, samples: Iterable[Sample]) -> Vector:
    """The value of an expression for each set of labels."""
    tokens = _TOKEN.findall(expression)
    result = _any(tokens, list(samples))
    assert not tokens, tokens
    return result


def _any(tokens: list[str], samples: list[Sample]) -> Vector:
    result = _added(tokens, samples)
    while tokens and tokens[0] == "or":
        tokens.pop(0)
        result = {**_added(tokens, samples), **result}
    return result


def _added(tokens: list[str], samples: list[Sample]) -> Vector:
    result = _one(tokens, samples)
    while tokens and tokens[0] == "+":
        tokens.pop(0)
        other = _one(tokens, samples)
        result = {labels: number + other[labels] for labels, number in result.items() if labels in other}
    return result


def _one(tokens: list[str], samples: list[Sample]) -> Vector:
    name = tokens.pop(0)
    if name == "(":
        result = _any(tokens, samples)
        _expect(tokens, ")")
        return result
    by = _names(tokens) if tokens[0] == "by" else ()
    _expect(tokens, "(")
    result = _over_time(name, tokens, samples) if name in _OVER_TIME else _any(tokens, samples)
    _expect(tokens, ")")
    if name in _OVER_TIME:
        return result
    groups: dict[Labels, list[float]] = {}
    for labels, number in result.items():
        groups.setdefault(frozenset(pair for pair in labels if pair[0] in by), []).append(number)
    return {labels: float(_VECTORS[name](numbers)) for labels, numbers in groups.items()}


def _over_time(name: str, tokens: list[str], samples: list[Sample]) -> Vector:
    selector = list(_pairs(tokens))
    stages: list[list[str]] = []
    while tokens[0] != "[":
        _expect(tokens, "|")
        stages.append([])
        while tokens[0] not in ("|", "["):
            stages[-1].append(tokens.pop(0))
    assert tokens[0] == "[" and tokens[2] == "]", tokens  # noqa: PT018
    del tokens[:3]
    result: Vector = {}
    for sample in samples:
        if not all(_TESTS[sign](sample.labels.get(label, ""), wanted) for label, sign, wanted in selector):
            continue
        labels = {**sample.labels, **sample.metadata}
        number = _through(stages, labels, sample.line)
        if number is not None:
            key = frozenset(labels.items())
            result[key] = result.get(key, 0.0) + (1.0 if name == "count_over_time" else number)
    return result


def _through(stages: list[list[str]], labels: dict[str, str], line: str) -> float | None:
    """The number of an entry, 1 if nothing is unwrapped; None if a filter leaves it out. Changes its labels."""
    number = 1.0
    for stage in stages:
        match stage:
            case ["drop", *names]:
                for name in names:
                    labels.pop(name, None)
            case ["unwrap", name]:
                if name not in labels:
                    return None
                number = float(labels.pop(name))
            case ["json", name, "=", field]:
                labels[name] = str(json.loads(line)[_text(field)])
            case ["label_format", name, "=", template]:
                found = rendered(_text(template), line, labels)
                labels[name] = str(found).lower() if isinstance(found, bool) else str(found)
            case [name, sign, wanted] if sign in _TESTS:
                if not _TESTS[sign](labels.get(name, ""), _text(wanted)):
                    return None
            case _:
                raise NotImplementedError(stage)
    return number


def _pairs(tokens: list[str]) -> Iterator[tuple[str, str, str]]:
    _expect(tokens, "{")
    while tokens[0] != "}":
        name, sign, wanted = (tokens.pop(0) for _ in range(3))
        yield name, sign, _text(wanted)
        if tokens[0] == ",":
            tokens.pop(0)
    _expect(tokens, "}")


def _names(tokens: list[str]) -> tuple[str, ...]:
    _expect(tokens, "by")
    _expect(tokens, "(")
    end = tokens.index(")")
    names = tuple(token for token in tokens[:end] if token != ",")
    del tokens[: end + 1]
    return names


def _expect(tokens: list[str], token: str) -> None:
    found = tokens.pop(0)
    assert found == token, [token, found, *tokens]


def _text(token: str) -> str:
    return token[1:-1] if token.startswith("`") else str(json.loads(token))

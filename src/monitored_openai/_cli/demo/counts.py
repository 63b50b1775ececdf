"""What is counted on each side, by model, so that the sides can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal, TypeAlias

Kind = Literal[
    "calls",
    "errors",
    "repeated requests",
    "calls without usage",
    "input tokens",
    "output tokens",
    "cached input tokens",
    "reasoning tokens",
]
Figures: TypeAlias = Counter[tuple[str, Kind]]
"""How many of a model and a kind."""

TOKENS: tuple[Kind, ...] = ("input tokens", "output tokens")
"""The kinds that add up to all tokens; the others are parts of these."""


def total(figures: Figures, *kinds: Kind) -> int:
    """Over all models."""
    return sum(number for (_, kind), number in figures.items() if kind in kinds)


def differences(true: Figures, sides: Mapping[str, Figures]) -> list[str]:
    """Where a side does not have the true figure, in words."""
    return [
        f"{side} has {figures[key]:,} {key[1]} of {key[0]} instead of {true[key]:,}"
        for side, figures in sides.items()
        for key in sorted(true.keys() | figures.keys())
        if figures[key] != true[key]
    ]

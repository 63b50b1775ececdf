"""Parses label matchers of PromQL and LogQL."""

from __future__ import annotations

import re
from dataclasses import dataclass

STRING = r'"(?:[^"\\]++|\\.)*+"'
_MATCHER = rf"[A-Za-z_]\w*!?={STRING}"
MATCHERS = rf"(?:{_MATCHER}(?:, ?{_MATCHER})*+)?+"
"""The pattern of any number of matchers; possessive, because backtracking would keep a state for each character."""
_PARTS = re.compile(rf"([A-Za-z_]\w*)(!?=)({STRING})", re.DOTALL)
_MOST_MATCHERS = 64
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Matcher:
    """A label and the value that it must or must not have."""

    name: str
    value: str
    equal: bool

    def fits(self, value: str) -> bool:
        """Return true if the label may have this value; an absent label has the empty value."""
        return (value == self.value) == self.equal


def matchers_in(text: str) -> list[Matcher]:
    """Return the matchers in a text that matches `MATCHERS`.

    Raises:
        ValueError: the text has more than 64 matchers.
    """
    found = _PARTS.findall(text)
    if len(found) > _MOST_MATCHERS:
        raise ValueError(f"more than {_MOST_MATCHERS} matchers")
    return [Matcher(name, unquoted(value), sign == "=") for name, sign, value in found]


def unquoted(text: str) -> str:
    """Return the value of a string literal."""
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], text[1:-1])

"""Parses label matchers of PromQL and LogQL."""

from __future__ import annotations

import re
from dataclasses import dataclass

STRING = r'"(?:[^"\\]|\\.)*"'
_MATCHER = rf"[A-Za-z_]\w*!?={STRING}"
MATCHERS = rf"(?:{_MATCHER}(?:, ?{_MATCHER})*)?"
"""The pattern of any number of matchers."""
_PARTS = re.compile(rf"([A-Za-z_]\w*)(!?=)({STRING})", re.DOTALL)
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
    """Return the matchers in a text that matches `MATCHERS`."""
    return [Matcher(name, unquoted(value), sign == "=") for name, sign, value in _PARTS.findall(text)]


def unquoted(text: str) -> str:
    """Return the value of a string literal."""
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], text[1:-1])

"""Label matchers, as PromQL and LogQL write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

STRING = r'"(?:[^"\\]|\\.)*"'
_MATCHER = rf"[A-Za-z_]\w*!?={STRING}"
MATCHERS = rf"(?:{_MATCHER}(?:, ?{_MATCHER})*)?"
"""The pattern of any number of them."""
_PARTS = re.compile(rf"([A-Za-z_]\w*)(!?=)({STRING})", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Matcher:
    """A label that must have a value, or must not."""

    name: str
    value: str
    equal: bool

    def fits(self, value: str) -> bool:
        """Whether the label may have this value; an absent label has the empty one."""
        return (value == self.value) == self.equal


def matchers_in(text: str) -> list[Matcher]:
    """The matchers in a text that fits `MATCHERS`."""
    return [Matcher(name, unquoted(value), sign == "=") for name, sign, value in _PARTS.findall(text)]


def unquoted(text: str) -> str:
    """The text that a string literal stands for."""
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], text[1:-1])

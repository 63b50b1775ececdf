"""Estimates the compiled size of a user's pattern, because `regex` compiles `a{50}` into 50 copies of `a`."""

from __future__ import annotations

import re

MOST_CHARACTERS = 10_000
"""Longest pattern."""
MOST_REPETITIONS = 10_000
"""Largest product of nested counted repetitions; 10,000 copies of a group take about 5 MB."""
MOST_ITEMS = 100_000
"""Largest size of all patterns with their repetitions written out; compiling it takes about 30 MB and 0.3 s."""

# A comment of (?#...), an escaped character, a whole class, or a count.
_TOKEN = re.compile(
    r"(?P<comment>\(\?#[^)]*\)?)"
    r"|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]?"
    r"|(?P<count>\{[^{}()\[\]\\]*\})|(?P<open>\()|(?P<close>\))|.",
    re.DOTALL,
)
_NUMBER = re.compile(r"\d+")
_PLAIN_COUNT = re.compile(r"\{(?:\d+,?\d*|,\d*)\}")
_OTHER_SYNTAX = re.compile(r"\(\?[A-Za-z0-9-]*[xV]|\[:|\(\?#[^)]*\\")
"""Flags, classes and comments that change the meaning of `#`, `[`, `]` or `)`, so that the scan cannot find the groups."""


class PatternTooLarge(ValueError):
    """A pattern would take too much memory; the message describes the part and the limit, without its text."""


def pattern_size(pattern: str) -> int:
    """Return an upper bound of the number of items of a pattern with its repetitions written out.

    Raises:
        PatternTooLarge: the pattern is too long, repeats too often or has too many items.
    """
    if len(pattern) > MOST_CHARACTERS:
        raise PatternTooLarge(f"is longer than {MOST_CHARACTERS:,} characters")
    if _OTHER_SYNTAX.search(pattern):
        return _flat_size(pattern)
    scan = _Scan()
    for token in _TOKEN.finditer(pattern):
        scan.add(token)
    size = scan.size()
    if size > MOST_ITEMS:
        raise PatternTooLarge(f"has more than {MOST_ITEMS:,} items with its repetitions written out")
    return size


class _Scan:
    """Tracks the size and the largest product of repetitions, with one frame for each open group."""

    def __init__(self) -> None:
        self._frames = [[0, 1]]
        self._last = [0, 1]
        """The item that a count repeats: its size, and the largest product of the repetitions in it."""

    def add(self, token: re.Match[str]) -> None:
        if token.lastgroup == "comment":
            return
        if token.lastgroup == "count":
            self._repeat(token)
            return
        self._finish_item()
        if token.lastgroup == "open":
            self._frames.append([1, 1])
        elif token.lastgroup == "close" and len(self._frames) > 1:
            self._last = self._frames.pop()
        else:
            self._last = [1, 1]

    def size(self) -> int:
        while len(self._frames) > 1:  # not closed: `regex` refuses the pattern
            self._finish_item()
            self._last = self._frames.pop()
        self._finish_item()
        return self._frames[0][0]

    def _repeat(self, count: re.Match[str]) -> None:
        (size, repetitions), copies = self._last, _copies(count[0])
        if repetitions * copies > MOST_REPETITIONS:
            raise PatternTooLarge(
                f"repeats a part more than {MOST_REPETITIONS:,} times (the count at index {count.start()})"
            )
        as_text = 0 if _PLAIN_COUNT.fullmatch(count[0]) else len(count[0])
        self._last = [size * copies + as_text, repetitions * copies]

    def _finish_item(self) -> None:
        frame, (size, repetitions) = self._frames[-1], self._last
        frame[0], frame[1] = frame[0] + size, max(frame[1], repetitions)
        self._last = [0, 1]


def _copies(count: str) -> int:
    """Return the number of copies that `regex` makes: the lower number of `{n}`, `{n,}` or `{n,m}`, at least 1."""
    lower = _NUMBER.findall(count.partition(",")[0])
    return max(1, *(int(number[:9]) for number in lower)) if lower else 1


def _flat_size(pattern: str) -> int:
    """Return an upper bound for any nesting, as if every count repeated the whole pattern."""
    copies = 1
    for count in re.finditer(r"\{[^{}]*\}", pattern):
        copies *= _copies(count[0])
        if copies > MOST_REPETITIONS or copies * len(pattern) > MOST_ITEMS:
            raise PatternTooLarge(
                f"has a flag x or V, a class [:name:] or a comment, and counts whose product is too large (at the count at index {count.start()})"
            )
    return max(1, copies) * len(pattern)

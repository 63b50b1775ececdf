"""Removes codes and escapes that can hide a secret, and maps positions back to the original text."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cache

_PERCENT = r"%(?:25){0,9}"
_ESCAPE = rf"(?:\x1b|\\+(?:u001[bB]|x1[bB]|033|e(?=\[))|{_PERCENT}1[bB])"
_BRACKET = rf"(?:\[|{_PERCENT}5[bB]|\\+u005[bB])"
_COLOUR = rf"(?:{_ESCAPE}{_BRACKET}|\x9b)(?:[0-9;:?]|{_PERCENT}3[bB]){{0,40}}[@A-Za-z]"
"""A terminal's control sequence. Its last character is neither a quote nor a backslash, so JSON stays JSON."""
INVISIBLE = "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f]"
"""Characters without a glyph, with the tags of U+E0000 to U+E007F."""
ESCAPED_INVISIBLE = (
    r"(?:\\+u(?:00[aA][dD]|034[fF]|061[cC]|180[eE]|200[b-fB-F]|202[a-eA-E]|206[0-9a-fA-F]|[fF][eE](?:0[0-9a-fA-F]|[fF][fF])"
    r"|[dD][bB]40\\+u[dD][cC][0-7][0-9a-fA-F])|\\+U000[eE]00[0-7][0-9a-fA-F]"
    rf"|{_PERCENT}(?:[cC]2{_PERCENT}[aA][dD]|[eE]2{_PERCENT}8(?:0{_PERCENT}8[b-fB-F]|1{_PERCENT}[aA][0-9a-fA-F])"
    rf"|[eE][fF]{_PERCENT}[bB][bB]{_PERCENT}[bB][fF]|[fF]3{_PERCENT}[aA]0{_PERCENT}8[01]{_PERCENT}[89abAB][0-9a-fA-F]))"
)
_TOKEN = (
    rf"(?=[\x1b\x9b\\%]|{INVISIBLE})(?:(?P<noise>{_COLOUR}|{INVISIBLE}|{ESCAPED_INVISIBLE})"
    rf"|\\+u(?P<unicode>[0-9a-fA-F]{{4}})|\\+(?:x|U000000)(?P<byte>[0-9a-fA-F]{{2}})"
    rf"|\\+(?P<octal>(?:0[4-7]|1[0-7])[0-7])|{_PERCENT}(?P<url>[0-7][0-9a-fA-F])|\\+(?P<slash>/))"
)
SIGNS = rf"[\x1b\x9b%]|\\[uxU/01e]|{INVISIBLE}"
"""A text without a match has no escapes."""


class Unescaped:
    """A text with control sequences and invisible characters removed, and JSON and URL escapes decoded."""

    __slots__ = ("_ends", "_here", "_there", "text")

    def __init__(self, original: str) -> None:
        self._here, self._there, self._ends = [0], [0], dict[int, int]()
        pieces: list[str] = []
        here = there = 0
        for token in _token().finditer(original):
            start, end = token.span()
            pieces.append(original[there:start])
            here += start - there
            if token["noise"] is None:
                pieces.append(_decoded(token))
                self._step(here, start)
                self._ends[start] = end
                here += 1
            self._step(here, end)
            there = end
        pieces.append(original[there:])
        self.text = "".join(pieces)

    def start(self, position: int) -> int:
        """Return the start of the character at `position` in the original."""
        index = bisect_right(self._here, position) - 1
        return self._there[index] + position - self._here[index]

    def end(self, position: int) -> int:
        """Return the end of the character before `position` in the original."""
        start = self.start(position - 1)
        return self._ends.get(start, start + 1)

    def follows_noise(self, position: int) -> bool:
        """Return true if something was removed directly before the character at `position`."""
        return self.start(position) != (self.end(position) if position else 0)

    def _step(self, here: int, there: int) -> None:
        self._here.append(here)
        self._there.append(there)


@cache
def _token() -> re.Pattern[str]:
    # A token takes a whole run of backslashes: a search that began again inside the run would take quadratic time.
    whole_runs = _TOKEN.replace(r"\\+", r"(?<!\\)\\++")
    return re.compile(whole_runs)  # compiled at first use, because it takes a millisecond


def _decoded(token: re.Match[str]) -> str:
    if token["slash"]:
        return "/"
    if token["octal"]:
        return chr(int(token["octal"], 8))
    return chr(int(token["unicode"] or token["byte"] or token["url"], 16))

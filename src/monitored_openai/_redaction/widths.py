"""Replaces one for one: full-width characters, other scripts' digits, and letters of unspaced scripts beside digits."""

from __future__ import annotations

import re
from functools import cache

from monitored_openai._redaction.secrets import holds

UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Scripts that put no space between a word and a number or an address."""
_ZEROS = "\uff10\u0660\u06f0\u0966\u09e6\u0e50"
"""The digit zero: full-width, Arabic, Persian, Devanagari, Bengali and Thai; the digits to nine follow each."""
_OTHER_DIGITS = "".join(f"{zero}-{chr(ord(zero) + 9)}" for zero in _ZEROS)
_FULL_WIDTH = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz@.-+()/_"
_TO_ASCII = 0xFEE0
"""Distance between a full-width character and that of ASCII."""
_DASHES = "\u2014\u2015\u2212\u30fc"
"""Signs that people type as the dash of a number; the last is a letter in other places."""
_DASH = re.compile(f"(?<=[0-9)])[{_DASHES}](?=[0-9(])")
_EDGE = re.compile(f"[{UNSPACED}](?=[+(]?[0-9])|(?<=[0-9])[{UNSPACED}]")
_FULL_STOP = "\u3002"
_SIGN = f"[\u3000\uff08-\uff5a{_OTHER_DIGITS}{_DASHES}{UNSPACED}]"


def narrow(text: str) -> str:
    """Return a text of the same length, with ASCII in place of full-width characters, other digits and dashes.

    A full stop replaces each letter of an unspaced script beside a digit, because the finders take such a letter for a part
    of the number.
    """
    if text.isascii() or not holds(_SIGN, text):
        return text
    return _EDGE.sub(_FULL_STOP, _DASH.sub("-", text.translate(_table())))


@cache
def _table() -> dict[int, str]:
    digits = {ord(zero) + digit: str(digit) for zero in _ZEROS for digit in range(10)}
    return {ord("\u3000"): " ", **digits, **{ord(sign) + _TO_ASCII: sign for sign in _FULL_WIDTH}}

"""Finds numbers of payment cards in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from monitored_openai._redaction.secrets import Span, holds

_SPACE = " \t\u00a0\u2007\u2009\u202f"
_DASH = "\\-\u2010\u2011\u2012\u2013"
_SIGN = rf"[0-9]{{12}}|[0-9]{{4}}[{_SPACE}{_DASH}.]{{1,3}}[0-9]{{4,6}}[{_SPACE}{_DASH}.]{{1,3}}[0-9]{{4}}"
_NUMBER = re.compile(
    rf"(?<![\w$€£¥#])(?<![\w)]-)(?<![0-9][.,])(?<![0-9]{{4}}[{_SPACE}])"
    rf"(?:[0-9]{{12,19}}+|[0-9]{{4}}(?P<gap>[{_SPACE}]{{1,2}}|[{_SPACE}]?[{_DASH}][{_SPACE}]?|\.)"
    rf"(?:[0-9]{{4}}(?P=gap)[0-9]{{4}}(?P=gap)[0-9]{{1,4}}(?:(?<=[0-9]{{4}})(?P=gap)[0-9]{{3}}(?![0-9]))?"
    rf"|[0-9]{{6}}(?P=gap)[0-9]{{4,5}}))"
    rf"(?!\w|[.,][0-9]|-\w|[{_SPACE}][0-9]{{4}}(?![0-9]))"
)
_GROUP = re.compile(r"[0-9]{4,}+")
_DIGITS = re.compile(r"[0-9]+")
_ISSUERS = (
    (re.compile(r"4"), (16, 19)),  # Visa
    (re.compile(r"5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)"), (16,)),  # Mastercard
    (re.compile(r"3[47]"), (15,)),  # American Express
    (re.compile(r"3(?:0[0-59]|[689])"), (14, 16, 19)),  # Diners Club
    (re.compile(r"6011|64[4-9]|65"), (16, 19)),  # Discover
    (re.compile(r"35(?:2[89]|[3-8])"), (16, 17, 18, 19)),  # JCB
    (re.compile(r"62|81"), (16, 17, 18, 19)),  # UnionPay
    (re.compile(r"220[0-4]"), (16, 17, 18, 19)),  # Mir
    (re.compile(r"50(?:18|20|38)|5893|6304|6390|6759|676[1-3]"), (12, 14, 15, 16, 17, 18, 19)),  # Maestro
    (re.compile(r"5[0678]|67"), (16, 17, 18, 19)),  # Maestro, its other numbers
    (re.compile(r"1800|2131"), (15,)),  # JCB, its earlier numbers
    (re.compile(r"5(?:0(?:[4689]|78)|061)|60|636[23]|6277|82|9792"), (16,)),  # Elo, RuPay, Verve, Troy
)
"""First digits of each network's numbers, and their lengths (ISO/IEC 7812 and the networks' published ranges).

The table has no numbers of 13 digits: Visa and Maestro hardly issue them, and barcodes of goods (EAN) have 13 digits too.
"""


def card_spans(text: str) -> Iterator[Span]:
    """Yield start and end of each number with a known length, known first digits and a correct check digit."""
    if not holds(_SIGN, text):
        return
    end = 0
    for start in _GROUP.finditer(text):
        if start.start() < end:
            continue
        found = _NUMBER.match(text, start.start())
        if found is not None and _is_card("".join(_DIGITS.findall(found[0]))):
            end = found.end()
            yield found.span()


def _is_card(digits: str) -> bool:
    known = any(len(digits) in lengths and start.match(digits) for start, lengths in _ISSUERS)
    return known and len(set(digits)) > 1 and _luhn(digits)


def _luhn(digits: str) -> bool:
    numbers = [int(digit) for digit in reversed(digits)]
    return (sum(numbers[::2]) + sum(sum(divmod(2 * number, 10)) for number in numbers[1::2])) % 10 == 0

"""Finds phone numbers in a text: international numbers, national forms, and numbers after a word such as `phone`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from monitored_openai._redaction.secrets import Span, holds

_SPACE = " \u00a0\u2007\u2009\u202f"
_DASH = "\\-\u2010\u2011\u2012\u2013"
_GAP = rf"[{_SPACE}{_DASH}./()]{{1,3}}"
_FEWEST, _MOST = 7, 15
"""Digits of a phone number; E.164 allows 15."""
_SIGN = rf"(?:[0-9][{_SPACE}{_DASH}./()]{{0,3}}){{{_FEWEST}}}"
_RUN = re.compile(rf"[+(0-9][0-9{_SPACE}{_DASH}./()]{{{_FEWEST - 1},}}+")
_DATE = re.compile(r"(?:19|20)[0-9]{2}[-/][0-9]{2}[-/][0-9]{2} ?(?:[0-9]{2})?")
"""A date, perhaps with an hour. Most runs are dates, and this is the fastest check."""
_START = re.compile(r"[+(]|(?<![0-9])[0-9]")
_DIGITS = re.compile(r"[0-9]+")
_COUNTRY = re.compile(
    r"[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|21[12368]|2[2346]\d|25[0-8]|29[01789]|3[57]\d"
    r"|38[0-35-79]|42[013]|5[09]\d|67[02-9]|68[0-35-9]|69[0-2]|80[08]|85[02356]|87[08]|88[0-368]|96\d|97[0-79]|99[2-68]"
)
"""Country codes of E.164."""
_INTERNATIONAL = re.compile(
    rf"(?<![\w$€£¥#+])(?<![\w)][.-])(?:\+\(?|\+[{_SPACE}](?=[0-9]++[{_SPACE}{_DASH}/])|(?<![0-9][{_SPACE}/,])00(?=[1-9][0-9]*+{_GAP}[0-9]))"
    rf"[1-9][0-9]*+(?:{_GAP}[0-9]++){{0,{_MOST}}}+(?![A-Za-wyz_%*^]|x(?![0-9])|\.[0-9])"
)
_BEFORE = rf"(?<![\w$€£¥#+])(?<![\w)][./-])(?<![0-9][{_SPACE}/,:])"
_AFTER = rf"(?!(?!x[0-9])\w|[.,:]?[0-9%]|[{_SPACE}{_DASH}/][0-9]|-\w)"
_NORTH_AMERICAN = re.compile(
    rf"{_BEFORE}(?:1[{_SPACE}{_DASH}.])?(?:\([2-9][0-9]{{2}}\)[{_SPACE}{_DASH}.]?|[2-9][0-9]{{2}}(?:[{_DASH}]|(?P<dot>\.)))"
    rf"[2-9][0-9]{{2}}(?(dot)\.|[{_SPACE}{_DASH}.])[0-9]{{4}}{_AFTER}"
)
_PAIRS = re.compile(rf"{_BEFORE}0[1-9](?P<gap>[{_SPACE}{_DASH}.])[0-9]{{2}}(?:(?P=gap)[0-9]{{2}}){{3}}{_AFTER}")
_NATIONAL = re.compile(
    rf"{_BEFORE}(?:\(0[1-9][0-9]{{0,3}}\)[{_SPACE}{_DASH}]?[0-9]{{3,8}}(?:[{_SPACE}{_DASH}][0-9]{{2,6}}){{0,3}}"
    rf"|0[1-9][{_SPACE}{_DASH}](?:[0-9]{{4}}[{_SPACE}{_DASH}][0-9]{{4}}|[0-9]{{8}})"
    rf"|(?!0[0-9]{{4}}-[0-9]{{4}}\b|0[0-9]{{2}}-[0-9]{{2}}-[0-9]{{4}}\b)0[1-9][0-9]{{1,3}}(?:[{_SPACE}{_DASH}]|[{_SPACE}]?/[{_SPACE}]?|[{_SPACE}]-[{_SPACE}])"
    rf"[0-9]{{2,8}}(?:[{_SPACE}{_DASH}][0-9]{{2,6}}){{0,3}}"
    rf"|\([1-9][0-9]\)[{_SPACE}]?9?[0-9]{{4}}-[0-9]{{4}}|0[1-9][0-9]{{0,3}}\([0-9]{{2,4}}\)[0-9]{{4}}){_AFTER}"
)
_ANY = re.compile(rf"[+(]{{0,2}}(?P<digits>[0-9]++(?:{_GAP}[0-9]++)*+)(?!\w|[.,][0-9]|%)")
_WORD_BEFORE = re.compile(
    r"(?:phone|(?<![a-z])(?:tel(?:e(?:fono?|fone|fonnummer))?|téléphone|teléfono|tél|fon|ph|mobile?|mob|móvil|portable"
    r"|celular|cell|handy|rufnummer|(?:tele)?fax|whats ?app|sms|hotline|numéro)"
    r"|(?:call|text|ring|reach) (?:me|us|him|her|them) (?:at|on))"
    r"(?:[ _.-]?(?:number|nummer|num|no|nr))?[.:=#\"'\\\s]{0,8}(?:(?:is|was|ist|est|es|at)[:\s]{1,3})?\Z",
    re.IGNORECASE,
)
_OTHER_WORD_BEFORE = re.compile(
    r"(?:order|invoice|ref(?:erence)?|id|ticket|tracking|sku|is[bs]n|serial|part|item|article|art|case|account|acct|iban"
    r"|version|bestell\w*|rechnungs?\w*|auftrags?\w*|kunden\w*|artikel\w*|vertrags?\w*|commande|pedido|factura|facture)"
    r"[ _-]{0,2}(?:number|nummer|num|no|nr|id|code)?[.:#=\"'\s(]{0,6}\Z",
    re.IGNORECASE,
)
_MOST_BEFORE = 48
"""Number of characters before a number that are searched for a word that names it."""
_BYTES = r"[0-9A-Fa-f]{2}(?:[0-9A-Fa-f]{2})?"
_BYTES_BEFORE = re.compile(rf"(?<![^\s:|]){_BYTES}(?: {{1,2}}{_BYTES}){{0,9}} {{1,2}}\Z")
_BYTES_AFTER = re.compile(rf"(?: {{1,2}}{_BYTES}(?![^\s|])){{1,9}}")
_OFFSET_BEFORE = re.compile(r"(?<![\w.])0x[0-9A-Fa-f]{1,16}:? {1,2}\Z")
_NO_WORD = re.compile(
    r"a[acf0-9]|b[a-df0-9]|c[bf0-9]|d[bcdf0-9]|e[bcef0-9]|f[bcdf0-9]|0[a-f]|(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{4}",
    re.IGNORECASE,
)
"""Hexadecimal bytes that hardly occur in a sentence, unlike `de` or `3e`."""
_DATE_OR_ADDRESS = re.compile(
    r"(?:19|20)[0-9]{2}[-/.][0-9]{2}[-/.][0-9]{2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.](?:19|20)[0-9]{2}|(?:[0-9]{1,3}\.){3}[0-9]{1,3}\Z"
)


def phone_spans(text: str) -> Iterator[Span]:
    """Yield start and end of each phone number, in order."""
    if not holds(_SIGN, text):
        return
    for run in _RUN.finditer(text):
        if len("".join(_DIGITS.findall(run[0]))) >= _FEWEST and _DATE.fullmatch(run[0]) is None:
            yield from _in_run(text, *run.span())


def _in_run(text: str, first: int, last: int) -> Iterator[Span]:
    """Yield the phone numbers in a run of digits and separators."""
    end = first
    for start in _START.finditer(text, first, last):
        if start.start() < end:
            continue
        span = _number_at(text, start.start())
        if span is None and start.start() == first:
            span = _after_word(text, first)
        if span is not None:
            yield span
            end = span[1]


def _number_at(text: str, start: int) -> Span | None:
    for pattern, is_phone in _FORMS.get(text[start], _FORMS["1"]):
        found = pattern.match(text, start)
        if found is not None and is_phone(_DIGITS.findall(found[0])):
            is_other = _names_other_number(text, start) or _is_in_dump(text, *found.span())
            return None if is_other else found.span()
    found = _INTERNATIONAL.match(text, start) if text[start] in "+0" else None
    return None if found is None else _international(found)


def _international(found: re.Match[str]) -> Span | None:
    """Return start and end of the number: at most 15 digits, and 11 for the country codes 1 and 7."""
    start, is_plus = found.start(), found[0][0] == "+"
    digits, end = "", start
    for group in _DIGITS.finditer(found.string, start + (0 if is_plus else 2), found.end()):
        limit = 11 if digits[:1] in ("1", "7") else _MOST
        if len(digits) + len(group[0]) > limit:
            break
        digits, end = digits + group[0], group.end()
    has_dot = "." in found[0][: end - start]
    if len(digits) < (10 if has_dot else 8) or digits.endswith("000000") or _COUNTRY.match(digits) is None:
        return None
    if digits[0] in "17" and (len(digits) != 11 or (digits[0] == "1" and digits[1] in "01")):
        return None
    if not is_plus and (
        {len(group) for group in _DIGITS.findall(found[0])} == {4}
        or _names_other_number(found.string, start)
        or _is_in_dump(found.string, start, end)
    ):
        return None  # such as code points: 0031 2044 0034
    return start, end


def _after_word(text: str, start: int) -> Span | None:
    """Return the number that begins here, if a word for a phone precedes it."""
    found = _ANY.match(text, start)
    if found is None or _DATE_OR_ADDRESS.match(found["digits"]):
        return None
    if not _FEWEST <= len("".join(_DIGITS.findall(found["digits"]))) <= _MOST:
        return None
    return found.span() if _WORD_BEFORE.search(text, max(0, start - _MOST_BEFORE), start) else None


def _names_other_number(text: str, start: int) -> bool:
    """Return true if the words before a number name something else, such as an order."""
    return _OTHER_WORD_BEFORE.search(text, max(0, start - _MOST_BEFORE), start) is not None


def _is_in_dump(text: str, start: int, end: int) -> bool:
    """Return true if hexadecimal bytes surround a number, or if the offset of a dump precedes it."""
    first = max(0, start - _MOST_BEFORE)
    if _OFFSET_BEFORE.search(text, first, start):
        return True
    found = (_BYTES_BEFORE.search(text, first, start), _BYTES_AFTER.match(text, end, end + _MOST_BEFORE))
    around = [byte for one in found if one is not None for byte in one[0].split()]
    is_dump = any(map(_NO_WORD.fullmatch, around)) or (len(around) > 3 and not "".join(around).isdigit())
    return len(around) > 1 and is_dump


def _no_sizes(groups: list[str]) -> bool:
    return any(int(group) % 64 for group in groups)  # not 256-512-1024


def _no_steps(groups: list[str]) -> bool:
    steps = {int(after) - int(before) for before, after in pairwise(groups)}
    return len(steps) > 1 or steps.pop() >= 20  # not 01 02 03 04 05


def _is_national(groups: list[str]) -> bool:
    in_step = all(group[0] == "0" and len(group) == len(groups[0]) for group in groups)  # 0100 0200 0300
    return not in_step and 9 <= sum(map(len, groups)) <= 12


_FORMS: dict[str, tuple[tuple[re.Pattern[str], Callable[[list[str]], bool]], ...]] = {
    "+": (),
    "(": ((_NORTH_AMERICAN, _no_sizes), (_NATIONAL, _is_national)),
    "0": ((_PAIRS, _no_steps), (_NATIONAL, _is_national)),
    "1": ((_NORTH_AMERICAN, _no_sizes),),
}
"""The national forms by their first character; `1` stands for the digits 1 to 9."""

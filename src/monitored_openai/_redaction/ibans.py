"""Finds international bank account numbers (IBAN) in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from monitored_openai._redaction.secrets import Span, holds

_FORMS = (
    "AD8n12c AE19n AL8n16c AO21n AT16n AZ4a20c BA16n BE12n BF2c22n BG4a6n8c BH4a14c BI23n BJ2c22n BR23n1a1c BY4c4n16c"
    " CF23n CG23n CH5n12c CI2a22n CM23n CR18n CV21n CY8n16c CZ20n DE18n DJ23n DK14n DO4c20n DZ22n EE16n EG25n ES20n"
    " FI14n FK2a12n FO14n FR10n11c2n GA23n GB4a14n GE2a16n GI4a15c GL14n GQ23n GR7n16c GT4c20c GW2c19n HN4a20n HR17n"
    " HU24n IE4a14n IL19n IQ4a15n IR22n IS22n IT1a10n12c JO4a4n18c KM23n KW4a22c KZ3n13c LB4n20c LC4a24c LI5n12c LT16n"
    " LU3n13c LV4a13c LY21n MA24n MC10n11c2n MD20c ME18n MG23n MK3n10c2n ML2c22n MN16n MR23n MT4a5n18c MU4a19n3a"
    " MZ21n NE2a22n NI4a20n NL4a10n NO11n OM3n16c PK4a16c PL24n PS4a21c PT21n QA4a21c RO4a16c RS18n RU14n15c SA2n18c"
    " SC4a20n3a SD14n SE20n SI15n SK20n SM1a10n12c SN2a22n SO19n ST21n SV4a20n TD23n TG2a22n TL19n TN20n TR6n16c UA6n19c"
    " VA18n VG4a16n XK16n YE4a4n18c"
).split()
"""The account part by country, as in the IBAN registry: `n` digits, `a` letters, `c` either."""
_CLASSES = {"n": "[0-9]", "a": "[A-Z]", "c": "[A-Z0-9]"}
_GAP = "[ \u00a0\u2007\u202f\u2010\u2011-]"
_COUNTRIES = "|".join(form[:2] for form in _FORMS)
_SIGN = rf"(?i:{_COUNTRIES}){_GAP}?[0-9]{{2}}(?:{_GAP}{{0,2}}[A-Za-z0-9]){{11}}"
_CHECK_DIGITS = re.compile(rf"[0-9](?:(?<=[A-Za-z]{{2}}[0-9])|(?<=[A-Za-z]{{2}}{_GAP}[0-9]))[0-9]")
_COUNTRY = re.compile(rf"(?<![A-Za-z0-9])([A-Za-z]{{2}}){_GAP}?\Z")
_CHARACTER = re.compile(rf"{_GAP}{{0,2}}([A-Za-z0-9])")


def iban_spans(text: str) -> Iterator[Span]:
    """Yield start and end of each account number with the form of its country and correct check digits."""
    if not holds(_SIGN, text):
        return
    free = 0
    for check in _CHECK_DIGITS.finditer(text):
        if check.start() < free:
            continue
        country = _COUNTRY.search(text, max(0, check.start() - 4), check.start())
        end = None if country is None else _end(text, country[1], check)
        if country is not None and end is not None:
            free = end
            yield country.start(), end


def _end(text: str, country: str, check: re.Match[str]) -> int | None:
    """Return the end of the account number with these check digits; `None` if it is not one."""
    form = _accounts().get(country.upper())
    if form is None:
        return None
    length, account = form
    number, end = country + check[0], check.end()
    while len(number) < length and (character := _CHARACTER.match(text, end)) is not None:
        number, end = number + character[1], character.end()
    follows = text[end : end + 1]
    if len(number) < length or (follows.isascii() and follows.isalnum()) or not _has_one_case(number):
        return None
    number = number.upper()
    return end if account.fullmatch(number, 4) and _is_valid(number) else None


def _has_one_case(number: str) -> bool:
    return number in (number.upper(), number.lower())


def _is_valid(number: str) -> bool:
    """Return true if the check digits are correct (ISO 7064, MOD 97-10)."""
    return int("".join(str(int(character, 36)) for character in number[4:] + number[:4])) % 97 == 1


@cache
def _accounts() -> dict[str, tuple[int, re.Pattern[str]]]:
    """Return the length of the whole number and the pattern of its account part, by country."""
    accounts: dict[str, tuple[int, re.Pattern[str]]] = {}
    for form in _FORMS:
        parts = [(int(count), kind) for count, kind in re.findall(r"([0-9]+)([nac])", form)]
        pattern = "".join(f"{_CLASSES[kind]}{{{count}}}" for count, kind in parts)
        accounts[form[:2]] = (4 + sum(count for count, _ in parts), re.compile(pattern))
    return accounts

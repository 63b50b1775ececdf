"""Finds secrets in a text in time linear in its length.

A finite automaton scans the text first, and most texts need no other step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from pydantic_core import SchemaValidator, core_schema

from monitored_openai._redaction.secret_rules import NAMED, PREFIXED, Named, Prefixed, is_random
from monitored_openai._redaction.unescape import ESCAPED_INVISIBLE, INVISIBLE, SIGNS, Unescaped

Span = tuple[int, int]

_PEM = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_PEM_JOINT = (
    r"(?P<escape>\\*)(?P<quote>[\"'])(?:[ \t]|\\+[nrt])*+[+.]?(?:\s|\\+[nrt])*+[+.]?[ \t]*+(?P=escape)(?P=quote)"
)
"""Pattern between two quoted lines. JSON never has two strings side by side, so redacted JSON stays valid."""
_PEM_REST = re.compile(
    rf"(?:[A-Za-z0-9+/=:,. \r\n\t>|#*]|-(?!----)|\\+[nrt]|{_PEM_JOINT})*+-----END [A-Z0-9 ]{{1,60}}-----"
)
_PEM_CUT = re.compile(rf"(?:(?:[\s>|#*-]|[0-9]{{1,6}}[:|\t]|\\+[nrt]|{_PEM_JOINT})*+[A-Za-z0-9+/=]{{16,}}+)*+")
_BREAK = re.compile(r"[ \t]{0,40}\\?(?:\r?\n|\r|(?:\\+[rn])+)(?:[ \t>|]|\\+t){0,40}")
_MOST_LINES = 64
_ALPHANUMERIC = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_LONGEST_NAME = 16


def secret_spans(text: str) -> list[Span]:
    """Return start and end of each secret, in order and without overlap."""
    if not _may_hold_secrets(text):
        return []
    unescaped = Unescaped(text) if holds(SIGNS, text) else None
    plain = text if unescaped is None else unescaped.text
    spans = sorted(_found(plain, unescaped))
    if unescaped is not None:
        spans = [(unescaped.start(start), unescaped.end(end)) for start, end in spans]
    return list(_merged(spans))


def holds_secrets_or(others: str, text: str) -> bool:
    """Return whether a text may contain a secret, or a match of another pattern, with one scan of the text."""
    return holds(_signs_of_secrets_or(others), text)


def _may_hold_secrets(text: str) -> bool:
    return holds(_signs_of_secrets(), text)


def holds(pattern: str, text: str) -> bool:
    """Return true if a pattern matches, or if lone surrogates keep the automaton from scanning the text."""
    return _automaton(pattern).isinstance_python(text) or not (text.isascii() or _is_unicode(text))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@cache
def _automaton(pattern: str) -> SchemaValidator:
    """Compile a pattern with pydantic's Rust crate `regex`: linear, and several times as fast as `re` or `in`."""
    return SchemaValidator(core_schema.str_schema(strict=True, pattern=pattern, regex_engine="rust-regex"))


@cache
def _signs_of_secrets_or(others: str) -> str:
    return f"{_signs_of_secrets()}|{others}"


@cache
def _signs_of_secrets() -> str:
    """Return a pattern that matches each text that may contain a secret."""
    begin = r"(?:^|[^A-Za-z0-9]|\\(?:[bfnrt]|u[0-9A-Fa-f]{4})|%[0-9A-Fa-f]{2})"
    prefixed = "|".join(re.escape(rule.literal) for rule in PREFIXED)
    names = r"(?i-u:(?:api|subscription|account|access|session|refresh|auth|security|client|app|openai)[-_ ]?(?:key|token|secret))"
    noise = rf"(?:{INVISIBLE}|{ESCAPED_INVISIBLE})"
    signs = (
        r"\x1b|\x{9b}|\\(?:u001[bB]|x1[bB]|033|e\[)|%(?:25)*1[bB]"
        r"|(?:\\u00|\\U000000|\\x|%(?:25)*)"
        r"(?:2[27cCdDfF]|3[0-9aAdDeE]|4[0-9a-fA-F]|5[0-9aAdDfF]|6[1-9a-fA-F]|7[0-9aA])"
        r"|\\(?:0[4-7]|1[0-7])[0-7]"
        rf"|{noise}[A-Za-z0-9_\-/:@,=>\"'\]]"
    )
    sign_of_value = rf"{noise}*\\*[\"']?(?:\s|\\+[nrt]|%(?:25)*20|\\+u0020)*[:=,>\]]"
    return (
        rf"{begin}(?:{prefixed})|(?:{names}|(?i-u:uthorization)){sign_of_value}"
        rf"|(?i-u:earer)(?:{sign_of_value}|{noise}*(?:\s|\\+[nrt]|%(?:25)*(?:20|0[9aAdD])|\\+u00(?:20|0[9aAdD])))"
        r"|:\\*/\\*/[^\s/?#\"'<>\\]*:[^\s/?#\"'<>\\{}$]*@"
        rf"|API key provided:|hooks\.slack\.com|-----BEGIN|{signs}"
    )


def _found(text: str, unescaped: Unescaped | None) -> Iterator[Span]:
    for prefixed in PREFIXED:
        if holds(re.escape(prefixed.literal), text):
            yield from _prefixed(prefixed, text, unescaped)
    for named in NAMED:
        if holds(re.escape(named.literal), text):
            yield from _named(named, text)
    for begin in _PEM.finditer(text):
        rest = _PEM_REST.match(text, begin.end()) or _PEM_CUT.match(text, begin.end())
        if rest is not None and rest.end() > begin.end():
            yield begin.start(), rest.end()


def _prefixed(rule: Prefixed, text: str, unescaped: Unescaped | None) -> Iterator[Span]:
    run = _run(rule.characters)
    start = text.find(rule.literal)
    while start >= 0:
        next_start = start + 1
        if _begins_word(text, start, unescaped):
            begin = start + len(rule.literal)
            found = run.match(text, begin)
            next_start = found.end() if found else begin
            pieces, end = _continued(text, begin, next_start, run)
            if len(pieces) >= rule.least and rule.is_secret(pieces):
                yield start, end
                next_start = end
        start = text.find(rule.literal, next_start)


def _begins_word(text: str, at: int, unescaped: Unescaped | None) -> bool:
    if at == 0 or text[at - 1] not in _ALPHANUMERIC:
        return True
    if text[at - 1] in "bfnrt" and text[at - 2 : at - 1] == "\\":
        return True
    return unescaped is not None and unescaped.follows_noise(at)


def _continued(text: str, begin: int, end: int, run: re.Pattern[str]) -> tuple[str, int]:
    """Return a run with the lines that continue it, and the end of the last line."""
    pieces = [text[begin:end]]
    for _ in range(_MOST_LINES):
        line_break = _BREAK.match(text, end)
        more = run.match(text, line_break.end()) if line_break else None
        if more is None or not is_random(more[0]) or text[more.end() : more.end() + 1] in ("=", ":", "("):
            break
        pieces.append(more[0])
        end = more.end()
    return "".join(pieces), end


def _named(rule: Named, text: str) -> Iterator[Span]:
    between, characters = _pattern(rule.between), _run(rule.characters)
    name = _pattern(rf"{rule.name}\Z")
    start = text.find(rule.literal)
    while start >= 0:
        end = start + len(rule.literal)
        link = between.match(text, end)
        if link is not None and name.search(text, max(0, start - _LONGEST_NAME), end) is None:
            link = None
        value = characters.match(text, link.end()) if link else None
        if value is not None:
            end, run = value.end(), value[0].rstrip(".")
            if rule.after:
                run = value[0].rpartition(rule.after)[0]
            if len(run) >= rule.least and rule.is_secret(run):
                yield value.start(), value.start() + len(run)
        start = text.find(rule.literal, end)


def _run(characters: str) -> re.Pattern[str]:
    return _pattern(f"[{characters}]+=*")


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _merged(spans: list[Span]) -> Iterator[Span]:
    begin = end = 0
    for span in spans:
        if span[0] > end:
            if end > begin:
                yield begin, end
            begin, end = span
        else:
            end = max(end, span[1])
    if end > begin:
        yield begin, end

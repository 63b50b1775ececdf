"""What must not be in the log, taken out of every text before it leaves the process."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from math import isfinite
from typing import Any

REDACTED = "[redacted]"
_TOO_DEEP = "[nested too deep]"
_DEEPEST = 100
"""Levels of nesting that are kept; the JSON writers give up between 200 and 1000."""


def _key(prefix: str, rest: str) -> re.Pattern[str]:
    """A key known by its beginning, where a word begins: also behind an escape of JSON or of a URL."""
    starts = [rf"(?<![A-Za-z0-9]{prefix})", rf"(?<=\\[bfnrt]{prefix})", rf"(?<=\\u[0-9A-Fa-f]{{4}}{prefix})"]
    starts.append(rf"(?<=%[0-9A-Fa-f]{{2}}{prefix})")
    return re.compile(f"{prefix}(?:{'|'.join(starts)})(){rest}")


def _named(name: str, between: str, secret: str) -> re.Pattern[str]:
    """A secret known by the name before it, which stays, as do the quotes: the text may be JSON, and nested JSON."""
    return re.compile(f"({name}{between}){secret}")


_IS = r"\\*[\"']?\s*[:=]\s*\\*[\"']?"
_API = r"(?:(?<=[aA][pP][iI][-_]KEY)|(?<=[aA][pP][iI]KEY))"
_VALUE = r"[A-Za-z0-9_\-]{8,}[A-Za-z0-9._~+/\-]*=*"
# Each begins with a literal, which the regex engine finds 30 times as fast as anything else; the first group stays.
_SECRETS = (
    _key("sk-", r"[A-Za-z0-9_*\-]{8,}"),  # OpenAI and others, also half-masked as in error messages
    _key("glc_", r"[A-Za-z0-9+/=_]{8,}"),  # Grafana Cloud
    _key("glsa_", r"[A-Za-z0-9+/=_]{8,}"),  # Grafana's service accounts
    _key("gsk_", r"[A-Za-z0-9]{20,}"),  # Groq
    _key("csk-", r"[A-Za-z0-9]{20,}"),  # Cerebras
    _key("xai-", r"[A-Za-z0-9]{20,}"),
    _key("pplx-", r"[A-Za-z0-9]{20,}"),  # Perplexity
    _key("AIza", r"[A-Za-z0-9_\-]{30,}"),  # Google
    _named("earer", r"\s+", r"[A-Za-z0-9._~+/\-]{16,}=*"),
    _named("uthorization", rf"{_IS}\w+\s+", r"[A-Za-z0-9._~+/\-]{8,}=*"),
    *(_named(key, _API.replace("KEY", key) + _IS, _VALUE) for key in ("key", "Key", "KEY")),
    _named("API key provided: ", "", r"[^\s\"'\\]{4,}"),  # how OpenAI's error message repeats a key of any form
)
_HARMLESS = frozenset({bool, int, type(None)})
"""Passed over without a call for each: the most of what an answer is made of."""
_BASE64_FIELDS = frozenset({"audio", "b64_json", "data", "file_data", "result"})
_BASE64 = re.compile(r"[A-Za-z0-9+/=_\-\r\n]{256,}")
_DATA_URL = re.compile(
    r"data:(?P<kind>[\w.+-]{1,60}/[\w.+-]{1,60})?(?:;[\w.+-]{1,60}=[\w.+-]{1,60}){0,5};base64,"
    r"(?P<base64>[A-Za-z0-9+/=_%-]*(?:[\r\n]+[A-Za-z0-9+/=_%-]{60,})*(?:[\r\n]+[A-Za-z0-9+/=_%-]+\s*\Z)?)"
)

_MEDIA_SIGNS = tuple(
    re.compile(sign) for sign in (";base64,", "NaN", "Infinity", *(f'"{field}":"' for field in sorted(_BASE64_FIELDS)))
)
"""Each a literal of its own, which the regex engine finds faster than `in` does."""

Redact = Callable[[str, str], str]
"""From a text and its field's dotted name (`request.messages.content`) to what may be logged of it."""


def redactor(redact: tuple[str, ...] | Redact | None) -> Redact | None:
    """One function for either form of the setting `redact`."""
    if redact is None or callable(redact):
        return redact
    if not redact:
        return None
    # One after the other: joined, flags, groups and comments of one pattern would change the meaning of the next.
    patterns = [re.compile(pattern) for pattern in redact]

    def redact_patterns(text: str, field: str) -> str:  # noqa: ARG001 - a function of the user's looks at the field
        for pattern in patterns:
            text = pattern.sub(REDACTED, text)
        return text

    return redact_patterns


def redacted(value: Any, field: str, redact: Redact | None, depth: int = _DEEPEST) -> Any:
    """A copy as plain data, with media and whatever `redact` finds taken out of its texts.

    Raises:
        TypeError: `redact` gave something other than a text. Whatever else it raises comes out as well.
    """
    if isinstance(value, str):
        return _without_media(value, field) if redact is None else _text(value, field, redact)
    if value is None or isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        return value
    if depth == 0:
        return _TOO_DEEP
    if isinstance(value, dict):
        return _object(value, field, redact, depth - 1)
    if isinstance(value, (list, tuple)):
        return [redacted(part, field, redact, depth - 1) for part in value]
    return redacted(str(value), field, redact)


def without_secrets(text: str) -> str:
    """The text with API keys, bearer tokens and authorization headers taken out; JSON stays JSON."""
    for secret in _SECRETS:
        text = secret.sub(_replaced, text)
    return text


def is_plain(line: str) -> bool:
    """Whether JSON certainly holds no media in base64 and no number that JSON has no form for."""
    return not any(sign.search(line) for sign in _MEDIA_SIGNS)


def _replaced(found: re.Match[str]) -> str:
    return f"{found[1]}{REDACTED}"


def _object(value: dict[Any, Any], field: str, redact: Redact | None, depth: int) -> dict[str, Any]:
    if redact is None:
        return {
            str(name): part if type(part) in _HARMLESS else redacted(part, str(name), None, depth)
            for name, part in value.items()
        }
    return {
        _name(name, field, redact): redacted(part, f"{field}.{name}", redact, depth) for name, part in value.items()
    }


def _text(text: str, field: str, redact: Redact) -> str:
    left = redact(_without_media(text, field), field)
    if not isinstance(left, str):
        raise TypeError(f"redact must return a text, not {type(left).__name__}")
    return left


def _name(name: object, field: str, redact: Redact) -> str:
    """The name of a field; one that is no plain word, such as an e-mail address, is data as much as a text is."""
    text = str(name)
    return text if text.isidentifier() else _text(text, field, redact)


def _without_media(text: str, field: str) -> str:
    """The text with type, size and hash in place of an image, a sound or a file in base64."""
    if len(text) >= 256 and field.rpartition(".")[2] in _BASE64_FIELDS and _BASE64.fullmatch(text):
        return _summary("base64", text)
    if ";base64," not in text:
        return text
    return _DATA_URL.sub(lambda found: _summary(found["kind"] or "media", found["base64"]), text)


def _summary(kind: str, encoded: str) -> str:
    digest = hashlib.sha256(encoded.encode("utf-8", "replace")).hexdigest()
    size = len("".join(encoded.split()).rstrip("=")) * 3 // 4
    return f"[{kind}, {size} bytes, sha256 of the base64 {digest}]"

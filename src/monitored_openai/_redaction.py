"""What must not be in the log, taken out of every text before it leaves the process."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from math import isfinite
from typing import Any

from monitored_openai._secrets import secret_spans

REDACTED = "[redacted]"
_TOO_DEEP = "[nested too deep]"
_DEEPEST = 100
"""Levels of nesting that are kept; the JSON writers give up between 200 and 1000."""


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
    spans = secret_spans(text)
    if not spans:
        return text
    pieces: list[str] = []
    end = 0
    for start, next_end in spans:
        pieces += (text[end:start], REDACTED)
        end = next_end
    return "".join((*pieces, text[end:]))


def is_plain(line: str) -> bool:
    """Whether JSON certainly holds no media in base64 and no number that JSON has no form for."""
    return not any(sign.search(line) for sign in _MEDIA_SIGNS)


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

"""Removes secrets, media and matches of the setting `redact` from each text before it leaves the process."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

from monitored_openai._redaction.presets import RedactionPreset
from monitored_openai._redaction.secrets import holds, holds_secrets_or, secret_spans

REDACTED = "[redacted]"
_TOO_DEEP = "[nested too deep]"
_MOST_SECONDS, _LEAST_SECONDS, _SHORTEST_TIMEOUT_SECONDS = 0.25, 0.01, 0.001
_SECONDS_PER_CHARACTER = 1e-6
"""Added to the time limit for each character: 20 times the duration of a common pattern."""
_MOST_ALLOWED_SECONDS, _ALLOWED_SHARE = 1.0, 0.1
_DEEPEST = 100
"""Maximum nesting depth; the JSON writers fail between 200 and 1000 levels."""

_UNCHANGED_TYPES = frozenset({bool, int, type(None)})
"""Types of most values of a response; the redactor keeps them without a function call, which saves time."""
_BASE64_FIELDS = frozenset({"audio", "b64_json", "data", "file_data", "result"})
_BASE64 = re.compile(r"[A-Za-z0-9+/=_\-\r\n]{256,}")
_DATA_URL = re.compile(
    r"data:(?P<kind>[\w.+-]{1,60}/[\w.+-]{1,60})?(?:;[\w.+-]{1,60}=[\w.+-]{1,60}){0,5};base64,"
    r"(?P<base64>[A-Za-z0-9+/=_%-]*(?:[\r\n]+[A-Za-z0-9+/=_%-]{60,})*(?:[\r\n]+[A-Za-z0-9+/=_%-]+\s*\Z)?)"
)

_LIKE_IBAN = re.compile(r"[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,30}")

_SIGNS_OF_MEDIA = ";base64,|NaN|Infinity|" + "|".join(f'"{field}":"' for field in sorted(_BASE64_FIELDS))
"""A pattern for lines of JSON that may contain base64 media, NaN or infinity."""

Redact = Callable[[str, str], str]
"""Maps a text and its field's dotted name (`request.messages.content`) to the text to log."""


class PatternTimeout(Exception):
    """A pattern of the setting `redact` took too long; the message names its position in the list."""


def redactor(redact: tuple[str, ...] | Redact | None, presets: Sequence[RedactionPreset] = ()) -> Redact | None:
    """Return the function for the settings `redact_presets` and `redact`, in this order; `None` if both are empty."""
    if not callable(redact):
        redact = _Patterns(redact) if redact else None
    return _Presets(presets, redact) if presets else redact


class _Presets:
    """Removes personal data, then applies the user's function or patterns.

    Removes secrets only from a text with personal data; `without_secrets` later removes them from each log line.
    """

    def __init__(self, presets: Sequence[RedactionPreset], redact: Redact | None) -> None:
        from monitored_openai._redaction.personal_data import without_personal_data  # compiles its patterns

        self._without = without_personal_data
        self._presets = frozenset(presets)
        self._redact = redact

    def __call__(self, text: str, field: str) -> str:
        clean = self._without(text, self._presets)
        if clean is not text and (no_secrets := without_secrets(text)) is not text:
            # Remove the secrets first: a marker of personal data inside a secret would hide the secret from its rule.
            clean = self._without(no_secrets, self._presets)
        return clean if self._redact is None else self._redact(clean, field)


class _Patterns:
    """Applies the user's patterns within a time limit, because a pattern may need exponential time on some texts.

    Slow texts use up an allowance that grows with time. In a flood of slow texts, each gets the shortest limit, so
    that the exporter's thread keeps up.
    """

    def __init__(self, patterns: tuple[str, ...]) -> None:
        # `regex` supports timeouts and releases the GIL while it matches; `re` does neither.
        import regex

        # Separate patterns: in a joined one, flags, groups and comments would change the meaning of the next pattern.
        self._patterns = [regex.compile(pattern) for pattern in patterns]
        self._allowance = _MOST_ALLOWED_SECONDS
        self._spent_at = time.monotonic()

    def __call__(self, text: str, _field: str) -> str:
        """Replace each match.

        Raises:
            PatternTimeout: the time limit was reached.
        """
        start = time.monotonic()
        earned = (start - self._spent_at) * _ALLOWED_SHARE
        self._allowance = min(self._allowance + earned, _MOST_ALLOWED_SECONDS)
        limit = max(_LEAST_SECONDS, min(_MOST_SECONDS, self._allowance)) + len(text) * _SECONDS_PER_CHARACTER
        try:
            return self._replaced(text, start + limit)
        finally:
            self._spent_at = time.monotonic()
            took = self._spent_at - start
            if took > _LEAST_SECONDS:
                self._allowance -= min(took, self._allowance)

    def _replaced(self, text: str, until: float) -> str:
        for place, pattern in enumerate(self._patterns, 1):
            left = max(until - time.monotonic(), _SHORTEST_TIMEOUT_SECONDS)
            try:
                text = pattern.sub(REDACTED, text, timeout=left)
            except TimeoutError:
                raise PatternTimeout(f"pattern {place} of redact took too long") from None
        return text


def redacted(value: Any, field: str, redact: Redact | None, depth: int = _DEEPEST) -> Any:
    """Return a copy as plain data, without media and without the parts that `redact` removes.

    Raises:
        TypeError: `redact` returned a value that is not a text. Errors of `redact` itself propagate.
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
    """Replace API keys, bearer tokens and authorization headers in a text; JSON stays JSON."""
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
    """Return true if a line of JSON certainly contains no secret, no base64 media, no NaN and no infinity."""
    return not holds_secrets_or(_SIGNS_OF_MEDIA, line)


def may_hold_media(line: str) -> bool:
    """Return true if a line of JSON may contain base64 media, NaN or infinity."""
    return holds(_SIGNS_OF_MEDIA, line)


def _object(value: dict[Any, Any], field: str, redact: Redact | None, depth: int) -> dict[str, Any]:
    if redact is None:
        return {
            str(name): part if type(part) in _UNCHANGED_TYPES else redacted(part, str(name), None, depth)
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
    """Return the name of a field; redact names that are not plain words, such as e-mail addresses."""
    text = str(name)
    return text if text.isidentifier() and not _LIKE_IBAN.fullmatch(text) else _text(text, field, redact)


def _without_media(text: str, field: str) -> str:
    """Replace images, audio and files in base64 by their type, size and hash."""
    if len(text) >= 256 and field.rpartition(".")[2] in _BASE64_FIELDS and _BASE64.fullmatch(text):
        return _summary("base64", text)
    if ";base64," not in text:
        return text
    return _DATA_URL.sub(lambda found: _summary(found["kind"] or "media", found["base64"]), text)


def _summary(kind: str, encoded: str) -> str:
    digest = hashlib.sha256(encoded.encode("utf-8", "replace")).hexdigest()
    size = len("".join(encoded.split()).rstrip("=")) * 3 // 4
    return f"[{kind}, {size} bytes, sha256 of the base64 {digest}]"

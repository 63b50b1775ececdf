"""Replaces the values of chosen attributes and request fields with keyed hashes, so that no raw value leaves the process."""

from __future__ import annotations

import dataclasses
import hmac
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from monitored_openai._record import CallRecord

HASH_PREFIX = "hmac_"
_HASH_DIGITS = 16
"""Hexadecimal digits of a hash: 64 bits, so two of a million values share a hash with a probability of 2.7e-8."""
_METADATA = "metadata"
_LONGEST = 1000
"""A longer value would take too long to search for; the texts of an error are then left out."""
_LEFT_OUT = "[left out, because it may repeat a hashed value]"
_BACKSLASHES = r"(?<!\\)\\++"
"""Pattern for a whole run of backslashes; a search that could begin inside a run would take quadratic time."""
_SHORT_ESCAPES = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
_SHORT = 4
"""A shorter value is replaced in a message only if it stands alone there."""


def value_hasher(names: Collection[str], secret: str | None) -> ValueHasher | None:
    """Return the hasher for the settings `hash_attributes` and `hash_secret`; `None` if they hash nothing."""
    return ValueHasher(names, secret) if names and secret is not None else None


class ValueHasher:
    """Hashes the values of `names` with HMAC-SHA256.

    Equal texts get equal hashes in every field, and in every process with the same secret.
    """

    def __init__(self, names: Collection[str], secret: str) -> None:
        self._names = frozenset(names)
        self._key = secret.encode("utf-8", "surrogatepass")

    def hashed(self, text: str) -> str:
        """Return the hash of a text."""
        digest = hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")
        return HASH_PREFIX + digest.hex()[:_HASH_DIGITS]

    def attributes(self, attributes: Mapping[str, str]) -> Mapping[str, str]:
        """Return the attributes of a call with the chosen values hashed."""
        if self._names.isdisjoint(attributes):
            return attributes
        return {name: self.hashed(text) if name in self._names else text for name, text in attributes.items()}

    def record(self, record: CallRecord) -> CallRecord:
        """Return a record with the chosen values hashed in its request, response, identifiers and error texts.

        The attributes were hashed when the call started.
        """
        seen: dict[str, str] = {}
        identifiers = self._fields(record.identifiers, seen)
        request = record.request if record.request is None else self._fields(record.request, seen)
        response = record.response
        if isinstance(response, Mapping):
            response = self._fields(response, seen)
        if not seen:
            return record
        changed = dataclasses.replace(record, identifiers=identifiers, request=request, response=response)
        return _without_echo(changed, _replacer(seen)) if _may_repeat(changed) else changed

    def _fields(self, fields: Mapping[str, Any], seen: dict[str, str]) -> Mapping[str, Any]:
        """Return the fields with the chosen ones hashed; add each raw text and its hash to `seen`."""
        changed: dict[str, Any] = {}
        for name, value in fields.items():
            if name in self._names:
                changed[name] = self._deep(value, seen)
            elif name == _METADATA and isinstance(value, Mapping):
                changed[name] = {
                    key: self._deep(part, seen) if f"{_METADATA}.{key}" in self._names else part
                    for key, part in value.items()
                }
            elif name == "prompt" and isinstance(value, Mapping):  # a stored prompt
                changed[name] = {
                    key: self._deep(part, seen) if f"prompt_{key}" in self._names else part
                    for key, part in value.items()
                }
        return {**fields, **changed}

    def _deep(self, value: Any, seen: dict[str, str]) -> Any:
        """Return the hash of a value; hash each value inside an object or a list separately."""
        if value is None:
            return None
        if isinstance(value, Mapping):
            return {key: self._deep(part, seen) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._deep(part, seen) for part in value]
        text = str.__str__(value) if isinstance(value, str) else str(value)
        if text and text not in seen:
            seen[text] = self.hashed(text)
        return seen.get(text, text)


def _may_repeat(record: CallRecord) -> bool:
    """Return true if a record has an error, whose texts may repeat the fields of the request."""
    return bool(record.error_message or record.api_error or _is_refused(record) or _error_in(record.response))


def _without_echo(record: CallRecord, replace: Callable[[str], str]) -> CallRecord:
    """Replace raw values in an error, and in the whole response if its status is an error."""
    response: Any = record.response
    if _is_refused(record):
        response = _in_texts(response, replace)
    elif (error := _error_in(response)) is not None:
        response = {**response, "error": _in_texts(error, replace)}
    return dataclasses.replace(
        record,
        response=response,
        error_message=replace(record.error_message) if record.error_message else record.error_message,
        api_error={name: replace(text) for name, text in record.api_error.items()},
    )


def _is_refused(record: CallRecord) -> bool:
    return (record.http_status or 0) >= 400


def _error_in(response: object) -> Any:
    return response.get("error") if isinstance(response, Mapping) else None


def _in_texts(value: Any, replace: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, Mapping):
        return {key: _in_texts(part, replace) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_in_texts(part, replace) for part in value]
    return value


def _replacer(seen: Mapping[str, str]) -> Callable[[str], str]:
    """Return a function that replaces raw values in a text, even if JSON or Python has escaped them several times."""
    raws = sorted(seen, key=len, reverse=True)
    if len(raws[0]) > _LONGEST:
        return lambda _: _LEFT_OUT
    pattern = re.compile("|".join(f"({_as_pattern(raw)})" for raw in raws))
    return lambda text: pattern.sub(lambda found: seen[raws[(found.lastindex or 0) - 1]], text)


def _as_pattern(raw: str) -> str:
    """Return a pattern for a value in which any number of backslashes may precede an escaped character.

    Each part consumes all backslashes at once and never gives them back, so that a search takes linear time.
    """
    parts: list[str] = []
    follows_backslash = False
    for character in raw:
        if character != "\\":
            parts.append(_escaped(character, follows_backslash=follows_backslash))
        follows_backslash = character == "\\"
    pattern = "".join(parts) + (_BACKSLASHES if follows_backslash else "")
    return pattern if len(raw) >= _SHORT else rf"(?<!\w){pattern}(?!\w)"


def _escaped(character: str, *, follows_backslash: bool) -> str:
    """Return a pattern for a character as it is, and as JSON and Python escape it."""
    plain = re.escape(character)
    if character in "\"'/":
        return (_BACKSLASHES if follows_backslash else r"(?<!\\)\\*+") + plain
    if character.isascii() and character.isprintable():
        return (_BACKSLASHES if follows_backslash else "") + plain
    units = re.findall("....", character.encode("utf-16-be", "surrogatepass").hex())
    codes = [_BACKSLASHES.join(f"u{unit}" for unit in units), f"x{ord(character):02x}", f"U{ord(character):08x}"]
    codes += [_SHORT_ESCAPES[character]] if character in _SHORT_ESCAPES else []
    escaped = f"(?i:{'|'.join(codes)})"
    return f"{_BACKSLASHES}(?:{plain}|{escaped})" if follows_backslash else f"(?:{plain}|{_BACKSLASHES}{escaped})"

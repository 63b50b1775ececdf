"""Finds e-mail addresses in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from monitored_openai._redaction.secrets import Span
from monitored_openai._redaction.widths import UNSPACED

_LOCAL = re.compile(r"[\w.+'&%!$~^#*-]+")
_ASCII_LOCAL = re.compile(rf"[^{UNSPACED}]+")
"""Pattern for the reversed local part of an ASCII address; stops at a script that puts no space before the address."""
_NO_START = ".'&%!$~^#*-"
_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9_-]*+)\.)+(?:xn--[A-Za-z0-9-]{2,59}|[A-Za-z]{2,63})(?![A-Za-z0-9_(])"
    r"|(?:[\w-]++\.)+(?:xn--[A-Za-z0-9-]{2,59}|[^\W\d_]{2,63})(?![\w(])"
)
_FILE = re.compile(r"(?:png|jpe?g|gif|svg|webp|avif|heic|css|tgz|whl|gz|xml|json|ya?ml|txt)\Z", re.IGNORECASE)
"""File names such as `logo@2x.png`; none of these extensions is a top-level domain."""
_CODE = re.compile(
    r"\.(?:abstractmethod|array|asarray|astype|asynccontextmanager|cached?|cachedmethod|callback|classmethod|command|compile"
    r"|conj|contextmanager|coroutine|dataclass|delete|deleter|deprecated|errorhandler|fixture|flatten|get|getter|given"
    r"|guvectorize|hookimpl|hookspec|jit|listener|mark|matmul|mean|memoize|middleware|ndarray|njit|overload|override"
    r"|parametrize|partial|patch|put|receiver|reduce|register|reshape|route|setter|shape|singledispatch"
    r"|singledispatchmethod|skipif|softmax|squeeze|staticmethod|sum|task|toarray|todense|transpose|typechecked|usefixtures"
    r"|validates|validator|vectorize|websocket|wraps|xfail)\Z"
)
"""Code such as `decorator@functools.wraps`; none of these names is a top-level domain."""
_LONGEST_LOCAL, _LONGEST_DOMAIN = 256, 256


def email_spans(text: str) -> Iterator[Span]:
    """Yield start and end of each address, in time linear in the length of the text."""
    at, free = text.find("@"), 0
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1, at + 1 + _LONGEST_DOMAIN)
        start = _local_start(text, max(free, at - _LONGEST_LOCAL), at) if domain else at
        if domain and start < at and _is_address(text, start, at, domain):
            free = domain.end()
            yield start, free
        at = text.find("@", at + 1)


def _local_start(text: str, first: int, at: int) -> int:
    """Return the start of the local part before the `@`, or `at` if none precedes it."""
    backwards = text[first:at][::-1]
    run = _LOCAL.match(backwards)
    if run is None or backwards[0] == ".":
        return at
    length = run.end()
    if not backwards.isascii() and backwards[0].isascii() and (ascii_run := _ASCII_LOCAL.match(backwards)):
        length = min(length, ascii_run.end())
    start = at - length
    name = text[start:at]
    start += len(name) - len(name.lstrip(_NO_START))
    return start


def _is_address(text: str, start: int, at: int, domain: re.Match[str]) -> bool:
    labels = domain[0].split(".")[:-1]
    if (
        (len(labels) > 1 and all(label.isdigit() for label in labels))
        or _FILE.search(domain[0])
        or _CODE.search(domain[0])
    ):
        return False  # a version such as lib@4.17.21.dev, a file, or code
    return not (text[start:at] == "git" and text[domain.end() : domain.end() + 1] == ":")

"""Requests the usage of a stream if the caller did not, and remembers the servers that reject this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from monitored_openai._calls.error_types import status_of

_REJECTED = (400, 422)
_FIELD = ("stream_options", "include_usage")
_MOST_SERVERS = 1000
_ENOUGH_REJECTIONS = 2
"""A rejection that does not name the field may be a transient fault: it takes two to stop the injection."""
_MOST_FAILED_RETRIES = 3
"""After so many retries that fail as well, a rejection that does not name the field is the caller's error."""


@dataclass(slots=True)
class StreamUsageSupport:
    """The servers that accept or reject `stream_options.include_usage`, by base URL, for one handle."""

    accepting: set[str] = field(default_factory=set)
    rejections: Counter[str] = field(default_factory=Counter)
    failed_retries: Counter[str] = field(default_factory=Counter)

    def injection(self, base_url: str) -> Injection | None:
        """Return the injection for one call; `None` for a server that rejects the field."""
        return None if self.rejections[base_url] >= _ENOUGH_REJECTIONS else Injection(self, base_url)

    def has_other_cause(self, base_url: str) -> bool:
        """Return whether a rejection that does not name the field has another cause."""
        return base_url in self.accepting or self.failed_retries[base_url] >= _MOST_FAILED_RETRIES

    def mark_accepting(self, base_url: str) -> None:
        """Record that the server accepts the field."""
        if len(self.accepting) < _MOST_SERVERS:
            self.accepting.add(base_url)


class Injection:
    """`stream_options.include_usage`, added by the library to one call."""

    __slots__ = ("_base_url", "_names_field", "_support", "withdrawn")

    def __init__(self, support: StreamUsageSupport, base_url: str) -> None:
        self._support = support
        self._base_url = base_url
        self._names_field = False
        self.withdrawn = False

    def should_retry_without(self, error: BaseException) -> bool:
        """Withdraw the field if the server may have rejected it; return whether to send the request again without it."""
        if status_of(error) not in _REJECTED:
            return False
        if self.withdrawn:
            _count(self._support.failed_retries, self._base_url, 1)
            return False
        self._names_field = any(word in str(error) for word in _FIELD)
        self.withdrawn = self._names_field or not self._support.has_other_cause(self._base_url)
        return self.withdrawn

    def on_success(self) -> None:
        """Record that the server accepted the request: with the field, or only without it."""
        if self.withdrawn:
            _count(self._support.rejections, self._base_url, _ENOUGH_REJECTIONS if self._names_field else 1)
        else:
            self._support.mark_accepting(self._base_url)


def leaves_usage_open(body: object, extra_body: object, headers: Iterable[object]) -> bool:
    """Return whether a request can carry `stream_options` and has no field or header of the caller's about usage.

    Some servers have options of their own to request the usage, such as ``usage: {"include": true}`` or the header
    ``helicone-stream-usage``. If the request has such an option, the caller decides, whatever its value.
    """
    if not isinstance(body, Mapping):
        return False
    extra = extra_body if isinstance(extra_body, Mapping) else ()
    names = "\n".join(map(str, (*body, *extra, *headers))).lower()
    return "usage" not in names and _FIELD[0] not in names


def _count(servers: Counter[str], base_url: str, number: int) -> None:
    if base_url in servers or len(servers) < _MOST_SERVERS:
        servers[base_url] += number

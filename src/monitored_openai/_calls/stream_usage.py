"""Requesting the usage of a stream whose caller did not, and remembering the servers that refuse the request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from monitored_openai._calls.error_types import status_of

_REFUSALS = (400, 422)
_FIELD = ("stream_options", "include_usage")
_MOST_SERVERS = 1000
_ENOUGH_REFUSALS = 2
"""One that does not name the field may be a passing fault, which only seems to be mended by leaving it out."""
_MOST_FRUITLESS = 3
"""Second tries that may fail as the first did; from then on a refusal that does not name the field is the caller's."""


@dataclass(slots=True)
class StreamUsageSupport:
    """Which servers take `stream_options.include_usage` and which refuse it, by base URL, for this process."""

    accepting: set[str] = field(default_factory=set)
    refusing: Counter[str] = field(default_factory=Counter)
    fruitless: Counter[str] = field(default_factory=Counter)

    def injection(self, base_url: str) -> Injection | None:
        """The injection into one call; none for a server that refuses."""
        return None if self.refusing[base_url] >= _ENOUGH_REFUSALS else Injection(self, base_url)

    def means_something_else(self, base_url: str) -> bool:
        """Whether a refusal that does not name the field is about something else in the request."""
        return base_url in self.accepting or self.fruitless[base_url] >= _MOST_FRUITLESS

    def accepts(self, base_url: str) -> None:
        """The server is known to accept the field."""
        if len(self.accepting) < _MOST_SERVERS:
            self.accepting.add(base_url)


class Injection:
    """`stream_options.include_usage` put into one call by us."""

    __slots__ = ("_asking", "_base_url", "_named", "taken_back")

    def __init__(self, asking: StreamUsageSupport, base_url: str) -> None:
        self._asking = asking
        self._base_url = base_url
        self._named = False
        self.taken_back = False

    def take_back(self, error: BaseException) -> bool:
        """Whether the field may be what the server refused, so that the call deserves a second try without it."""
        if status_of(error) not in _REFUSALS:
            return False
        if self.taken_back:
            _count(self._asking.fruitless, self._base_url, 1)
            return False
        self._named = any(word in str(error) for word in _FIELD)
        self.taken_back = self._named or not self._asking.means_something_else(self._base_url)
        return self.taken_back

    def answered(self) -> None:
        """The server gave a good response: to the field, or to its absence after it was refused."""
        if self.taken_back:
            _count(self._asking.refusing, self._base_url, _ENOUGH_REFUSALS if self._named else 1)
        else:
            self._asking.accepts(self._base_url)


def leaves_usage_open(body: object, extra_body: object, headers: Iterable[object]) -> bool:
    """Whether a request can take `stream_options` and has no field or header of the caller's about usage.

    Servers have options of their own by which a caller requests the usage, such as ``usage: {"include": true}`` or
    the header ``helicone-stream-usage``. Whatever such an option has for its value, the caller decides.
    """
    if not isinstance(body, Mapping):
        return False
    extra = extra_body if isinstance(extra_body, Mapping) else ()
    names = "\n".join(map(str, (*body, *extra, *headers))).lower()
    return "usage" not in names and _FIELD[0] not in names


def _count(servers: Counter[str], base_url: str, number: int) -> None:
    if base_url in servers or len(servers) < _MOST_SERVERS:
        servers[base_url] += number

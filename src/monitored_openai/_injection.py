"""Asking for the usage of a stream whose caller did not, and remembering the servers that refuse to be asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from monitored_openai._errors import status_of

_REFUSALS = (400, 422)
_FIELD = ("stream_options", "include_usage")
_ACCEPTING = ("https://api.openai.com/",)
_MOST_SERVERS = 1000
_ENOUGH_REFUSALS = 2
"""One that does not name the field may be a passing fault, which only seems to be mended by leaving it out."""
_MOST_FRUITLESS = 3
"""Second tries that may fail as the first did; from then on a refusal that does not name the field is the caller's."""


@dataclass(slots=True)
class UsageAsking:
    """Which servers take `stream_options.include_usage` and which refuse it, by base URL, for this process."""

    accepting: set[str] = field(default_factory=set)
    refusing: Counter[str] = field(default_factory=Counter)
    fruitless: Counter[str] = field(default_factory=Counter)

    def injection(self, base_url: str) -> Injection | None:
        """The injection into one call; none for a server that refuses."""
        return None if self.refusing[base_url] >= _ENOUGH_REFUSALS else Injection(self, base_url)

    def means_something_else(self, base_url: str) -> bool:
        """Whether a refusal that does not name the field is about something else in the request."""
        known = base_url in self.accepting or base_url.startswith(_ACCEPTING)
        return known or self.fruitless[base_url] >= _MOST_FRUITLESS


class Injection:
    """`stream_options.include_usage` put into one call by us."""

    __slots__ = ("_asking", "_base_url", "_named", "taken_back")

    def __init__(self, asking: UsageAsking, base_url: str) -> None:
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
        elif len(self._asking.accepting) < _MOST_SERVERS:
            self._asking.accepting.add(self._base_url)


def _count(servers: Counter[str], base_url: str, number: int) -> None:
    if base_url in servers or len(servers) < _MOST_SERVERS:
        servers[base_url] += number

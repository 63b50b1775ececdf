"""Asking for the usage of a stream whose caller did not, and remembering the servers that refuse to be asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from monitored_openai._errors import status_of

_REFUSALS = (400, 422)
_FIELD = ("stream_options", "include_usage")
_ACCEPTING = ("https://api.openai.com/",)
_MOST_SERVERS = 1000


@dataclass(slots=True)
class UsageAsking:
    """Which servers take `stream_options.include_usage` and which refuse it, by base URL, for this process."""

    accepting: set[str] = field(default_factory=set)
    refusing: set[str] = field(default_factory=set)

    def injection(self, base_url: str) -> Injection | None:
        """The injection into one call; none for a server that refuses."""
        return None if base_url in self.refusing else Injection(self, base_url)


class Injection:
    """`stream_options.include_usage` put into one call by us."""

    __slots__ = ("_asking", "_base_url", "taken_back")

    def __init__(self, asking: UsageAsking, base_url: str) -> None:
        self._asking = asking
        self._base_url = base_url
        self.taken_back = False

    def take_back(self, error: BaseException) -> bool:
        """Whether the field may be what the server refused, so that the call deserves a second try without it.

        A server that has taken the field before means something else by its 400.
        """
        if self.taken_back or status_of(error) not in _REFUSALS:
            return False
        taken_before = self._base_url in self._asking.accepting or self._base_url.startswith(_ACCEPTING)
        self.taken_back = not taken_before or any(word in str(error) for word in _FIELD)
        return self.taken_back

    def answered(self) -> None:
        """The server gave a good response: to the field, or to its absence after it was refused."""
        servers = self._asking.refusing if self.taken_back else self._asking.accepting
        if len(servers) < _MOST_SERVERS:
            servers.add(self._base_url)

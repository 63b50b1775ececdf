"""Requests the usage of a stream if the caller did not, and remembers the servers that reject the option."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from monitored_openai._calls.error_types import status_of
from monitored_openai._endpoints.parsing import choices_of
from monitored_openai._logging import warn_sparsely

_REJECTED = (400, 422)
_FIELD = ("stream_options", "include_usage")
_MOST_SERVERS = 1000
_ENOUGH_REJECTIONS = 2
"""Number of rejections that stop the injection. One that names the field counts as two; others may be transient."""
_MOST_FAILED_RETRIES = 3
"""Number of failed retries after which a rejection that does not name the field counts as the caller's error."""
_SERVER_HEADERS = frozenset({"helicone-stream-usage"})
"""Headers with which a caller requests the usage of a stream, in lower case."""
_DATA = frozenset(
    {"messages", "prompt", "input", "prediction", "tools", "functions", "response_format", "properties"}
    | {"metadata", "logit_bias"}
)
"""Fields of a request that contain content, schemas or labels, so that the names inside them are not options."""
_DEPTH = 3
_MOST_NAMES = 50


@dataclass(slots=True)
class StreamUsageSupport:
    """The servers that accept or reject `stream_options.include_usage`, by base URL, for one handle.

    A server rejects the field if it responds with an error, or with a chunk that could break a caller who did not set
    the field.
    """

    accepting: set[str] = field(default_factory=set)
    rejections: Counter[str] = field(default_factory=Counter)
    failed_retries: Counter[str] = field(default_factory=Counter)

    def injection(self, base_url: str, *, only_adds_usage: bool) -> Injection | None:
        """Return the injection for one call; `None` for a server that rejects the field.

        `only_adds_usage`: True if the field adds only the usage to a stream; the caller requested all other data.
        """
        if self.rejections[base_url] >= _ENOUGH_REJECTIONS:
            return None
        return Injection(self, base_url, only_adds_usage=only_adds_usage)

    def has_other_cause(self, base_url: str) -> bool:
        """Return whether a rejection that does not name the field has another cause."""
        return base_url in self.accepting or self.failed_retries[base_url] >= _MOST_FAILED_RETRIES

    def mark_accepting(self, base_url: str) -> None:
        """Record that the server accepts the field."""
        if len(self.accepting) < _MOST_SERVERS:
            self.accepting.add(base_url)


class Injection:
    """The field `stream_options.include_usage` that the library adds to one call."""

    __slots__ = ("_base_url", "_names_field", "_only_adds_usage", "_support", "withdrawn")

    def __init__(self, support: StreamUsageSupport, base_url: str, *, only_adds_usage: bool) -> None:
        self._support = support
        self._base_url = base_url
        self._only_adds_usage = only_adds_usage
        self._names_field = False
        self.withdrawn = False

    def should_retry_without(self, error: BaseException) -> bool:
        """Withdraw the field if the server may have rejected it; return whether to retry without it."""
        if status_of(error) not in _REJECTED:
            return False
        if self.withdrawn:
            _count(self._support.failed_retries, self._base_url, 1)
            return False
        self._names_field = any(word in str(error) for word in _FIELD)
        self.withdrawn = self._names_field or not self._support.has_other_cause(self._base_url)
        return self.withdrawn

    def on_success(self) -> None:
        """Record that the server accepted the request with the field, or only without it."""
        if self.withdrawn:
            _count(self._support.rejections, self._base_url, _ENOUGH_REJECTIONS if self._names_field else 1)
        else:
            self._support.mark_accepting(self._base_url)

    def on_visible_usage(self, chunk: Any) -> None:
        """Stop injections for the server if the caller receives a chunk with usage and without choices.

        The library cannot hide the chunk, because the chunk also has other data, and ``chunk.choices[0]`` in the
        caller's code raises an `IndexError`. Without the field, a server such as llama.cpp sends this data in the last
        chunk with choices.
        """
        if self._only_adds_usage or choices_of(chunk):
            return
        _count(self._support.rejections, self._base_url, _ENOUGH_REJECTIONS)
        warn_sparsely(
            "visible-usage",
            "%s sends other data in the chunk with the usage. The library cannot hide this chunk from the caller, so "
            "it no longer requests the usage of streams from this base URL; the metrics count their usage as unknown.",
            urlsplit(self._base_url).hostname,
        )


def leaves_usage_open(options: Iterable[object], headers: Iterable[str]) -> bool:
    """Return whether the caller's request has no option about usage.

    Some servers have options of their own that request the usage, such as ``usage: {"include": true}``. If the request
    has such an option, with any value, the decision is the caller's. Checks a limited number of names, level by level,
    in mappings and lists, but no names inside content, schemas and labels.

    Args:
        options: mappings of options by name: the body, `extra_body` and the query.
        headers: the names of the headers.
    """
    for name in headers:
        if name.lower() in _SERVER_HEADERS:
            return False
    names: list[object] = []
    for _ in range(_DEPTH):
        options = _collect_names(options, names)
        if not options:
            break
    text = "\n".join(map(str, names)).lower()
    return "usage" not in text and "stream_options" not in text and "streamoptions" not in text


def _collect_names(places: Iterable[object], names: list[object]) -> list[object]:
    """Append names in mappings to `names`, up to the limit; return mappings and list items one level below."""
    below: list[object] = []
    for fields in places:
        if type(fields) is not dict and not isinstance(fields, Mapping):
            continue
        for name in fields:
            if len(names) >= _MOST_NAMES:
                return []
            names.append(name)
            kind = type(value := fields[name])
            if (kind is dict or kind is list) and name not in _DATA:
                below.extend((value,) if kind is dict else value[:_MOST_NAMES])
    return below[:_MOST_NAMES]


def _count(servers: Counter[str], base_url: str, number: int) -> None:
    if base_url in servers or len(servers) < _MOST_SERVERS:
        servers[base_url] += number

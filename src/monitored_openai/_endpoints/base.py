"""Types that all endpoints share, and the parser of a whole body."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, Protocol

from openai import BaseModel

from monitored_openai._frozen import quick_init
from monitored_openai._json import decode
from monitored_openai._logging import warn_sparsely
from monitored_openai._record import NOTHING, ApiType, Cost, CostIncomplete, Usage, UsageUnknown

_EVENT_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_LARGEST_COUNT = 10**9
"""Limit for the tokens of one call; the largest context windows of 2026 have ten million."""


@quick_init
@dataclass(frozen=True, kw_only=True)
class ParsedResponse:
    """The facts in one response; ``None`` for a fact that it does not contain."""

    model: str | None = None
    id: str | None = None
    service_tier: str | None = None
    finish_reasons: tuple[str, ...] = ()
    usage: Usage | None = None
    usage_unknown: UsageUnknown | None = None
    usage_if_thinking: Usage | None = None
    """The usage if the provider counts the model's thinking in `total_tokens` only."""
    reported_usage: Mapping[str, Any] = field(default_factory=dict)
    """The unparsed usage of the response; it may contain a charge, in a form that depends on the provider."""
    body: Mapping[str, Any] | str | None = None
    error_code: str | None = None
    """The code of an error in a response with a good status; `None` if it contains no error."""
    error_message: str | None = None
    finished: bool = True
    """False if a later response with the same id may differ."""
    unpriced: str | None = None
    """The reason for an unknown cost that does not depend on the usage."""
    cost: Cost | None = None
    """The cost, if the library knows it without a price lookup."""
    provider_cost: float | None = None
    """The cost that the response reports, in the server's unit."""
    tool_calls: Mapping[str, int] = field(default_factory=dict)
    """The number of calls of each tool, by the bounded name of the tool."""
    units: Mapping[str, float] = field(default_factory=dict)
    """Billed units other than tokens, by name: `web_searches`, `container_sessions_1g`, ..."""
    incomplete: tuple[CostIncomplete, ...] = ()
    """Reasons for an incomplete cost that do not depend on prices, such as a tool without a count."""
    parts: tuple[tuple[str | None, Usage], ...] = ()
    """Usages of other models within the call, such as of the image tool, by model."""
    requested_tier: str | None = None
    """The service tier in the request, unless it is the default. It counts if the response names no tier."""
    cache_retention: str | None = None
    """The time for which the server keeps cached tokens: `30m`, `12h`, `24h` or `in_memory`."""
    background: bool = False
    """True if the server generates the response in the background."""
    completion_window: str | None = None
    """The time within which the server finishes a response in the background, from the request: `2h`, `8h`, ..."""


BACKGROUND: Literal["background"] = "background"
"""The reason for unknown usage and cost while the server generates a response in the background."""

SPLIT_UNKNOWN = "split_unknown"
"""The reason for an unknown cost if the usage does not separate kinds of tokens that have different prices."""


class StreamAccumulator(Protocol):
    """Collects the chunks of one stream."""

    def add(self, chunk: Any) -> bool | None:
        """Add one chunk; return true if it only contains the usage, `None` if it precedes the first output.

        Runs on the caller's thread, so it must be cheap.
        """
        ...

    def size(self) -> int:
        """Return the approximate number of bytes of content held."""
        ...

    def body(self) -> dict[str, Any]:
        """Return the collected chunks in the shape of a body that was not streamed."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of the API: path, operation name, parser of responses, and facts about usage and price."""

    path: str
    """The path as in the SDK, with a name in braces for each variable part, such as `/responses/{response_id}`."""
    operation: str
    """OpenTelemetry's `gen_ai.operation.name`."""
    _: KW_ONLY
    method: Literal["get", "post"] = "post"
    api_type: ApiType | None = None
    """OpenTelemetry's `openai.api.type`."""
    parse: Callable[[Mapping[str, Any]], ParsedResponse]
    accumulator: Callable[[], StreamAccumulator]
    chunk_type: type[BaseModel] = BaseModel
    """The SDK's type of a stream's chunks."""
    usage_on_request: bool = False
    """True if streams report usage only after `stream_options.include_usage` in the request."""
    reports_usage: bool = True
    """False if no response of this endpoint reports usage."""
    returns_model: bool = True
    """False if no response contains the model; the requested model then decides the price."""
    defers_usage: bool = False
    """True if an endpoint with `reports_deferred_usage` may report a missing usage later, under the response's id."""
    reports_deferred_usage: bool = False
    """True if the endpoint returns the response of an earlier call. The usage counts only while that of the earlier call
    is pending.
    """
    billed: bool = True
    """False if calls are free: their records have neither usage nor cost."""
    non_json: bool = False
    """True if a response may be plain text or media. A record keeps only type and size of media."""
    billed_request: Callable[[Mapping[str, Any]], Usage] | None = None
    """Returns the billed part of a request's body, such as the characters of a text for the speech API."""


def parse_body(endpoint: Endpoint, body: bytes) -> ParsedResponse:
    """Parse a whole body: JSON, plain text, or server-sent events that the caller read as bytes."""
    unknown: UsageUnknown = "not_reported" if endpoint.non_json else "invalid_body"
    if body.lstrip().startswith(_EVENT_STARTS):
        return _parse_events(endpoint, body)
    try:
        decoded = decode(body)
    except ValueError:
        return ParsedResponse(usage_unknown=unknown, body=body.decode("utf-8", "replace"))
    if not isinstance(decoded, dict):
        return ParsedResponse(usage_unknown=unknown, body=str(decoded))
    return endpoint.parse(decoded)


def _parse_events(endpoint: Endpoint, body: bytes) -> ParsedResponse:
    accumulator = endpoint.accumulator()
    construct: Callable[..., Any] = endpoint.chunk_type.construct
    for event in _events(body):
        try:
            accumulator.add(construct(**event))
        except Exception:
            warn_sparsely("event", "an event of a stream could not be read", exc_info=True)
    return endpoint.parse(accumulator.body())


def _events(body: bytes) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in the data lines of a server-sent event stream."""
    for line in body.splitlines():
        if line.startswith(b"data:"):
            try:
                event = decode(line[5:])
            except ValueError:
                continue  # `[DONE]`, or a truncated last line
            if isinstance(event, dict):
                yield event


def count(value: object) -> int | None:
    """Return a value that is a count of tokens; `None` for any other, such as a negative number, fraction or text."""
    if type(value) is int:
        return value if 0 <= value <= _LARGEST_COUNT else None
    if type(value) is float and value.is_integer():
        return count(int(value))
    return None


def amount(value: object) -> float | None:
    """Return a finite number of zero or more, such as seconds or USD; `None` for any other value."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number and 0 <= value < math.inf else None  # type: ignore[arg-type, operator]  # it is one


def text(value: object) -> str | None:
    """Return a non-empty text; `None` for any other value."""
    return value if isinstance(value, str) and value else None


def dictionary(value: object) -> Mapping[str, Any]:
    """Return a dictionary itself; an empty mapping for any other value."""
    return value if isinstance(value, dict) else NOTHING

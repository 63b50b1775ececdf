"""The types that all endpoints share, and the parsing of a whole body."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, Protocol

from openai import BaseModel

from monitored_openai._json import decode
from monitored_openai._logging import warn_sparsely
from monitored_openai._record import NOTHING, Cost, Usage, UsageUnknown

_EVENT_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_LARGEST_COUNT = 2**53
"""A larger JSON number is not exact, and no count of tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedResponse:
    """The facts in one response; ``None`` for a fact that it does not contain."""

    model: str | None = None
    id: str | None = None
    service_tier: str | None = None
    finish_reasons: tuple[str, ...] = ()
    usage: Usage | None = None
    usage_unknown: UsageUnknown | None = None
    body: Mapping[str, Any] | str | None = None
    error_code: str | None = None
    """The code of an error in a response with a good status; `None` if it contains no error."""
    error_message: str | None = None
    finished: bool = True
    """False if a later response with this id may differ."""
    unpriced: str | None = None
    """The reason why the response cannot be priced even if its usage is known."""
    cost: Cost | None = None
    """The cost, if it is known before pricing."""
    provider_cost: float | None = None
    """The cost that the server reports, in the server's own unit."""


BACKGROUND: Literal["background"] = "background"
"""The reason for an unknown usage and cost of a response that the server still generates in the background."""


class StreamAccumulator(Protocol):
    """Collects the chunks of one stream."""

    def add(self, chunk: Any) -> bool | None:
        """Add one chunk; true if it contains nothing but the usage, `None` if it precedes the first output.

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
    """One endpoint of the API: its path, its operation name, and the parsing of its responses."""

    path: str
    """The path as in the SDK, with a name in braces for each variable part: `/responses/{response_id}`."""
    operation: str
    """OpenTelemetry's `gen_ai.operation.name`."""
    _: KW_ONLY
    method: Literal["get", "post"] = "post"
    parse: Callable[[Mapping[str, Any]], ParsedResponse]
    accumulator: Callable[[], StreamAccumulator]
    chunk_type: type[BaseModel] = BaseModel
    """The SDK's type of a stream's chunks."""
    usage_on_request: bool = False
    """Its streams report usage only if the request has `stream_options.include_usage`."""
    reports_usage: bool = True
    """False if no response of this endpoint ever reports usage."""
    returns_model: bool = True
    """False if no response names the model; calls are then priced by the requested model."""
    defers_usage: bool = False
    """A missing usage may be reported later under the response's id, by an endpoint that `reports_deferred_usage`."""
    reports_deferred_usage: bool = False
    """Its responses repeat a response that another call started; their usage counts only while it is pending."""
    billed: bool = True
    """False if calls are free, so that they have neither usage nor cost."""
    non_json: bool = False
    """Its responses may be plain text, or media. Only type and size of media are kept."""
    billed_request: Callable[[Mapping[str, Any]], Usage] | None = None
    """Returns the billed part of a request's body, such as the characters of a text to be spoken."""


def parse_body(endpoint: Endpoint, body: bytes) -> ParsedResponse:
    """Parse a whole body: JSON, plain text, or the server-sent events of a stream that the caller read as bytes."""
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
    """Return a count of tokens; `None` for any other value, such as a negative number, a text or a fraction."""
    if type(value) is int:
        return value if 0 <= value <= _LARGEST_COUNT else None
    if type(value) is float and value.is_integer():
        return count(int(value))
    return None


def amount(value: object) -> float | None:
    """Return a length or a sum of money; `None` for a value that is neither."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number and 0 <= value < math.inf else None  # type: ignore[arg-type, operator]  # it is one


def text(value: object) -> str | None:
    """Return a non-empty text; `None` for any other value."""
    return value if isinstance(value, str) and value else None


def dictionary(value: object) -> Mapping[str, Any]:
    """Return a dictionary itself; an empty mapping for any other value."""
    return value if isinstance(value, dict) else NOTHING

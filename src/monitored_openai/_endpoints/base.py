"""What a family of endpoints reads out of its bodies, in the terms that all families share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from monitored_openai._json import decode
from monitored_openai._logging import warn_sparsely
from monitored_openai._record import NOTHING, Cost, Usage, UsageUnknown

_EVENT_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_LARGEST_COUNT = 2**53
"""Above this a JSON number is no longer exact, and no count of tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedResponse:
    """What one response said; ``None`` where it did not."""

    model: str | None = None
    id: str | None = None
    service_tier: str | None = None
    finish_reasons: tuple[str, ...] = ()
    usage: Usage | None = None
    usage_unknown: UsageUnknown | None = None
    body: Mapping[str, Any] | str | None = None
    error_code: str | None = None
    """What went wrong, in a response that came with a good status; `None` when nothing did."""
    error_message: str | None = None
    finished: bool = True
    """Whether it will not change any more."""
    unpriced: str | None = None
    """Why it cannot be priced, however well its usage is known."""
    cost: Cost | None = None
    """What it cost, where that is known already."""
    provider_cost: float | None = None
    """What the server says that it cost, in a unit of its own."""


BACKGROUND: Literal["background"] = "background"
"""Why neither usage nor cost is known of a response that is still being made in the background."""


class StreamAccumulator(Protocol):
    """What the chunks of one stream have added up to so far."""

    def add(self, chunk: Any) -> bool | None:
        """Take in one chunk; true when it adds nothing but the usage, `None` when the answer has not begun by it.

        On the caller's thread: cheap.
        """
        ...

    def size(self) -> int:
        """About how many bytes of content are kept."""
        ...

    def body(self) -> dict[str, Any]:
        """The chunks put together, in the shape of the body of an unstreamed response."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One kind of call: where it goes, what the conventions call it, and how its bodies are read."""

    path: str
    """As the SDK has it, with a name in braces for each part that differs: `/responses/{response_id}`."""
    method: Literal["get", "post"] = "post"
    operation: str
    answer: Callable[[Mapping[str, Any]], ParsedResponse]
    chunks: Callable[[], StreamAccumulator]
    chunk_type: Any
    injects_usage: bool = False
    """Whether its streams report usage only when `stream_options.include_usage` asks for it."""
    tells_usage: bool = True
    """Whether any of its responses may; where none does, that one does not is no news."""
    names_model: bool = True
    """Whether its responses name the model; where they never do, the one asked for is what was billed."""
    owes: bool = False
    """Whether what a response leaves out may be told later, under its id, by a family that `repeats`."""
    repeats: bool = False
    """Whether it tells of a response that another call began: what was used counts if it is still owed."""
    billed: bool = True
    """Whether it costs anything; where it does not, neither usage nor cost is missed."""
    unstructured: bool = False
    """Whether its answers may be plain text, or media, of which only the type and the size are kept."""
    asked: Callable[[Mapping[str, Any]], Usage] | None = None
    """What of a request's body is itself billed, such as the characters of a text that is to be spoken."""


def read_body(family: Endpoint, body: bytes) -> ParsedResponse:
    """Read a whole response: JSON, or the server-sent events of a stream that the caller read as bytes, or plain text."""
    unknown: UsageUnknown = "not_reported" if family.unstructured else "invalid_body"
    if body.lstrip().startswith(_EVENT_STARTS):
        return _read_events(family, body)
    try:
        decoded = decode(body)
    except ValueError:
        return ParsedResponse(usage_unknown=unknown, body=body.decode("utf-8", "replace"))
    if not isinstance(decoded, dict):
        return ParsedResponse(usage_unknown=unknown, body=str(decoded))
    return family.answer(decoded)


def _read_events(family: Endpoint, body: bytes) -> ParsedResponse:
    chunks = family.chunks()
    construct: Callable[..., Any] = family.chunk_type.construct
    for event in _events(body):
        try:
            chunks.add(construct(**event))
        except Exception:
            warn_sparsely("event", "an event of a stream could not be read", exc_info=True)
    return family.answer(chunks.body())


def _events(body: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects in the data lines of a server-sent event stream."""
    for line in body.splitlines():
        if line.startswith(b"data:"):
            try:
                event = decode(line[5:])
            except ValueError:
                continue  # `[DONE]`, or a torn last line
            if isinstance(event, dict):
                yield event


def count(value: object) -> int | None:
    """A count of tokens, or `None` for what cannot be one: null, negative, a text, a fraction, beyond 2**53."""
    if type(value) is int:
        return value if 0 <= value <= _LARGEST_COUNT else None
    if type(value) is float and value.is_integer():
        return count(int(value))
    return None


def amount(value: object) -> float | None:
    """A length or a sum of money, or `None` for what cannot be one."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number and 0 <= value < math.inf else None  # type: ignore[arg-type, operator]  # it is one


def text(value: object) -> str | None:
    """A non-empty text, or `None`."""
    return value if isinstance(value, str) and value else None


def dictionary(value: object) -> Mapping[str, Any]:
    """The dictionary itself, or an empty one for anything else."""
    return value if isinstance(value, dict) else NOTHING

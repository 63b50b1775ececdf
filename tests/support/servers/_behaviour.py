"""The fake API's behaviour for one request: a plain value, sent with the request or scripted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

HEADER = "x-fake"
BODY_KEY = "x_fake"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What is odd about an answer; the default is nothing.

    A request carries it as ``extra_headers=behaviour.header()`` or ``extra_body=behaviour.extra_body()``.
    """

    status: int = 200
    """From 400 on: an error in the API's form, unless ``body`` is given."""
    times: int | None = None
    """Only for the first so many attempts, told by the SDK's ``x-stainless-retry-count``; the next one is normal."""
    headers: Mapping[str, str] | None = None
    """Set on top of the usual ones."""
    body: str | bytes | None = None
    """Sent as it is instead of an answer (bytes only in a script)."""
    content_type: str = "application/json"
    """Of ``body``."""
    gzip: bool = False
    """Compress the body of a plain answer."""
    reset: bool = False
    """Reset the connection instead of answering."""
    hold: str | None = None
    """Name of the gate (``server.gate(name)``) at which to wait, before the answer or ``after`` so many chunks."""
    after: int | None = None
    """Chunks sent before ``hold``, ``drop`` or ``error_event``; if not given, one; for ``hold`` not even the head."""
    drop: bool = False
    """Close the connection in the middle: of a stream ``after`` chunks, of a plain answer half-way."""
    error_event: bool = False
    """Send an error as an event of the stream ``after`` chunks, and end it."""
    done: bool = True
    """Whether a stream ends with ``[DONE]``; that of a response, whether it ends with the event that has it all."""
    comments: bool = False
    """Put a keep-alive comment before each event."""
    chunks: int | None = None
    """Content chunks per choice in a stream; three when not given."""
    usage_everywhere: bool = False
    """Put a growing usage into every chunk, asked for or not."""
    stream_options: int | None = None
    """Refuse requests that have ``stream_options``: 400 by naming it, 422 vaguely."""
    patch: Mapping[str, Any] | None = None
    """Top-level fields of the answer (of each chunk; ``usage`` only where there is one) to replace or add."""
    omit: tuple[str, ...] = ()
    """Top-level fields to leave out."""
    message: Mapping[str, Any] | None = None
    """Fields of each message, or of each choice's first content delta, to replace or add."""
    finish_reason: str | None = None
    refusal: str | None = None
    """Refuse, with this text, instead of answering."""
    fails: str | None = None
    """A response says, in a reply with a good status, that it failed with this code."""
    azure: bool | None = None
    """Azure's first chunk (no choices, ``prompt_filter_results``); by the path when not given."""

    def header(self) -> dict[str, str]:
        """The request header that asks for this."""
        return {HEADER: json.dumps(self._set())}

    def extra_body(self) -> dict[str, Any]:
        """The field of the request's body that asks for this."""
        return {BODY_KEY: self._set()}

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """The inverse of ``header`` and ``extra_body``."""
        values: dict[str, Any] = {**given, "omit": tuple(given.get("omit", ()))}
        return cls(**values)

    def _set(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {field.name: values[field.name] for field in fields(self) if values[field.name] != field.default}

"""The record of a call and its parts: frozen values that the whole package uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

ErrorType = Literal[
    "bad_request",
    "authentication",
    "permission_denied",
    "not_found",
    "conflict",
    "unprocessable_entity",
    "rate_limit",
    "server_error",
    "timeout",
    "connection",
    "invalid_response",
    "length_limit",
    "content_filter",
    "cancelled",
    "abandoned",
    "other",
]
"""The types of errors; the values of the metric label ``error_type``."""

UsageUnknown = (
    Literal["not_reported", "never_told", "invalid", "invalid_body", "unreadable", "not_read", "background"] | ErrorType
)
"""The reasons for unknown tokens; the values of the metric label ``reason``."""

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The tokens of one call as the API reported them; ``None`` means not reported.

    Counts with a longer name are parts of ``input_tokens`` or ``output_tokens``, never additions to them.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_cached_tokens: int | None = None
    input_cache_write_tokens: int | None = None
    input_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    output_audio_tokens: int | None = None
    output_reasoning_tokens: int | None = None
    output_accepted_prediction_tokens: int | None = None
    output_rejected_prediction_tokens: int | None = None
    output_image_tokens: int | None = None
    input_seconds: float | None = None
    """Seconds of audio, if the API bills by them."""
    input_characters: int | None = None
    """Characters of a text to be spoken, counted in the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of one call in USD, in disjoint parts: ``input_usd`` is the uncached input only."""

    input_usd: float
    input_cached_usd: float
    output_usd: float
    cache_savings_usd: float
    """The difference to the cost of the cached input at the uncached rate."""

    @property
    def total_usd(self) -> float:
        """The sum of the parts."""
        return self.input_usd + self.input_cached_usd + self.output_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One finished call: its request, response, durations, usage and cost.

    ``None`` means unknown, never zero. Durations are seconds, times are nanoseconds since the epoch.
    """

    id: str
    """Unique to this call, also across processes and hosts."""
    operation: str
    """OpenTelemetry's ``gen_ai.operation.name``: ``chat``, ``text_completion``, ..."""
    provider: str
    """OpenTelemetry's ``gen_ai.provider.name``: ``openai``, ``azure.ai.openai``, ..."""
    server: str
    """Host (and port, when given) of the client's base URL; no user name, path or query."""
    request_model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    request_id: str | None = None
    """The ``x-request-id`` header, by which the provider's support finds the request."""

    started_ns: int
    ended_ns: int
    duration: float
    """Seconds from the call to the last byte received, without the caller's own time between chunks."""
    streamed: bool = False
    time_to_first_chunk: float | None = None
    chunk_intervals: Sequence[float] = ()
    """Seconds waited for each chunk after the first."""
    chunks: int | None = None
    """Chunks received, without the hidden usage chunk; ``None`` if not streamed."""

    error_type: ErrorType | None = None
    error_message: str | None = None
    http_status: int | None = None
    retries: int | None = None
    """Number of retries by the SDK."""

    finish_reasons: tuple[str, ...] = ()
    service_tier: str | None = None
    """The tier in the response, which may differ from the requested one."""
    usage: Usage | None = None
    usage_unknown: UsageUnknown | None = None
    """The reason why ``usage`` is ``None``: ``not_reported``, ``invalid``, ``not_read``, or the type of the error."""
    cost: Cost | None = None
    unpriced: str | None = None
    """The reason why ``cost`` is ``None``: ``unknown_model``, ``usage_unknown``, ..."""
    provider_cost: float | None = None
    """The cost that the response reports (OpenRouter does so); never part of ``cost``."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """The rate-limit headers and ``openai-processing-ms``, ``openai-organization``, ``openai-project``."""
    request: Mapping[str, Any] | None = None
    """The body of the request as sent; ``None`` if content is not captured."""
    response: Mapping[str, Any] | str | None = None
    """The body of the response, merged if streamed; ``None`` if content is not captured or no body arrived."""
    content_captured: bool = True
    attributes: Mapping[str, str] = field(default_factory=dict)
    identifiers: Mapping[str, Any] = field(default_factory=dict)
    """The request's ``user``, ``safety_identifier``, ``prompt_cache_key`` and ``metadata``, with or without content."""
    trace_id: str | None = None
    span_id: str | None = None

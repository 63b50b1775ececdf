"""What one call to the API was: frozen values that every other part of the package speaks."""

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
"""Every way a call can fall short; the values of the metric label ``error_type``."""

UsageUnknown = (
    Literal["not_reported", "never_told", "invalid", "invalid_body", "unreadable", "not_read", "background"] | ErrorType
)
"""Every way not to know the tokens of a call; the values of the metric label ``reason``."""

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The tokens of one call as the API reported them; what it did not report is ``None``.

    The counts of tokens with a longer name are parts of ``input_tokens`` or ``output_tokens``, never additions to them.
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
    """Of audio, where that is what the API bills."""
    input_characters: int | None = None
    """Of the text to be spoken; not reported by the API, but counted in what it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one call cost in USD, in disjoint parts: ``input_usd`` is the uncached input only."""

    input_usd: float
    input_cached_usd: float
    output_usd: float
    cache_savings_usd: float
    """What the cached input would have cost more at the uncached rate."""

    @property
    def total_usd(self) -> float:
        """The sum of the parts."""
        return self.input_usd + self.input_cached_usd + self.output_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One finished call: what was asked, what came back, how long it took, what it cost.

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
    """The ``x-request-id`` header, which the provider's support asks for."""

    started_ns: int
    ended_ns: int
    duration: float
    """From the call to the last byte received, without the time the caller spent between chunks."""
    streamed: bool = False
    time_to_first_chunk: float | None = None
    chunk_intervals: Sequence[float] = ()
    """Time waited for each chunk after the first."""
    chunks: int | None = None
    """Chunks received, the hidden usage chunk not counted; ``None`` when not streamed."""

    error_type: ErrorType | None = None
    error_message: str | None = None
    http_status: int | None = None
    retries: int | None = None
    """How often the SDK sent the request again."""

    finish_reasons: tuple[str, ...] = ()
    service_tier: str | None = None
    """As the response named it, not as the request wished it."""
    usage: Usage | None = None
    usage_unknown: UsageUnknown | None = None
    """Why ``usage`` is ``None``: ``not_reported``, ``invalid``, ``not_read``, or the error that kept it away."""
    cost: Cost | None = None
    unpriced: str | None = None
    """Why ``cost`` is ``None``: ``unknown_model``, ``usage_unknown``, ..."""
    provider_cost: float | None = None
    """What the reply itself says that the call cost (OpenRouter does so); never part of ``cost``."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """The rate-limit headers and ``openai-processing-ms``, ``openai-organization``, ``openai-project``."""
    request: Mapping[str, Any] | None = None
    """The request's body as it was sent; ``None`` when content is not kept."""
    response: Mapping[str, Any] | str | None = None
    """The answer's body (a stream's chunks put together); ``None`` when content is not kept or nothing came."""
    content_captured: bool = True
    attributes: Mapping[str, str] = field(default_factory=dict)
    identifiers: Mapping[str, Any] = field(default_factory=dict)
    """The request's own ``user``, ``safety_identifier``, ``prompt_cache_key`` and ``metadata``, content kept or not."""
    trace_id: str | None = None
    span_id: str | None = None

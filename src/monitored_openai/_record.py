"""The record of a call and its parts, as frozen values that the whole package uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from monitored_openai._frozen import quick_init

ErrorType = Literal[
    "bad_request",
    "context_length_exceeded",
    "authentication",
    "invalid_api_key",
    "permission_denied",
    "not_found",
    "model_not_found",
    "conflict",
    "unprocessable_entity",
    "rate_limit",
    "insufficient_quota",
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
"""Types of errors; the values of the metric label ``error_type``."""

UsageUnknown = (
    Literal[
        "not_reported",
        "never_told",
        "invalid",
        "total_mismatch",
        "zero_usage",
        "invalid_body",
        "unreadable",
        "not_read",
        "background",
    ]
    | ErrorType
)
"""Reasons for unknown tokens; the values of the metric label ``reason``."""

ApiType = Literal["chat_completions", "responses"]
"""OpenTelemetry's ``openai.api.type``; distinguishes the two APIs with the operation ``chat``."""

NOTHING: Mapping[str, Any] = MappingProxyType({})
"""An empty mapping that no code can change."""


@quick_init
@dataclass(frozen=True, kw_only=True)
class Usage:
    """The tokens of one call as the response reports them; ``None`` means not reported, never zero.

    ``input_tokens`` and ``output_tokens`` include all other token counts, so never add another count to them.
    """

    input_tokens: int | None = None
    """All tokens of the input, including cached, audio and image tokens."""
    output_tokens: int | None = None
    """All tokens of the output, including reasoning, audio and image tokens."""
    input_cached_tokens: int | None = None
    """Input tokens that the server read from its prompt cache."""
    input_cache_write_tokens: int | None = None
    """Input tokens that the server wrote to its prompt cache."""
    input_cache_write_12h_tokens: int | None = None
    """The part of ``input_cache_write_tokens`` that the server keeps for 12 hours."""
    input_audio_tokens: int | None = None
    """Input tokens that encode audio."""
    input_image_tokens: int | None = None
    """Input tokens that encode images."""
    output_audio_tokens: int | None = None
    """Output tokens that encode audio."""
    output_reasoning_tokens: int | None = None
    """Output tokens that the model used for reasoning."""
    output_accepted_prediction_tokens: int | None = None
    """Tokens of the request's ``prediction`` that appear in the output."""
    output_rejected_prediction_tokens: int | None = None
    """Tokens of the request's ``prediction`` that do not appear in the output."""
    output_image_tokens: int | None = None
    """Output tokens that encode images."""
    input_seconds: float | None = None
    """Seconds of input audio, if the API bills audio by its length."""
    input_characters: int | None = None
    """Characters of the text that the speech API speaks. The library counts them in the request."""


CostSource = Literal["table", "settings", "reply"]
"""Sources of a cost: the published price table, the user's own prices, or the charge in the response."""

CostIncomplete = Literal["tool_fee", "unit", "residency", "retention", "deployment", "own_price"]
"""Reasons for an incomplete cost; the values of the metric label ``reason``.

- ``tool_fee``: a hosted tool without a known price or count.
- ``unit``: another billed unit without a known price or count.
- ``residency``: the host's region may cost more, by an unknown factor.
- ``retention``: the server keeps cached tokens for 12 hours; their price is unknown, or their number is not reported.
- ``deployment``: the type of an Azure deployment is unknown, or the price of the model is not certain for this type.
- ``own_price``: the setting ``prices`` has no price for a kind that the call used.
"""


@quick_init
@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of one call in USD, in disjoint parts.

    The cost is the charge that the response reports, if any. Otherwise it comes from the settings ``prices`` and
    ``prices_file`` or, for a model without own prices, from the published prices.
    """

    input_usd: float = 0.0
    """USD for the uncached text of the input, and for audio or text that the API bills by its length."""
    input_cached_usd: float = 0.0
    """USD for the cached input."""
    cache_write_usd: float = 0.0
    """USD for the input that the server wrote to its prompt cache."""
    audio_usd: float = 0.0
    """USD for audio tokens of the input and the output."""
    image_usd: float = 0.0
    """USD for images of the input and the output, if they have their own price."""
    output_usd: float = 0.0
    """USD for the output, including reasoning, without audio and images that have their own price."""
    tool_usd: float = 0.0
    """USD for hosted tools, such as web searches and containers."""
    charge_usd: float = 0.0
    """USD that the response reports as its charge, without parts."""
    cache_savings_usd: float = 0.0
    """USD that the cache saved: the price of the cached input at the uncached rate, minus ``input_cached_usd``. No part of
    the total.
    """
    source: CostSource = "table"
    """The source of the prices."""
    incomplete: tuple[CostIncomplete, ...] = ()
    """Reasons why the call may cost more than ``total_usd``; empty if the cost is complete."""

    @property
    def total_usd(self) -> float:
        """USD for the whole call: the sum of all parts, which is a lower bound if ``incomplete`` is not empty."""
        tokens = self.input_usd + self.input_cached_usd + self.cache_write_usd + self.audio_usd + self.image_usd
        return tokens + self.output_usd + self.tool_usd + self.charge_usd

    def by_kind(self) -> dict[str, float]:
        """Return the USD of each part, by the part's value of the metric label ``kind``."""
        return {
            "input": self.input_usd,
            "input_cached": self.input_cached_usd,
            "cache_write": self.cache_write_usd,
            "audio": self.audio_usd,
            "image": self.image_usd,
            "output": self.output_usd,
            "tool": self.tool_usd,
            "charge": self.charge_usd,
        }

    def __add__(self, other: Cost) -> Cost:
        """Return the sum of two costs; it has the source of the first and all reasons for an incomplete cost."""
        return Cost(
            input_usd=self.input_usd + other.input_usd,
            input_cached_usd=self.input_cached_usd + other.input_cached_usd,
            cache_write_usd=self.cache_write_usd + other.cache_write_usd,
            audio_usd=self.audio_usd + other.audio_usd,
            image_usd=self.image_usd + other.image_usd,
            output_usd=self.output_usd + other.output_usd,
            tool_usd=self.tool_usd + other.tool_usd,
            charge_usd=self.charge_usd + other.charge_usd,
            cache_savings_usd=self.cache_savings_usd + other.cache_savings_usd,
            source=self.source,
            incomplete=tuple(dict.fromkeys((*self.incomplete, *other.incomplete))),
        )


@quick_init
@dataclass(frozen=True, kw_only=True)
class CallRecord:
    """One finished call: its request, response, durations, usage and cost.

    ``None`` means unknown or absent, never zero. Durations are in seconds, times in nanoseconds since the epoch.
    """

    id: str
    """Identifier of the call, unique across processes and hosts."""
    operation: str
    """OpenTelemetry's ``gen_ai.operation.name``: ``chat``, ``text_completion``, ..."""
    api_type: ApiType | None = None
    """OpenTelemetry's ``openai.api.type``; ``None`` for APIs other than chat completions and Responses."""
    provider: str
    """OpenTelemetry's ``gen_ai.provider.name``: ``openai``, ``azure.ai.openai``, ..."""
    server: str
    """Host of the client's base URL, with the port if the URL has one; no user name, path or query."""
    request_model: str | None = None
    """The model in the request."""
    response_model: str | None = None
    """The model in the response, which may be more specific, such as a dated version."""
    response_id: str | None = None
    """The id in the response's body."""
    request_id: str | None = None
    """The response's ``x-request-id`` header, by which the provider's support finds the request."""

    started_ns: int
    """Time of the call's start, in nanoseconds since the epoch."""
    ended_ns: int
    """Time of the call's end, in nanoseconds since the epoch."""
    duration: float
    """Seconds from the start to the last byte received, without the time that the caller spent between chunks."""
    streamed: bool = False
    """True if the request asked for a stream."""
    time_to_first_chunk: float | None = None
    """Seconds from the start to the first chunk with output; ``None`` if no such chunk arrived."""
    chunk_intervals: Sequence[float] = ()
    """Seconds that the caller waited for each chunk after the first."""
    chunks: int | None = None
    """Number of chunks, except events before the first output and a usage chunk that the library hides from the caller;
    ``None`` if not streamed.
    """

    error_type: ErrorType | None = None
    """The type of the error; ``None`` if the call succeeded."""
    error_message: str | None = None
    """The message of the error. If content is not captured: the class and the code of an exception, or only the code of an
    error that a response contains.
    """
    api_error: Mapping[str, str] = field(default_factory=dict)
    """The fields ``code``, ``type`` and ``param`` of the API's error, and ``reason``: a more specific code inside the
    error, such as that of Azure's content filter. Present even if content is not captured. Empty if the API reported no
    error.
    """
    http_status: int | None = None
    """The HTTP status of the response; ``None`` if no response arrived."""
    retries: int | None = None
    """Number of times that the SDK sent the request again."""

    finish_reasons: tuple[str, ...] = ()
    """The reason why each choice of the response ended, such as ``stop``, or the status of the response."""
    service_tier: str | None = None
    """The tier in the response, which may differ from the requested one."""
    usage: Usage | None = None
    """The tokens that the response reports. ``None`` if they are unknown, if the API answered with an error status, if the
    endpoint is free, or if the record of another call has them.
    """
    usage_unknown: UsageUnknown | None = None
    """The reason for an unknown ``usage``: ``not_reported``, ``invalid``, ``not_read``, ..., or an error type."""
    cost: Cost | None = None
    """The cost in USD. ``None`` if it is unknown, if the API answered with an error status, if the endpoint is free, or if
    the record of another call has the cost.
    """
    unpriced: str | None = None
    """The reason for an unknown ``cost``: ``unknown_model``, ``usage_unknown``, ..."""
    tool_calls: Mapping[str, int] = field(default_factory=dict)
    """The number of calls of each kind of tool in the response; ``other`` for unknown kinds."""
    provider_cost: float | None = None
    """The number ``usage.cost`` in the response, in the server's unit.

    If the provider documents that the unit is the US dollar, ``cost`` contains this amount too, with the source ``reply``.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    """The response's rate-limit headers, ``openai-processing-ms``, ``openai-organization`` and ``openai-project``."""
    request: Mapping[str, Any] | None = None
    """The body of the request, without the fields that the library added. Each file is replaced by its description.

    ``None`` if content is not captured.
    """
    response: Mapping[str, Any] | str | None = None
    """The body of the response; for a stream, the body that its chunks form together.

    Media are replaced by their type and size, and vectors by their lengths. ``None`` if content is not captured or no body
    arrived.
    """
    content_captured: bool = True
    """False if the setting ``capture_content`` or a block ``no_content`` keeps the content out of the record."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """The attributes from blocks ``attributes`` and from ``with_attributes``, by name."""
    identifiers: Mapping[str, Any] = field(default_factory=dict)
    """The request's ``user``, ``safety_identifier``, ``prompt_cache_key``, ``metadata``, ``conversation`` and
    ``previous_response_id``, and ``prompt_id`` and ``prompt_version`` of its ``prompt``, even without content.
    """
    trace_id: str | None = None
    """The id of OpenTelemetry's current trace at the start, as 32 hexadecimal digits."""
    span_id: str | None = None
    """The id of OpenTelemetry's current span at the start, as 16 hexadecimal digits."""

"""Every metric: name, type, help text, own labels and histogram bounds. All other modules import them from here.

Names, label names and bounds follow OpenTelemetry's GenAI conventions in their Prometheus form where the conventions
define them. Names and labels are public API.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SECONDS = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
    *(163.84, 327.68, 655.36),
)
"""The conventions' bounds up to 81.92 s, and three more because calls to reasoning models take longer."""
CHUNK_SECONDS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 2.56)
TOKENS = tuple(float(4**power) for power in range(14))

CALL_LABELS = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
"""Labels of each metric of the calls, besides the attributes that the setting `label_names` allows."""


@dataclass(frozen=True, slots=True, eq=False)  # compared and hashed by identity
class Metric:
    """The definition of one metric."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    """Labels of its own, besides those that all metrics of its group share."""
    bounds: tuple[float, ...] = ()

    @property
    def bucket(self) -> str:
        """The name of a histogram's bucket series."""
        return f"{self.name}_bucket"

    @property
    def sum(self) -> str:
        """The name of a histogram's sum series."""
        return f"{self.name}_sum"

    @property
    def count(self) -> str:
        """The name of a histogram's count series."""
        return f"{self.name}_count"

    @property
    def series_names(self) -> tuple[str, ...]:
        """The names of its series."""
        return (self.bucket, self.sum, self.count) if self.type == "histogram" else (self.name,)


_RESPONSE_MODEL = ("gen_ai_response_model",)

DURATION = Metric(
    "gen_ai_client_operation_duration_seconds",
    "histogram",
    "Time from the call to the last byte received, without the time the caller spent between chunks.",
    ("error_type",),
    SECONDS,
)
TIME_TO_FIRST_CHUNK = Metric(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "histogram",
    "Time from the call to the first chunk of a streamed response.",
    bounds=SECONDS,
)
TIME_PER_OUTPUT_CHUNK = Metric(
    "gen_ai_client_operation_time_per_output_chunk_seconds",
    "histogram",
    "Time waited for each chunk of a streamed response after the first.",
    bounds=CHUNK_SECONDS,
)
TOKEN_USAGE = Metric(
    "gen_ai_client_token_usage",
    "histogram",
    "Tokens of one call, as the API reported them.",
    ("gen_ai_token_type",),
    TOKENS,
)
TOKENS_TOTAL = Metric(
    "gen_ai_client_tokens_total",
    "counter",
    "Tokens, as the API reported them.",
    (*_RESPONSE_MODEL, "gen_ai_token_type"),
)
TOKEN_DETAILS = Metric(
    "gen_ai_client_token_details_total",
    "counter",
    "Parts of the tokens: cached, audio, reasoning, ...",
    (*_RESPONSE_MODEL, "gen_ai_token_type"),
)
AUDIO_SECONDS = Metric(
    "gen_ai_client_audio_seconds_total", "counter", "Seconds of audio that the API billed.", _RESPONSE_MODEL
)
CHARACTERS = Metric(
    "gen_ai_client_characters_total", "counter", "Characters of text sent to the speech API.", _RESPONSE_MODEL
)
COST = Metric(
    "gen_ai_client_cost_usd_total",
    "counter",
    "Cost in USD; the kinds are disjoint and add up.",
    (*_RESPONSE_MODEL, "kind"),
)
SAVINGS = Metric(
    "gen_ai_client_cache_savings_usd_total",
    "counter",
    "Additional cost in USD of cached input at the full rate.",
    _RESPONSE_MODEL,
)
UNPRICED = Metric("gen_ai_client_unpriced_total", "counter", "Calls with unknown cost.", (*_RESPONSE_MODEL, "reason"))
USAGE_UNKNOWN = Metric(
    "gen_ai_client_usage_unknown_total",
    "counter",
    "Calls with an unknown number of tokens.",
    (*_RESPONSE_MODEL, "reason"),
)
RETRIES = Metric("gen_ai_client_retries_total", "counter", "Requests that the SDK sent again.", _RESPONSE_MODEL)
PROCESSING = Metric(
    "openai_processing_seconds",
    "histogram",
    "The server's own time for a response, as its header reports it; the rest of a call's duration is network, queueing "
    "and reading.",
    bounds=SECONDS,
)
ACTIVE = Metric("gen_ai_client_active_requests", "gauge", "Calls that have started and not ended.")

CALL_METRICS = (
    *(DURATION, TIME_TO_FIRST_CHUNK, TIME_PER_OUTPUT_CHUNK, TOKEN_USAGE, TOKENS_TOTAL, TOKEN_DETAILS),
    *(AUDIO_SECONDS, CHARACTERS),
    *(COST, SAVINGS, UNPRICED, USAGE_UNKNOWN, RETRIES, PROCESSING, ACTIVE),
)

_OF_LIMIT = ("organization", "project", "resource")
LIMIT = Metric(
    "openai_ratelimit_limit",
    "gauge",
    "Requests or tokens allowed until the reset, from the newest response.",
    _OF_LIMIT,
)
REMAINING = Metric(
    "openai_ratelimit_remaining",
    "gauge",
    "Requests or tokens left until the reset, from the newest response.",
    _OF_LIMIT,
)
RESET = Metric(
    "openai_ratelimit_reset_timestamp_seconds", "gauge", "Time at which the whole limit is available again.", _OF_LIMIT
)
RATE_LIMIT_METRICS = (LIMIT, REMAINING, RESET)

_SIGNAL = ("signal",)
PRODUCED = Metric(
    "monitored_openai_produced_total", "counter", "Calls observed (metrics), log entries due (logs).", _SIGNAL
)
DELIVERED = Metric(
    "monitored_openai_delivered_total",
    "counter",
    "Calls added to the counters (metrics), log entries accepted (logs).",
    _SIGNAL,
)
DROPPED = Metric(
    "monitored_openai_dropped_total",
    "counter",
    "Calls (metrics), log entries (logs), legacy samples (samples) and counter snapshots (totals) dropped, by reason.",
    (*_SIGNAL, "reason"),
)
QUEUED = Metric("monitored_openai_queued", "gauge", "Calls and log entries that wait in memory.", _SIGNAL)
IN_FLIGHT = Metric("monitored_openai_in_flight", "gauge", "Log entries in the current request.", _SIGNAL)
SPOOL_BYTES = Metric(
    "monitored_openai_spool_bytes", "gauge", "Size of the spool directory, which many processes may share."
)
FOLDED = Metric(
    "monitored_openai_folded_label_sets_total",
    "counter",
    "Updates counted under the label value `other`, and rate limits left out, because of `max_label_sets`.",
    _SIGNAL,
)
LAST_SUCCESS = Metric(
    "monitored_openai_last_success_timestamp_seconds", "gauge", "Time of the back end's last success.", _SIGNAL
)
PRICES_DATE = Metric("monitored_openai_prices_timestamp_seconds", "gauge", "Date of the price table.")
SEND_SECONDS = Metric(
    "monitored_openai_send_seconds", "histogram", "Duration of each request to a back end.", _SIGNAL, SECONDS
)
OWN_METRICS = (
    *(PRODUCED, DELIVERED, DROPPED, QUEUED, IN_FLIGHT, SPOOL_BYTES),
    *(FOLDED, LAST_SUCCESS, PRICES_DATE, SEND_SECONDS),
)

DOCTOR = Metric("monitored_openai_doctor_timestamp_seconds", "gauge", "Time of the test sample of `doctor`.")

_OF_LEGACY = ("source", "model")
LEGACY_PROMPT_TOKENS = Metric("openai_promptTokens", "gauge", "Prompt tokens of one call.", _OF_LEGACY)
LEGACY_COMPLETION_TOKENS = Metric("openai_completionTokens", "gauge", "Completion tokens of one call.", _OF_LEGACY)
LEGACY_TOTAL_TOKENS = Metric("openai_totalTokens", "gauge", "Prompt and completion tokens of one call.", _OF_LEGACY)
LEGACY_DURATION = Metric("openai_requestDuration", "gauge", "Duration of one call in seconds.", _OF_LEGACY)
LEGACY_COST = Metric("openai_usageCost", "gauge", "Cost of one call in USD.", _OF_LEGACY)
LEGACY_METRICS = (
    *(LEGACY_PROMPT_TOKENS, LEGACY_COMPLETION_TOKENS, LEGACY_TOTAL_TOKENS),
    *(LEGACY_DURATION, LEGACY_COST),
)
"""The predecessor's series: each successful call is one sample of each."""

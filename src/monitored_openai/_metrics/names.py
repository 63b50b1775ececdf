"""The definitions of all metrics: name, type, help text, labels and histogram bounds.

If OpenTelemetry's GenAI conventions define a name, a label or bounds, the metric has them in their Prometheus form.
Names and labels are public API.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SECONDS = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
    *(163.84, 327.68, 655.36),
)
"""The conventions' bounds up to 81.92 s, and three more, because calls to reasoning models take longer."""
CHUNK_SECONDS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 2.56)
TOKENS = tuple(float(4**power) for power in range(14))

INPUT_SIZES = ((1024, "1k"), (4096, "4k"), (16384, "16k"), (65536, "64k"), (262144, "256k"), (1048576, "1M"))
"""Upper bounds in tokens and values of the label `input_size`; `more` beyond them."""
FINISH_REASONS = frozenset(
    "stop length tool_calls function_call content_filter error"
    " completed failed cancelled incomplete max_output_tokens".split()
)
"""Values of the label `finish_reason`; `other` for any other text."""


@dataclass(frozen=True, slots=True, eq=False)  # compared and hashed by identity
class Metric:
    """The definition of one metric."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    """Its own labels, in addition to those that all metrics of its group have."""
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
    "Seconds from the start of a call to the last byte received, without the time that the caller spent between chunks.",
    ("error_type",),
    SECONDS,
)
TIME_TO_FIRST_CHUNK = Metric(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "histogram",
    "Seconds from the start of a call to the first chunk with output.",
    bounds=SECONDS,
)
TIME_PER_OUTPUT_CHUNK = Metric(
    "gen_ai_client_operation_time_per_output_chunk_seconds",
    "histogram",
    "Seconds that the caller waited for each chunk after the first.",
    bounds=CHUNK_SECONDS,
)
TOKEN_USAGE = Metric(
    "gen_ai_client_token_usage",
    "histogram",
    "Tokens of one call, as the response reports them.",
    ("gen_ai_token_type",),
    TOKENS,
)
TOKENS_TOTAL = Metric(
    "gen_ai_client_tokens_total",
    "counter",
    "Tokens, as the responses report them.",
    (*_RESPONSE_MODEL, "gen_ai_token_type"),
)
TOKEN_DETAILS = Metric(
    "gen_ai_client_token_details_total",
    "counter",
    "Parts of the input and output tokens: cached, audio, reasoning, ...",
    (*_RESPONSE_MODEL, "gen_ai_token_type"),
)
AUDIO_SECONDS = Metric(
    "gen_ai_client_audio_seconds_total",
    "counter",
    "Seconds of input audio that the API bills by its length.",
    _RESPONSE_MODEL,
)
CHARACTERS = Metric(
    "gen_ai_client_characters_total", "counter", "Characters of text sent to the speech API.", _RESPONSE_MODEL
)
COST = Metric(
    "gen_ai_client_cost_usd_total",
    "counter",
    "Cost in USD. The kinds are disjoint; their sum is the total.",
    (*_RESPONSE_MODEL, "kind"),
)
SAVINGS = Metric(
    "gen_ai_client_cache_savings_usd_total",
    "counter",
    "Savings in USD by the prompt cache: cached input at the uncached rate, minus its cost.",
    _RESPONSE_MODEL,
)
COST_INCOMPLETE = Metric(
    "gen_ai_client_cost_incomplete_total",
    "counter",
    "Calls that may cost more than the cost metric counts. A call with several reasons counts under the first.",
    (*_RESPONSE_MODEL, "reason"),
)
TOOL_CALLS = Metric(
    "gen_ai_client_tool_calls_total",
    "counter",
    "Calls of tools in the responses, by tool: hosted tools, and functions that the model requests.",
    (*_RESPONSE_MODEL, "tool"),
)
UNPRICED = Metric(
    "gen_ai_client_unpriced_total", "counter", "Calls with unknown cost, by reason.", (*_RESPONSE_MODEL, "reason")
)
USAGE_UNKNOWN = Metric(
    "gen_ai_client_usage_unknown_total",
    "counter",
    "Calls with unknown tokens, by reason.",
    (*_RESPONSE_MODEL, "reason"),
)
FINISHES = Metric(
    "gen_ai_client_finishes_total",
    "counter",
    "Finished choices of completions and finished responses, by the reason why they ended.",
    (*_RESPONSE_MODEL, "finish_reason"),
)
RETRIES = Metric("gen_ai_client_retries_total", "counter", "Retries by the SDK.", _RESPONSE_MODEL)
PROCESSING = Metric(
    "openai_processing_seconds",
    "histogram",
    "Seconds that the server spent on a response, as its header reports. The rest of a call's duration is network, "
    "queueing and reading.",
    bounds=SECONDS,
)
ACTIVE = Metric("gen_ai_client_active_requests", "gauge", "Calls in progress.")

REQUESTS = Metric("gen_ai_requests_total", "counter", "Calls, also those that failed.", ("error_type",))
INPUT_TOKENS = Metric(
    "gen_ai_usage_input_tokens_total",
    "counter",
    "Input tokens, as the responses report them.",
    _RESPONSE_MODEL,
)
OUTPUT_TOKENS = Metric(
    "gen_ai_usage_output_tokens_total",
    "counter",
    "Output tokens, as the responses report them.",
    _RESPONSE_MODEL,
)
USAGE_COST = Metric(
    "gen_ai_usage_cost_USD",
    "histogram",
    "Cost of one call in USD, for calls with a known cost.",
    bounds=(0.0001, 0.001, 0.01, 0.1, 1.0, 10.0),
)
TIME_TO_FIRST_TOKEN = Metric(
    "gen_ai_server_time_to_first_token_seconds",
    "histogram",
    "Seconds from the start of a call to the first chunk with output, as the client measures them.",
    bounds=SECONDS,
)
OTEL_GENAI_METRICS = (REQUESTS, INPUT_TOKENS, OUTPUT_TOKENS, USAGE_COST, TIME_TO_FIRST_TOKEN)
"""Metrics of the scheme `otel_genai`, under the names that Grafana Cloud's AI Observability and OpenLIT use."""

CALL_METRICS = (
    *(DURATION, TIME_TO_FIRST_CHUNK, TIME_PER_OUTPUT_CHUNK, TOKEN_USAGE, TOKENS_TOTAL, TOKEN_DETAILS),
    *(AUDIO_SECONDS, CHARACTERS),
    *(COST, COST_INCOMPLETE, SAVINGS, TOOL_CALLS, UNPRICED, USAGE_UNKNOWN, FINISHES, RETRIES, PROCESSING, ACTIVE),
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
    "openai_ratelimit_reset_timestamp_seconds", "gauge", "Time of the reset, which restores the whole limit.", _OF_LIMIT
)
RATE_LIMIT_METRICS = (LIMIT, REMAINING, RESET)

_SIGNAL = ("signal",)
PRODUCED = Metric(
    "monitored_openai_produced_total",
    "counter",
    "Calls that have ended (metrics), log entries created (logs), legacy samples created (samples).",
    _SIGNAL,
)
DELIVERED = Metric(
    "monitored_openai_delivered_total",
    "counter",
    "Calls added to the counters (metrics); log entries (logs) and legacy samples (samples) that the back end accepted.",
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
    "monitored_openai_spool_bytes", "gauge", "Size of the spool directory in bytes. Several processes may share it."
)
FOLDED = Metric(
    "monitored_openai_folded_label_sets_total",
    "counter",
    "Updates of metrics that count under the label value `other`, because the setting `max_label_sets` bounds the label "
    "sets. Label sets changed to `other` in the file of `host_dir`, and rate limits left out, also count here.",
    _SIGNAL,
)
LAST_SUCCESS = Metric(
    "monitored_openai_last_success_timestamp_seconds",
    "gauge",
    "Time of the last push that the back end accepted.",
    _SIGNAL,
)
PRICES_DATE = Metric(
    "monitored_openai_prices_timestamp_seconds",
    "gauge",
    "Date of the published prices of a provider that the process calls.",
    ("gen_ai_provider_name",),
)
SEND_SECONDS = Metric(
    "monitored_openai_send_seconds", "histogram", "Seconds of each request to a back end.", _SIGNAL, SECONDS
)
OWN_METRICS = (
    *(PRODUCED, DELIVERED, DROPPED, QUEUED, IN_FLIGHT, SPOOL_BYTES),
    *(FOLDED, LAST_SUCCESS, PRICES_DATE, SEND_SECONDS),
)

DOCTOR = Metric(
    "monitored_openai_doctor_timestamp_seconds", "gauge", "Time of the test sample that the command `doctor` pushes."
)

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
"""The predecessor's series. A call adds one sample to each series for which its value is known."""

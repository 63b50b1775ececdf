"""Reads the usage in a response, in the field names of OpenAI and of compatible servers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from monitored_openai._endpoints.base import amount, count, dictionary, text
from monitored_openai._record import Usage, UsageUnknown

INPUT = ("prompt_tokens", "input_tokens")
OUTPUT = ("completion_tokens", "output_tokens")
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details", "output_token_details")
_CACHED = ("prompt_cache_hit_tokens", "cached_tokens")
"""Names of DeepSeek and Moonshot at the top level of the usage; both are part of the input."""
_WRITTEN = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
_LONGEST_SECONDS = 10**9


class ReportedUsage(NamedTuple):
    """The usage in a response, or the reason why it is unknown."""

    usage: Usage | None
    unknown: UsageUnknown | None
    if_thinking: Usage | None = None
    """The usage if the tokens that only `total_tokens` counts are the model's thinking; only some servers count so."""


class _Counts:
    """Reads counts, and remembers an absurd one: a negative number, a fraction, a text or one beyond the limit."""

    def __init__(self) -> None:
        self.absurd = False

    def first(self, fields: Mapping[str, Any], *names: str) -> int | None:
        """Return the first count other than zero, else zero if the server reports it, else `None`."""
        found: int | None = None
        for name in names:
            if (value := fields.get(name)) is None:
                continue
            number = count(value)
            self.absurd = self.absurd or number is None
            if number:
                return number
            found = number
        return found


def read_usage(reported: object) -> ReportedUsage:
    """Read a usage by tokens or by seconds. One absurd count makes the whole usage unknown."""
    if reported is None:
        return ReportedUsage(None, "not_reported")
    fields = dictionary(reported)
    if fields.get("type") == "duration":
        seconds = amount(fields.get("seconds"))
        known = seconds is not None and seconds <= _LONGEST_SECONDS
        return ReportedUsage(Usage(input_seconds=seconds), None) if known else ReportedUsage(None, "invalid")
    counts = _Counts()
    usage, total = _by_tokens(fields, counts), counts.first(fields, "total_tokens")
    if counts.absurd or (usage.input_tokens is None and usage.output_tokens is None):
        return ReportedUsage(None, "invalid")
    missing = 0 if total is None else total - (usage.input_tokens or 0) - (usage.output_tokens or 0)
    reasoning = usage.output_reasoning_tokens or 0
    if missing == 0:
        return ReportedUsage(usage, None)
    whole = dataclasses.replace(
        usage, output_tokens=(usage.output_tokens or 0) + missing, output_reasoning_tokens=reasoning or missing
    )
    if missing == reasoning:  # xAI reports the reasoning beside the output
        return ReportedUsage(whole, None)
    return ReportedUsage(None, "total_mismatch", whole if missing > 0 and not reasoning else None)


def _by_tokens(fields: Mapping[str, Any], counts: _Counts) -> Usage:
    of_input, of_output = _details(fields, _INPUT_DETAILS), _details(fields, _OUTPUT_DETAILS)
    cached = counts.first(of_input, "cached_tokens")
    return Usage(
        input_tokens=counts.first(fields, *INPUT),
        output_tokens=counts.first(fields, *OUTPUT),
        input_cached_tokens=counts.first(fields, *_CACHED) if cached is None else cached,
        input_cache_write_tokens=counts.first(of_input, *_WRITTEN),
        input_cache_write_12h_tokens=counts.first(
            dictionary(of_input.get("cache_write_tokens_details")), "ttl_12h_tokens"
        ),
        input_audio_tokens=counts.first(of_input, "audio_tokens"),
        input_image_tokens=counts.first(of_input, "image_tokens"),
        output_audio_tokens=counts.first(of_output, "audio_tokens"),
        output_reasoning_tokens=counts.first(of_output, "reasoning_tokens"),
        output_image_tokens=counts.first(of_output, "image_tokens"),
        output_accepted_prediction_tokens=counts.first(of_output, "accepted_prediction_tokens"),
        output_rejected_prediction_tokens=counts.first(of_output, "rejected_prediction_tokens"),
    )


def _details(fields: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    return next((details for name in names if (details := dictionary(fields.get(name)))), {})


def usage_of(body: Mapping[str, Any]) -> ReportedUsage:
    """Read the usage of a body. A usage of zero tokens is unknown if the body contains output."""
    found = read_usage(body.get("usage"))
    zero = found.usage is not None and not any(
        (found.usage.input_tokens, found.usage.output_tokens, found.usage.input_seconds)
    )
    return ReportedUsage(None, "zero_usage") if zero and _has_output(body) else found


def _has_output(body: Mapping[str, Any]) -> bool:
    """Return whether a body contains anything that the model generated, such as text, a tool call or a vector."""
    if any(body.get(name) for name in ("output", "data", "text", "answers")):
        return True
    choices = body.get("choices")
    return isinstance(choices, list) and any(_generated(dictionary(choice)) for choice in choices)


def _generated(choice: Mapping[str, Any]) -> bool:
    message = dictionary(choice.get("message"))
    names = ("content", "refusal", "tool_calls", "function_call", "audio", "reasoning", "reasoning_content")
    return text(choice.get("text")) is not None or any(message.get(name) for name in names)


def cache_retention(body: Mapping[str, Any]) -> str | None:
    """Return the time for which a request or a response asks to keep cached tokens; `None` for the default."""
    return text(dictionary(body.get("prompt_cache_options")).get("ttl")) or text(body.get("prompt_cache_retention"))

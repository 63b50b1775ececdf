"""Reads the usage in a response, in the field names of OpenAI and of compatible servers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from monitored_openai._endpoints.base import amount, count, dictionary, text
from monitored_openai._record import NOTHING, Usage, UsageUnknown

_OF_INPUT = {
    "cached_tokens": "input_cached_tokens",
    "cache_write_tokens": "input_cache_write_tokens",
    "cache_creation_tokens": "input_cache_write_tokens",
    "cache_creation_input_tokens": "input_cache_write_tokens",
    "ttl_12h_tokens": "input_cache_write_12h_tokens",
    "audio_tokens": "input_audio_tokens",
    "image_tokens": "input_image_tokens",
}
_OF_OUTPUT = {
    "audio_tokens": "output_audio_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
    "image_tokens": "output_image_tokens",
    "accepted_prediction_tokens": "output_accepted_prediction_tokens",
    "rejected_prediction_tokens": "output_rejected_prediction_tokens",
}
_TOTAL = "total_tokens"
_FIELDS = {
    "prompt_tokens": "input_tokens",
    "input_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "output_tokens": "output_tokens",
    "prompt_cache_hit_tokens": "input_cached_tokens",  # DeepSeek
    "cached_tokens": "input_cached_tokens",  # Moonshot
    _TOTAL: _TOTAL,
}
"""The field of `Usage` for each count; of two names for one field, the first count other than zero decides."""
_DETAILS = {
    **dict.fromkeys(("prompt_tokens_details", "input_tokens_details", "input_token_details"), _OF_INPUT),
    **dict.fromkeys(("completion_tokens_details", "output_tokens_details", "output_token_details"), _OF_OUTPUT),
}
"""The fields of `Usage` for the counts in each part of a usage."""
_WRITTEN = "cache_write_tokens_details"
_MOST_SECONDS = 10**9


class ReportedUsage(NamedTuple):
    """The usage in a response, or the reason why it is unknown."""

    usage: Usage | None
    unknown: UsageUnknown | None
    if_thinking: Usage | None = None
    """The usage if the server counts the model's thinking in `total_tokens` only."""


class _AbsurdCountError(ValueError):
    """A count is negative, a fraction, a text or beyond the limit."""


def read_usage(reported: object) -> ReportedUsage:
    """Read a usage by tokens or by seconds. One absurd count makes the whole usage unknown."""
    if reported is None:
        return ReportedUsage(None, "not_reported")
    fields = dictionary(reported)
    if fields.get("type") == "duration":
        seconds = amount(fields.get("seconds"))
        known = seconds is not None and seconds <= _MOST_SECONDS
        return ReportedUsage(Usage(input_seconds=seconds), None) if known else ReportedUsage(None, "invalid")
    counts: dict[str, int] = {}
    try:
        _add_all(counts, fields, _FIELDS)
    except _AbsurdCountError:
        return ReportedUsage(None, "invalid")
    total = counts.pop(_TOTAL, None)
    if "input_tokens" not in counts and "output_tokens" not in counts:
        return ReportedUsage(None, "invalid")
    usage = Usage(**counts)
    missing = 0 if total is None else total - counts.get("input_tokens", 0) - counts.get("output_tokens", 0)
    return ReportedUsage(usage, None) if missing == 0 else _with_missing(usage, missing)


def _with_missing(usage: Usage, missing: int) -> ReportedUsage:
    """Return the usage for a total that has more or fewer tokens than the input and the output."""
    reasoning = usage.output_reasoning_tokens or 0
    whole = dataclasses.replace(
        usage, output_tokens=(usage.output_tokens or 0) + missing, output_reasoning_tokens=reasoning or missing
    )
    if missing == reasoning:  # xAI reports the reasoning separately from the output
        return ReportedUsage(whole, None)
    return ReportedUsage(None, "total_mismatch", whole if missing > 0 and not reasoning else None)


def _add_all(counts: dict[str, int], reported: Mapping[str, Any], fields: Mapping[str, str]) -> None:
    """Add the counts in a part of a usage. If two names stand for one field, the first count other than zero decides.

    Raises:
        _AbsurdCountError: a count is negative, a fraction, a text or beyond the limit.
    """
    for name, value in reported.items():
        if value is None:
            continue
        if (field := fields.get(name)) is not None:
            if (number := count(value)) is None:
                raise _AbsurdCountError
            if not counts.get(field):
                counts[field] = number
        elif isinstance(value, dict) and (parts := fields if name == _WRITTEN else _DETAILS.get(name)) is not None:
            _add_all(counts, value, parts)


def usage_of(body: Mapping[str, Any]) -> ReportedUsage:
    """Read the usage of a body. A usage of zero tokens is unknown if the body contains output."""
    found = read_usage(body.get("usage"))
    usage = found.usage
    if usage is None or usage.input_tokens or usage.output_tokens or usage.input_seconds or not _has_output(body):
        return found
    return ReportedUsage(None, "zero_usage")


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
    options = body.get("prompt_cache_options") or NOTHING
    return text(dictionary(options).get("ttl")) or text(body.get("prompt_cache_retention"))

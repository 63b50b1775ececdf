"""Parsers that several endpoints share: for completions, for usage, and for bodies with all facts at the top level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai import BaseModel

from monitored_openai._endpoints.base import ParsedResponse, amount, count, dictionary, text
from monitored_openai._record import Usage, UsageUnknown


def parse_completion(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse the body of a chat completion or a legacy completion."""
    choices = body.get("choices")
    reasons = (dictionary(choice).get("finish_reason") for choice in choices) if isinstance(choices, list) else ()
    usage = parse_completion_usage(body.get("usage"))
    return ParsedResponse(
        model=text(body.get("model")),
        id=text(body.get("id")),
        service_tier=text(body.get("service_tier")),
        finish_reasons=tuple(reason for reason in reasons if isinstance(reason, str)),
        usage=usage,
        usage_unknown=usage_unknown_reason(usage, body.get("usage")),
        body=body,
        error_code=None if choices else _error_code(dictionary(body.get("error"))),
        error_message=text(dictionary(body.get("error")).get("message")),
        provider_cost=amount(dictionary(body.get("usage")).get("cost")),
    )


def _error_code(error: Mapping[str, Any]) -> str | None:
    """Return the code of an error that a proxy such as OpenRouter reports in a body with a good status."""
    if not error:
        return None
    code = error.get("code")
    return text(code) or (str(code) if isinstance(code, int) else None) or text(error.get("type")) or "failed"


def parse_completion_usage(reported: object) -> Usage | None:
    """Parse a usage with `prompt_tokens` and `completion_tokens`; `None` if neither is a count."""
    usage = dictionary(reported)
    input_tokens, output_tokens = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    if input_tokens is None and output_tokens is None:
        return None
    of_input = dictionary(usage.get("prompt_tokens_details"))
    of_output = dictionary(usage.get("completion_tokens_details"))
    reasoning = count(of_output.get("reasoning_tokens"))
    if reasoning and count(usage.get("total_tokens")) == (input_tokens or 0) + (output_tokens or 0) + reasoning:
        output_tokens = (output_tokens or 0) + reasoning  # xAI's `completion_tokens` do not include the reasoning
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        input_cached_tokens=count(of_input.get("cached_tokens")),
        input_cache_write_tokens=count(of_input.get("cache_write_tokens")),
        input_audio_tokens=count(of_input.get("audio_tokens")),
        input_image_tokens=count(of_input.get("image_tokens")),
        output_audio_tokens=count(of_output.get("audio_tokens")),
        output_reasoning_tokens=reasoning,
        output_accepted_prediction_tokens=count(of_output.get("accepted_prediction_tokens")),
        output_rejected_prediction_tokens=count(of_output.get("rejected_prediction_tokens")),
    )


def choices_of(chunk: Any) -> list[Any]:
    """Return the choices of a chunk that are objects; an empty list if `choices` is missing or not a list."""
    choices = getattr(chunk, "choices", None)
    return [choice for choice in choices if isinstance(choice, BaseModel)] if isinstance(choices, list) else []


_OF_EVERY_CHUNK = frozenset({"id", "object", "created", "model", "choices", "usage", "obfuscation"})
"""Fields without output. Some servers change `created` in each chunk; `obfuscation` is padding."""


def adds_only_usage(chunk: Any, *earlier: Any) -> bool:
    """Return whether a chunk has a usage, no choices, and no other value that the `earlier` chunks lack."""
    if chunk.usage is None or getattr(chunk, "choices", None):
        return False
    return all(
        value is None or name in _OF_EVERY_CHUNK or any(getattr(other, name, None) == value for other in earlier)
        for name, value in (*vars(chunk).items(), *(chunk.model_extra or {}).items())
    )


def parse_usage(reported: object) -> Usage | None:
    """Parse a usage with `input_tokens` and `output_tokens`, or with `seconds`; `None` if none of them is valid."""
    usage = dictionary(reported)
    if usage.get("type") == "duration":
        return _length(usage.get("seconds"))
    input_tokens, output_tokens = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    if input_tokens is None and output_tokens is None:
        return None
    of_input, of_output = _details(usage, "input"), _details(usage, "output")
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        input_cached_tokens=count(of_input.get("cached_tokens")),
        input_cache_write_tokens=count(of_input.get("cache_write_tokens")),
        input_audio_tokens=count(of_input.get("audio_tokens")),
        input_image_tokens=count(of_input.get("image_tokens")),
        output_audio_tokens=count(of_output.get("audio_tokens")),
        output_reasoning_tokens=count(of_output.get("reasoning_tokens")),
        output_image_tokens=count(of_output.get("image_tokens")),
    )


def _length(reported: object) -> Usage | None:
    seconds = amount(reported)
    return None if seconds is None else Usage(input_seconds=seconds)


def parse_plain(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse a body that has all its facts at the top level."""
    usage, reason = parse_usage(body.get("usage")), text(body.get("status"))
    return ParsedResponse(
        model=text(body.get("model")),
        id=text(body.get("id")),
        service_tier=text(body.get("service_tier")),
        finish_reasons=(reason,) if reason else (),
        usage=usage,
        usage_unknown=usage_unknown_reason(usage, body.get("usage")),
        body=body,
    )


def usage_unknown_reason(usage: Usage | None, reported: object) -> UsageUnknown | None:
    """Return the reason for an unknown usage; `None` if it is known."""
    return None if usage is not None else "not_reported" if reported is None else "invalid"


def as_plain(value: Any) -> Any:
    """Return the JSON data from which an SDK object was made; any other value unchanged."""
    return value.model_dump(mode="json", exclude_unset=True, warnings=False) if isinstance(value, BaseModel) else value


def _details(usage: Any, side: str) -> Any:
    return dictionary(usage.get(f"{side}_tokens_details") or usage.get(f"{side}_token_details"))

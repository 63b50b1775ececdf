"""What the newer families have in common: the form of their usage, and plain data out of the SDK's objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai import BaseModel

from monitored_openai._endpoints.base import ParsedResponse, amount, count, dictionary, text
from monitored_openai._record import Usage, UsageUnknown


def read_usage(reported: object) -> Usage | None:
    """Read a usage in `input_tokens` and `output_tokens`, or in `seconds`; `None` if none of them is a count."""
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


def read_plain(body: Mapping[str, Any]) -> ParsedResponse:
    """Read a body that says what it says of itself at its top."""
    usage, reason = read_usage(body.get("usage")), text(body.get("status"))
    return ParsedResponse(
        model=text(body.get("model")),
        id=text(body.get("id")),
        service_tier=text(body.get("service_tier")),
        finish_reasons=(reason,) if reason else (),
        usage=usage,
        usage_unknown=why_unknown(usage, body.get("usage")),
        body=body,
    )


def why_unknown(usage: Usage | None, reported: object) -> UsageUnknown | None:
    """Why there is no usage, `None` when there is."""
    return None if usage is not None else "not_reported" if reported is None else "invalid"


def plain(value: Any) -> Any:
    """What the SDK made of a part of a response, as it was before; what is no such part stays as it is."""
    return value.model_dump(mode="json", exclude_unset=True, warnings=False) if isinstance(value, BaseModel) else value


def _details(usage: Any, side: str) -> Any:
    return dictionary(usage.get(f"{side}_tokens_details") or usage.get(f"{side}_token_details"))

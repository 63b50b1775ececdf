"""What the newer families have in common: the form of their usage, and plain data out of the SDK's objects."""

from __future__ import annotations

from typing import Any

from openai import BaseModel

from monitored_openai._answer import count, dictionary
from monitored_openai._record import Usage


def read_usage(reported: object) -> Usage | None:
    """Read a usage in `input_tokens` and `output_tokens`; `None` if neither is a count."""
    usage = dictionary(reported)
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
    )


def why_unknown(usage: Usage | None, reported: object) -> str | None:
    """Why there is no usage, `None` when there is."""
    return None if usage is not None else "not_reported" if reported is None else "invalid"


def plain(value: Any) -> Any:
    """What the SDK made of a part of a response, as it was before; what is no such part stays as it is."""
    return value.model_dump(mode="json", exclude_unset=True, warnings=False) if isinstance(value, BaseModel) else value


def _details(usage: Any, side: str) -> Any:
    return dictionary(usage.get(f"{side}_tokens_details") or usage.get(f"{side}_token_details"))

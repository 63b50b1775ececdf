"""What chat and legacy completions have in common: choices, finish reasons and the form of their usage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai import BaseModel

from monitored_openai._endpoints.base import ParsedResponse, amount, count, dictionary, text
from monitored_openai._record import Usage


def read_answer(body: Mapping[str, Any]) -> ParsedResponse:
    """Read the body of a chat or a legacy completion."""
    choices = body.get("choices")
    reasons = (dictionary(choice).get("finish_reason") for choice in choices) if isinstance(choices, list) else ()
    usage = read_completion_usage(body.get("usage"))
    return ParsedResponse(
        model=text(body.get("model")),
        id=text(body.get("id")),
        service_tier=text(body.get("service_tier")),
        finish_reasons=tuple(reason for reason in reasons if isinstance(reason, str)),
        usage=usage,
        usage_unknown=None if usage is not None else "not_reported" if body.get("usage") is None else "invalid",
        body=body,
        error_code=None if choices else _error_code(dictionary(body.get("error"))),
        error_message=text(dictionary(body.get("error")).get("message")),
        provider_cost=amount(dictionary(body.get("usage")).get("cost")),
    )


def _error_code(error: Mapping[str, Any]) -> str | None:
    """What a proxy such as OpenRouter has put into a body with a good status instead of an answer."""
    if not error:
        return None
    code = error.get("code")
    return text(code) or (str(code) if isinstance(code, int) else None) or text(error.get("type")) or "failed"


def read_completion_usage(reported: object) -> Usage | None:
    """Read a usage in `prompt_tokens` and `completion_tokens`; `None` if neither is a count."""
    usage = dictionary(reported)
    input_tokens, output_tokens = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    if input_tokens is None and output_tokens is None:
        return None
    of_input, of_output = (
        dictionary(usage.get("prompt_tokens_details")),
        dictionary(usage.get("completion_tokens_details")),
    )
    reasoning = count(of_output.get("reasoning_tokens"))
    if reasoning and count(usage.get("total_tokens")) == (input_tokens or 0) + (output_tokens or 0) + reasoning:
        output_tokens = (output_tokens or 0) + reasoning  # xAI tells it beside its output, not as a part
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


_OF_EVERY_CHUNK = frozenset({"id", "object", "created", "model", "choices", "usage", "obfuscation"})
"""Fields without news for the caller. Some servers set `created` anew for each chunk; `obfuscation` is padding."""


def adds_only_usage(chunk: Any, *earlier: Any) -> bool:
    """Whether a chunk without choices has a usage, and no other value that an earlier chunk did not have already."""
    return chunk.usage is not None and all(
        value is None or name in _OF_EVERY_CHUNK or any(getattr(other, name, None) == value for other in earlier)
        for name, value in (*vars(chunk).items(), *(chunk.model_extra or {}).items())
    )


def head(first: Any, last: Any) -> dict[str, Any]:
    """What a stream says of itself: the last chunk has the last word, Azure's first chunk has none of it."""
    return {
        name: getattr(last, name, None) or getattr(first, name, None)
        for name in ("id", "model", "created", "service_tier", "system_fingerprint")
    }


def dump(model: Any) -> Any:
    """The plain form of a part of the SDK's response; what is no such part stays as it is."""
    return model.model_dump(warnings=False) if isinstance(model, BaseModel) else model


def merge(whole: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Add one delta of a stream to what came before: texts grow, entries of lists are matched by their `index`."""
    for name, value in delta.items():
        before = whole.get(name)
        if value is None or (name in ("index", "role", "id", "type") and before is not None):
            continue
        if isinstance(value, str) and isinstance(before, str):
            whole[name] = before + value
        elif isinstance(value, dict):
            merge(whole.setdefault(name, {}), value)
        elif isinstance(value, list) and (before is None or isinstance(before, list)):
            _merge_lists(whole.setdefault(name, []), value)
        else:
            whole[name] = value


def _merge_lists(whole: list[Any], delta: list[Any]) -> None:
    for part in delta:
        index = part.get("index") if isinstance(part, dict) else None
        matching = [entry for entry in whole if index is not None and entry.get("index") == index]
        if matching:
            merge(matching[0], part)
        else:
            whole.append(dict(part) if isinstance(part, dict) else part)

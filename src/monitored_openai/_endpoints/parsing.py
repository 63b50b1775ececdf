"""Parsers that several endpoints share: for completions, and for bodies with all facts at the top level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai import BaseModel

from monitored_openai._endpoints.base import ParsedResponse, amount, dictionary, text
from monitored_openai._endpoints.tools import chat_tools
from monitored_openai._endpoints.usage import usage_of


def parse_completion(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse the body of a chat completion or a legacy completion."""
    choices = body.get("choices")
    reasons = (dictionary(choice).get("finish_reason") for choice in choices) if isinstance(choices, list) else ()
    facts = plain_facts(body)
    facts["finish_reasons"] = tuple(reason for reason in reasons if isinstance(reason, str))
    error = error_of(body)
    return ParsedResponse(
        **facts,
        error_code=_error_code(error),
        error_message=text(error.get("message")),
        **chat_tools(body),
    )


def error_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the error object of a body, or of its choices if all of them failed, as OpenRouter sends it; else `{}`."""
    choices = body.get("choices")
    if not choices or not isinstance(choices, list):
        return dictionary(body.get("error"))
    failed = [dictionary(choice) for choice in choices if dictionary(choice).get("finish_reason") == "error"]
    if len(failed) < len(choices):
        return {}
    return dictionary(failed[0].get("error")) or dictionary(body.get("error"))


def _error_code(error: Mapping[str, Any]) -> str | None:
    """Return the code of an error that a proxy such as OpenRouter reports in a body with a good status."""
    if not error:
        return None
    code = error.get("code")
    return text(code) or (str(code) if isinstance(code, int) else None) or text(error.get("type")) or "failed"


def choices_of(chunk: Any) -> list[Any]:
    """Return the choices of a chunk that are objects; an empty list if `choices` is missing or not a list."""
    choices = getattr(chunk, "choices", None)
    return [choice for choice in choices if isinstance(choice, BaseModel)] if isinstance(choices, list) else []


_OF_EVERY_CHUNK = frozenset({"id", "object", "created", "model", "choices", "usage", "obfuscation"})
"""Fields without output. Some servers change `created` in each chunk; `obfuscation` is padding."""


def adds_only_usage(chunk: Any, *earlier: Any) -> bool:
    """Return whether a chunk has a usage and no choices, and all its other values are also in the `earlier` chunks."""
    if chunk.usage is None or getattr(chunk, "choices", None):
        return False
    return all(
        value is None or name in _OF_EVERY_CHUNK or any(getattr(other, name, None) == value for other in earlier)
        for name, value in (*vars(chunk).items(), *(chunk.model_extra or {}).items())
    )


def parse_plain(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse a body that has all its facts at the top level."""
    return ParsedResponse(**plain_facts(body))


def plain_facts(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `ParsedResponse` at the top level of a body."""
    found, reason, reported = usage_of(body), text(body.get("status")), dictionary(body.get("usage"))
    return {
        "model": text(body.get("model")),
        "id": text(body.get("id")),
        "service_tier": text(body.get("service_tier")),
        "finish_reasons": (reason,) if reason else (),
        "usage": found.usage,
        "usage_unknown": found.unknown,
        "usage_if_thinking": found.if_thinking,
        "reported_usage": reported,
        "body": body,
        "provider_cost": amount(reported.get("cost")),
    }


def as_plain(value: Any) -> Any:
    """Return the JSON data from which an SDK object was made; any other value unchanged."""
    return value.model_dump(mode="json", exclude_unset=True, warnings=False) if isinstance(value, BaseModel) else value

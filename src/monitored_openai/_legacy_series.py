"""Samples and log fields in the form of the predecessor, `grafana-openai-monitoring`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from monitored_openai._labels import clip_label_value
from monitored_openai._metrics.names import (
    LEGACY_COMPLETION_TOKENS,
    LEGACY_COST,
    LEGACY_DURATION,
    LEGACY_PROMPT_TOKENS,
    LEGACY_TOTAL_TOKENS,
)
from monitored_openai._record import CallRecord
from monitored_openai._redaction.redactor import without_secrets

_SOURCES = {"chat": "python_chatv2", "text_completion": "python_chatv1"}
"""The label `source` by operation. The predecessor supports no other operations."""


class CallSamples(NamedTuple):
    """The samples of one call."""

    source: str
    """The label `source`."""
    model: str
    """The label `model`."""
    values: Mapping[str, float]
    """The known values by metric name."""


def call_samples(record: CallRecord) -> CallSamples | None:
    """Return the samples of a call; `None` for another operation, and for a failed call without usage."""
    source = _SOURCES.get(record.operation)
    if source is None or (record.error_type is not None and record.usage is None):
        return None
    model = record.response_model or record.request_model or ""
    known = {
        **{metric.name: value for metric, value in zip(_TOKENS, tokens_of(record), strict=True)},
        LEGACY_DURATION.name: record.duration,
        LEGACY_COST.name: record.cost.total_usd if record.cost else None,
    }
    values = {name: float(value) for name, value in known.items() if value is not None}
    return CallSamples(source, _as_label(model), values)


@lru_cache(256)
def _as_label(model: str) -> str:
    return clip_label_value(without_secrets(model))


_TOKENS = (LEGACY_PROMPT_TOKENS, LEGACY_COMPLETION_TOKENS, LEGACY_TOTAL_TOKENS)


def tokens_of(record: CallRecord) -> tuple[int | None, int | None, int | None]:
    """Return the numbers of prompt tokens, completion tokens and both together."""
    usage = record.usage
    if usage is None:
        return None, None, None
    prompt, completion = usage.input_tokens, usage.output_tokens
    total = None if prompt is None or completion is None else prompt + completion
    return prompt, completion, total


def log_fields(record: CallRecord) -> dict[str, Any]:
    """Return the predecessor's log fields that the log entry lacks or names differently."""
    prompt, completion, total = tokens_of(record)
    role = "assistant" if record.operation == "chat" and record.finish_reasons else None
    return {"role": role, "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}


def prompt_of(request: object) -> str | None:
    """Return the text of the last user message, else of the first message, else the prompt."""
    if not isinstance(request, Mapping):
        return None
    messages = request.get("messages")
    if isinstance(messages, Sequence) and not isinstance(messages, str):
        found = [message for message in messages if isinstance(message, Mapping)]
        from_user = [message for message in found if message.get("role") == "user"]
        chosen = from_user[-1:] or found[:1]
        return _text(chosen[0].get("content")) if chosen else None
    return _text(request.get("prompt") or request.get("input"))


def _text(content: object) -> str | None:
    """Return a text itself, or the joined texts of a list of content parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return None
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
    return "\n".join(text for text in texts if isinstance(text, str)) or None

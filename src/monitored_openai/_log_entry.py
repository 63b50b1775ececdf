"""Builds the log entry of a record: a JSON line and structured metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from typing import Any
from zlib import crc32

from monitored_openai._calls.request_fields import IDENTIFIERS
from monitored_openai._json import decode, encode
from monitored_openai._labels import clip_label_value, is_short
from monitored_openai._legacy_series import log_fields, prompt_of
from monitored_openai._record import CallRecord, Cost, Usage
from monitored_openai._redaction.redactor import (
    PatternTimeout,
    Redact,
    is_plain,
    may_hold_media,
    redacted,
    without_secrets,
)

_CAPS = ((65536, 4096), (16384, 1024), (4096, 256), (1024, 128), (256, 64), (64, 16))
"""Limits for characters per text and members per list or object. The first pair with which the line fits is used."""
_MOST_MESSAGE_CHARACTERS = 4096
_MOST_ATTRIBUTES, _MOST_ATTRIBUTE_BYTES = 100, 48 * 1024
"""Limits for attributes in structured metadata. Loki accepts 128 names and 64 KiB, including the library's own."""
_USAGE = tuple(field.name for field in fields(Usage))
_usage_values = attrgetter(*_USAGE)
_IDENTIFIER_NAMES = {name: f"openai_{name}" for name in IDENTIFIERS}
_CONTENT = ("request", "response", "prompt", "identifiers", "error_message")
_COST = (*(f"{kind}_usd" for kind in Cost().by_kind()), "cache_savings_usd", "total_usd")
_cost_values = attrgetter(*_COST)
_ALWAYS_IN_COST = frozenset({"input_usd", "input_cached_usd", "output_usd", "cache_savings_usd", "total_usd"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """The log entry of one call."""

    line: str
    """The JSON line."""
    metadata: Mapping[str, str]
    """The structured metadata."""
    cut: bool = False
    """True if the line had to be shortened."""
    failed: bool = False
    """True if the line has no content because the redactor raised."""


def is_sampled(record: CallRecord, ratio: float) -> bool:
    """Return whether to log a call; a failed call is always logged."""
    return ratio >= 1 or record.error_type is not None or crc32(record.id.encode()) < ratio * 2**32


def log_entry(record: CallRecord, *, redact: Redact | None, max_bytes: int, predecessor: bool = False) -> LogEntry:
    """Return the log entry of a call, with a line of at most `max_bytes` bytes of UTF-8.

    If the redactor raises, the entry has everything except the content. `predecessor`: add the predecessor's fields.
    """
    facts = _facts(record)
    names = log_fields(record) if predecessor else {}
    prompt = prompt_of(record.request) if predecessor and record.content_captured else None
    if redact is None and (line := _plain_line(record, facts, prompt, max_bytes)) is not None:
        return LogEntry(line=line, metadata=_metadata(record, record.identifiers, names))
    try:
        content = {
            name: redacted(part, name, redact)
            for name, part in (("error_message", record.error_message), *_content(record))
            if part is not None
        }
        identifiers = redacted(record.identifiers, "request", redact)
        if identifiers:
            content["identifiers"] = identifiers
        if prompt is not None and (redacted_prompt := prompt_of(content.get("request"))) is not None:
            content["prompt"] = redacted_prompt
        if "error_message" in content:
            content["error_message"] = _capped(content["error_message"], _MOST_MESSAGE_CHARACTERS)
        (line, cut), failed = _line(facts, content, max_bytes), False
    except BaseException as error:  # the user's redactor may raise anything, and the exporter's thread must not end
        identifiers = {}
        reason = error if isinstance(error, PatternTimeout) else type(error).__name__
        content = {"content_left_out": f"the content could not be prepared: {reason}"}
        (line, cut), failed = _line(facts, content, max_bytes), True
    return LogEntry(line=line, metadata=_metadata(record, identifiers, names), cut=cut, failed=failed)


def _plain_line(record: CallRecord, facts: Mapping[str, Any], prompt: str | None, max_bytes: int) -> str | None:
    """Return the line of a typical call, without secrets.

    Returns `None` if the line or the error message is too long, or if the line may hold media or cannot be encoded.
    """
    parts = (
        *_content(record),
        ("prompt", prompt),
        ("identifiers", record.identifiers or None),
        ("error_message", record.error_message),
    )
    if record.error_message is not None and len(record.error_message) > _MOST_MESSAGE_CHARACTERS:
        return None
    try:
        line = encode({**facts, **_known(dict(parts))}).decode()
    except (TypeError, ValueError, RecursionError):  # the general path handles it
        return None
    if is_plain(line):
        return line if _fits(line, max_bytes) else None
    return None if may_hold_media(line) else _clean(line, max_bytes)


def _content(record: CallRecord) -> tuple[tuple[str, Any], ...]:
    return (("request", record.request), ("response", record.response)) if record.content_captured else ()


def _facts(record: CallRecord) -> dict[str, Any]:
    """Return the known facts of a call, without its content."""
    facts = {
        "id": record.id,
        "operation": record.operation,
        "api_type": record.api_type,
        "provider": record.provider,
        "server": record.server,
        "request_model": record.request_model,
        "response_model": record.response_model,
        "response_id": record.response_id,
        "request_id": record.request_id,
        "started": f"{_second(record.started_ns // 10**9)}.{record.started_ns // 10**6 % 1000:03d}+00:00",
        "duration_seconds": round(record.duration, 6),
        "time_to_first_chunk_seconds": _rounded(record.time_to_first_chunk),
        "chunks": record.chunks,
        "error_type": record.error_type,
        "api_error": dict(record.api_error) or None,
        "http_status": record.http_status,
        "retries": record.retries,
        "finish_reasons": record.finish_reasons or None,
        "service_tier": record.service_tier,
        "usage": _usage(record.usage) if record.usage else None,
        "usage_unknown": record.usage_unknown,
        "cost": _cost(record.cost) if record.cost else None,
        "cost_source": record.cost.source if record.cost else None,
        "cost_incomplete": list(record.cost.incomplete) or None if record.cost else None,
        "unpriced": record.unpriced,
        "tool_calls": dict(record.tool_calls) or None,
        "provider_cost": record.provider_cost,
        "headers": dict(record.headers) or None,
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "attributes": {name: clip_label_value(value) for name, value in record.attributes.items()} or None,
    }
    return _known(facts)


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    """Return a time in UTC, from seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _usage(usage: Usage) -> dict[str, Any]:
    return {name: value for name, value in zip(_USAGE, _usage_values(usage), strict=True) if value is not None}


def _cost(cost: Cost) -> dict[str, float]:
    """Return the parts of a cost in USD, without parts that are rare and zero."""
    values = zip(_COST, _cost_values(cost), strict=True)
    return {name: round(usd, 12) if usd else usd for name, usd in values if usd or name in _ALWAYS_IN_COST}


def _metadata(record: CallRecord, identifiers: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, str]:
    usage = record.usage
    own = {
        "operation": record.operation,
        "openai_api_type": record.api_type,
        "provider": record.provider,
        "model": record.response_model or record.request_model,
        "request_model": record.request_model,
        "request_id": record.request_id,
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "error_type": record.error_type,
        "openai_error_code": record.api_error.get("code"),
        "finish_reason": record.finish_reasons[0] if record.finish_reasons else None,
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "cost_usd": f"{record.cost.total_usd:.9f}" if record.cost else None,
        "cost_incomplete": ",".join(record.cost.incomplete) or None if record.cost else None,
        **{_IDENTIFIER_NAMES[name]: value for name, value in identifiers.items() if name in _IDENTIFIER_NAMES},
        **names,
    }
    texts = _filterable(record.attributes)
    texts.update({name: str(value) for name, value in own.items() if value is not None})
    together = "\n".join(texts.values())
    if without_secrets(together) is not together:
        texts = {name: without_secrets(value) for name, value in texts.items()}
    elif is_short(together):
        return texts
    return {name: clip_label_value(value) for name, value in texts.items()}


def _filterable(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return the first attributes that fit into structured metadata; a line that is not cut contains all."""
    room = _MOST_ATTRIBUTE_BYTES
    kept: dict[str, str] = {}
    for name, value in islice(attributes.items(), _MOST_ATTRIBUTES):
        room -= len(name) + len(clip_label_value(value).encode())
        if room < 0:
            break
        kept[name] = value
    return kept


def _line(facts: dict[str, Any], content: Mapping[str, Any], max_bytes: int) -> tuple[str, bool]:
    whole = _written({**facts, **content}, max_bytes)
    if whole is not None:
        return whole, False
    shorter = (_written({**less, "cut": True}, max_bytes) for less in _shorter(facts, content))
    return next(line for line in shorter if line is not None), True


def shorter_line(line: str, max_bytes: int) -> str | None:
    """Return a shorter line with at most `max_bytes` bytes of UTF-8; `None` if that is impossible."""
    facts = decode(line.encode())
    content = {name: facts.pop(name) for name in _CONTENT if name in facts}
    shorter = (_written({**less, "cut": True}, max_bytes) for less in _shorter(facts, content))
    return next((made for made in shorter if made is not None), None)


def _written(facts: dict[str, Any], max_bytes: int) -> str | None:
    """Return the line without secrets; `None` if it is longer than `max_bytes`."""
    return _clean(encode(facts).decode(), max_bytes)


def _clean(line: str, max_bytes: int) -> str | None:
    if not _fits(line, max_bytes):
        return None
    line = without_secrets(line)
    return line if _fits(line, max_bytes) else None


def _shorter(facts: dict[str, Any], content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield shorter and shorter versions of the entry."""
    brief = _capped(facts, 1024, 128)
    for characters, members in _CAPS:
        yield {**brief, **_capped(content, characters, members)}
    sizes = {name: f"[left out, {len(encode(part))} bytes]" for name, part in content.items()}
    yield {**_capped(facts, *_CAPS[-1]), **sizes}
    yield {name: _capped(fact, 64, 4) for name, fact in facts.items() if name not in ("attributes", "headers")} | sizes
    yield {name: _capped(facts[name], 64) for name in ("id", "operation", "error_type") if name in facts}


def _capped(value: Any, characters: int, members: int | None = None) -> Any:
    """Return the value with long texts, lists and objects cut and marked; removes secrets before it cuts a text."""
    if isinstance(value, str):
        if len(value) <= characters:
            return value
        text = without_secrets(value)
        return text if len(text) <= characters else f"{text[:characters]}…[cut, {len(value)} characters in all]"
    if isinstance(value, dict):
        first = islice(value.items(), members)
        kept = {_capped(name, characters): _capped(part, characters, members) for name, part in first}
        return kept if len(kept) == len(value) else {**kept, "…": f"[cut, {len(value)} in all]"}
    if isinstance(value, (list, tuple)):
        if members is None or len(value) <= members:
            return [_capped(part, characters, members) for part in value]
        ends = (value[: members // 2], value[-(members // 2) :])
        head, tail = ([_capped(part, characters, members) for part in end] for end in ends)
        return [*head, f"…[cut, {len(value)} in all]", *tail]
    return value


def _fits(line: str, max_bytes: int) -> bool:
    return len(line) * 4 <= max_bytes or len(line.encode()) <= max_bytes


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)

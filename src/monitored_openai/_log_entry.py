"""A record to one entry of the log: a JSON line, and the structured metadata that one filters by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from zlib import crc32

from monitored_openai._json import encode
from monitored_openai._metrics import label_value
from monitored_openai._record import CallRecord, Cost, Usage
from monitored_openai._redaction import Redact, redacted, without_secrets

_CAPS = (65536, 16384, 4096, 1024, 256, 64)
_MOST_ATTRIBUTES = 100
_USAGE = tuple(field.name for field in fields(Usage))
_COST = (*(field.name for field in fields(Cost)), "total_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """An entry as Loki takes it; `cut` when not all of the content found room, `failed` when it was left out."""

    line: str
    metadata: Mapping[str, str]
    cut: bool = False
    failed: bool = False


def is_sampled(record: CallRecord, ratio: float) -> bool:
    """Whether a call goes into the log; one that failed always does."""
    return ratio >= 1 or record.error_type is not None or crc32(record.id.encode()) < ratio * 2**32


def log_entry(record: CallRecord, *, redact: Redact | None, max_bytes: int) -> LogEntry:
    """Make the entry of a call, in at most `max_bytes` of UTF-8.

    A redactor that raises costs the entry its content and nothing else.
    """
    attributes = {
        name: label_value(without_secrets(value)) for name, value in islice(record.attributes.items(), _MOST_ATTRIBUTES)
    }
    facts = {**_facts(record), **({"attributes": attributes} if attributes else {})}
    try:
        content = {
            name: redacted(part, name, redact)
            for name, part in (("error_message", record.error_message), *_content(record))
            if part is not None
        }
        failed = False
    except Exception as error:  # of the user's own redactor, or of content nested too deep
        content, failed = {"content_left_out": f"the redaction raised {type(error).__name__}"}, True
    line, cut = _line(facts, content, max_bytes)
    return LogEntry(line=line, metadata=_metadata(record, attributes), cut=cut, failed=failed)


def _content(record: CallRecord) -> tuple[tuple[str, Any], ...]:
    return (("request", record.request), ("response", record.response)) if record.content_captured else ()


def _facts(record: CallRecord) -> dict[str, Any]:
    """What is known of a call besides its content; what is not known is left out."""
    facts = {
        "id": record.id,
        "operation": record.operation,
        "provider": record.provider,
        "server": record.server,
        "request_model": record.request_model,
        "response_model": record.response_model,
        "response_id": record.response_id,
        "request_id": record.request_id,
        "started": datetime.fromtimestamp(record.started_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
        "duration_seconds": round(record.duration, 6),
        "time_to_first_chunk_seconds": _rounded(record.time_to_first_chunk),
        "chunks": record.chunks,
        "error_type": record.error_type,
        "http_status": record.http_status,
        "retries": record.retries,
        "finish_reasons": record.finish_reasons or None,
        "service_tier": record.service_tier,
        "usage": _known({name: getattr(record.usage, name) for name in _USAGE}) if record.usage else None,
        "usage_unknown": record.usage_unknown,
        "cost": {name: getattr(record.cost, name) for name in _COST} if record.cost else None,
        "unpriced": record.unpriced,
        "headers": dict(record.headers) or None,
        "trace_id": record.trace_id,
        "span_id": record.span_id,
    }
    return _known(facts)


def _metadata(record: CallRecord, attributes: Mapping[str, str]) -> dict[str, str]:
    usage = record.usage
    own = {
        "operation": record.operation,
        "provider": record.provider,
        "model": record.response_model or record.request_model,
        "request_id": record.request_id,
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "error_type": record.error_type,
        "finish_reason": record.finish_reasons[0] if record.finish_reasons else None,
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "cost_usd": f"{record.cost.total_usd:.9f}" if record.cost else None,
    }
    return {name: label_value(str(value)) for name, value in {**attributes, **_known(own)}.items()}


def _line(facts: dict[str, Any], content: Mapping[str, Any], max_bytes: int) -> tuple[str, bool]:
    line = without_secrets(encode({**facts, **content}).decode())
    if _fits(line, max_bytes):
        return line, False
    for cap in _CAPS:
        line = encode({**facts, "cut": True, **_capped(content, cap)}).decode()
        if _fits(line, max_bytes):
            return line, True
    sizes = {name: f"[left out, {len(encode(part))} bytes]" for name, part in content.items()}
    return encode({**_capped(facts, _CAPS[-1]), "cut": True, **sizes}).decode(), True


def _capped(value: Any, cap: int) -> Any:
    """The value with every text of more than `cap` characters cut there and marked; no secret is cut in two."""
    if isinstance(value, str):
        text = without_secrets(value)
        return text if len(text) <= cap else f"{text[:cap]}…[cut, {len(value)} characters in all]"
    if isinstance(value, dict):
        return {name: _capped(part, cap) for name, part in value.items()}
    if isinstance(value, list):
        return [_capped(part, cap) for part in value]
    return value


def _fits(line: str, max_bytes: int) -> bool:
    return len(line) * 4 <= max_bytes or len(line.encode()) <= max_bytes


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)

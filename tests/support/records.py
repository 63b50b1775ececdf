"""Records of calls for a test, with defaults for the fields that the test ignores."""

from __future__ import annotations

from typing import Any

from monitored_openai import CallRecord, Cost, Usage

COST = Cost(input_usd=0.00005, input_cached_usd=0.00001, output_usd=0.0002, cache_savings_usd=0.00001)
USAGE = Usage(
    input_tokens=30,
    output_tokens=20,
    input_cached_tokens=8,
    input_cache_write_tokens=1,
    input_audio_tokens=2,
    input_image_tokens=3,
    output_audio_tokens=4,
    output_reasoning_tokens=5,
    output_accepted_prediction_tokens=6,
    output_rejected_prediction_tokens=7,
    output_image_tokens=1,
    input_seconds=1.5,
    input_characters=12,
)


def record(**fields: Any) -> CallRecord:
    """A chat completion that took half a second, with these fields instead."""
    plain: dict[str, Any] = {
        "id": "0011223344556677000000ab",
        "operation": "chat",
        "api_type": "chat_completions",
        "provider": "openai",
        "server": "api.openai.com",
        "request_model": "gpt-4o",
        "response_model": "gpt-4o-2024-08-06",
        "started_ns": 1_760_000_000_000_000_000,
        "ended_ns": 1_760_000_000_500_000_000,
        "duration": 0.5,
        "http_status": 200,
    }
    return CallRecord(**(plain | fields))


def full_record(**fields: Any) -> CallRecord:
    """A streamed call of which everything is known."""
    known: dict[str, Any] = {
        "response_id": "chatcmpl-1",
        "request_id": "req_1",
        "streamed": True,
        "time_to_first_chunk": 0.2,
        "chunk_intervals": (0.01, 0.03),
        "chunks": 3,
        "retries": 1,
        "finish_reasons": ("stop",),
        "service_tier": "default",
        "usage": USAGE,
        "cost": COST,
        "headers": {"openai-processing-ms": "180", "x-ratelimit-remaining-requests": "99"},
        "request": {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is a bucket?"}]},
        "response": {"choices": [{"index": 0, "message": {"role": "assistant", "content": "An upper bound."}}]},
        "attributes": {"feature": "search"},
        "identifiers": {"user": "u-17", "metadata": {"team": "shop"}},
        "trace_id": "0" * 31 + "1",
        "span_id": "0" * 15 + "2",
    }
    return record(**(known | fields))

"""The fake API's replies at /responses: whole responses, and the events of their streams."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from zlib import crc32

from ._answers import CREATED, _instance, _pieces
from ._behaviour import Behaviour


def usage_of_response(body: Mapping[str, Any]) -> dict[str, Any]:
    """The usage that a request gets: made from a checksum of its model and input."""
    asked = json.dumps(body.get("input", ""), ensure_ascii=False)
    seed = crc32(f"{body.get('model')}{asked}".encode("utf-8", "replace"))
    given, made = 8 + len(asked) // 4 + seed % 17, 2 + seed // 17 % 60
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": given * (seed % 4) // 4, "cache_write_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": made * (seed % 5) // 8},
        "total_tokens": given + made,
    }


def response(body: Mapping[str, Any], model: str, number: int, asked: Behaviour) -> dict[str, Any]:
    """The response as it is when it is finished."""
    tier = body.get("service_tier") or "auto"
    status, details, error = "completed", None, None
    if asked.finish_reason is not None:
        reason = {"length": "max_output_tokens"}.get(asked.finish_reason, asked.finish_reason)
        status, details = "incomplete", {"reason": reason}
    if asked.fails is not None:
        status, error = "failed", {"code": asked.fails, "message": "The fake API was asked to fail."}
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": bool(body.get("background")),
        "error": error,
        "incomplete_details": details,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata") or {},
        "model": model,
        "output": [] if error else list(_output(body, asked)),
        "parallel_tool_calls": True,
        "service_tier": "default" if tier == "auto" else tier,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "usage": None if error else usage_of_response(body),
    }


def compacted(body: Mapping[str, Any], model: str, number: int, asked: Behaviour) -> dict[str, Any]:
    """The answer of /responses/compact, which names no model."""
    return {
        "id": f"resp_{number}",
        "object": "response.compaction",
        "created_at": CREATED,
        "output": [{"id": "cmp_1", "type": "compaction", "encrypted_content": "gAAA"}],
        "usage": usage_of_response(body),
    }


def queued(whole: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a response in the background at first."""
    return {**whole, "status": "queued", "output": [], "usage": None}


def response_events(whole: Mapping[str, Any], asked: Behaviour) -> Iterator[dict[str, Any]]:
    """The events of a stream of the response, numbered; without the last one if the stream just stops."""
    events = [*_events(whole, asked)]
    for number, event in enumerate(events if asked.done else events[:-1]):
        yield {**event, "sequence_number": number}


def _output(body: Mapping[str, Any], asked: Behaviour) -> Iterator[dict[str, Any]]:
    if body.get("reasoning"):
        summary = [{"type": "summary_text", "text": "It is about light."}]
        yield {"id": "rs_1", "type": "reasoning", "summary": summary}
    if asked.refusal is None and (tools := body.get("tools")):
        schema = tools[0].get("parameters") or {}
        arguments = json.dumps(_instance(schema, schema)) if schema else "{}"
        call = {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1"}
        yield {**call, "name": tools[0]["name"], "arguments": arguments}
        return
    part: dict[str, Any] = {"type": "refusal", "refusal": asked.refusal}
    if asked.refusal is None:
        part = {"type": "output_text", "text": _text(body), "annotations": [], "logprobs": []}
    yield {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}


def _text(body: Mapping[str, Any]) -> str:
    wanted = (body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        return json.dumps(_instance(wanted["schema"], wanted["schema"]))
    return f"answer to {crc32(json.dumps(body.get('input')).encode())}, kept short"


def _events(whole: Mapping[str, Any], asked: Behaviour) -> Iterator[dict[str, Any]]:
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "error": None, "incomplete_details": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(whole["output"]):
        empty = {name: [] if isinstance(part, list) else part for name, part in item.items()}
        where = {"item_id": item["id"], "output_index": index}
        yield {"type": "response.output_item.added", "output_index": index, "item": {**empty, "status": "in_progress"}}
        if item["type"] == "message":
            yield from _said({**where, "content_index": 0}, item["content"][0], asked)
        elif item["type"] == "reasoning":
            for piece in _pieces(item["summary"][0]["text"], 2):
                kind = "response.reasoning_summary_text.delta"
                yield {"type": kind, **where, "summary_index": 0, "delta": piece}
        else:
            for piece in _pieces(item["arguments"], asked.chunks or 3):
                yield {"type": "response.function_call_arguments.delta", **where, "delta": piece}
            done = {"arguments": item["arguments"], "name": item["name"]}
            yield {"type": "response.function_call_arguments.done", **where, **done}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{whole['status']}", "response": whole}


def _said(where: Mapping[str, Any], part: Mapping[str, Any], asked: Behaviour) -> Iterator[dict[str, Any]]:
    field = "text" if part["type"] == "output_text" else "refusal"
    kind = "response.output_text" if field == "text" else "response.refusal"
    logprobs: dict[str, Any] = {"logprobs": []} if field == "text" else {}
    yield {"type": "response.content_part.added", **where, "part": {**part, field: ""}}
    for piece in _pieces(part[field], asked.chunks or 3):
        yield {"type": f"{kind}.delta", **where, "delta": piece, **logprobs}
    yield {"type": f"{kind}.done", **where, field: part[field], **logprobs}
    yield {"type": "response.content_part.done", **where, "part": part}

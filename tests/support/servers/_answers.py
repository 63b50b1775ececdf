"""Replies of the fake API, computed from the request alone: equal requests get equal replies and token counts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any
from zlib import crc32

from ._behaviour import Behaviour

CHAT = "/chat/completions"
LEGACY = "/completions"
CREATED = 1_760_000_000
SNAPSHOTS = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
}
"""The model an answer names, where it is not the one asked for."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "input": ("prompt_tokens", "input_tokens"),
    "output": ("completion_tokens", "output_tokens"),
    "input_cached": ("*.cached_tokens",),
    "input_audio": ("prompt_tokens_details.audio_tokens", "input_token_details.audio_tokens"),
    "input_image": ("input_tokens_details.image_tokens",),
    "output_reasoning": ("*.reasoning_tokens",),
    "output_audio": ("completion_tokens_details.audio_tokens",),
    "output_image": ("output_tokens_details.image_tokens",),
    "output_accepted_prediction": ("*.accepted_prediction_tokens",),
    "output_rejected_prediction": ("*.rejected_prediction_tokens",),
}
"""Where each kind of token stands in a usage object; `*` is any of its details."""


def usage_for(body: Mapping[str, Any], endpoint: str) -> dict[str, Any]:
    """The usage that a request gets: made from a checksum of its model and prompt."""
    prompt = _prompt(body)
    seed = crc32(f"{body.get('model')}{prompt}".encode("utf-8", "replace"))
    given = 8 + len(prompt) // 4 + seed % 17
    made = (2 + seed // 17 % 60) * choices_of(body)
    usage: dict[str, Any] = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    if endpoint == CHAT:
        usage["prompt_tokens_details"] = {"cached_tokens": given * (seed % 4) // 4, "audio_tokens": seed % 3}
        usage["completion_tokens_details"] = {
            "reasoning_tokens": made * (seed % 5) // 8,
            "audio_tokens": seed // 3 % 2,
            "accepted_prediction_tokens": seed // 5 % 2,
            "rejected_prediction_tokens": seed // 7 % 3,
        }
    return usage


def tokens_in(usage: Mapping[str, Any]) -> dict[str, int]:
    """The tokens of a usage object by kind, those above zero."""
    flat: dict[str, Any] = {}
    for name, value in usage.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{part}": number for part, number in value.items()}
            flat |= {f"*.{part}": number for part, number in value.items()}
        else:
            flat[name] = value
    found = {kind: next((flat[way] for way in ways if way in flat), 0) for kind, ways in KINDS.items()}
    return {kind: tokens for kind, tokens in found.items() if isinstance(tokens, int) and tokens > 0}


def choices_of(body: Mapping[str, Any]) -> int:
    """How many choices a request asks for: ``n`` for each prompt."""
    prompt = body.get("prompt")
    prompts = len(prompt) if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else 1
    return int(body.get("n") or 1) * prompts


def answer(endpoint: str, body: Mapping[str, Any], model: str, number: int, asked: Behaviour) -> dict[str, Any]:
    """The plain answer, before ``asked.patch`` and ``asked.omit``."""
    chat = endpoint == CHAT
    make = _chat_choice if chat else _legacy_choice
    tier = body.get("service_tier") or "auto"
    return {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{number}",
        "object": "chat.completion" if chat else "text_completion",
        "created": CREATED,
        "model": model,
        "choices": [make(body, index, asked) for index in range(choices_of(body))],
        "usage": usage_for(body, endpoint),
        "system_fingerprint": "fp_fake",
        **({"service_tier": "default" if tier == "auto" else tier} if chat else {}),
    }


def patched(reply: Mapping[str, Any], asked: Behaviour) -> dict[str, Any]:
    """The answer or chunk with ``asked.patch`` and ``asked.omit`` applied."""
    patch = dict(asked.patch or {})
    if not reply.get("usage"):
        patch.pop("usage", None)
    return {key: value for key, value in {**reply, **patch}.items() if key not in asked.omit}


def chunks(whole: Mapping[str, Any], asked: Behaviour, *, include_usage: bool, azure: bool) -> Iterator[dict[str, Any]]:
    """The stream's chunks for a plain answer."""
    base = {key: value for key, value in whole.items() if key not in ("choices", "usage")}
    if base["object"] == "chat.completion":
        base["object"] = "chat.completion.chunk"
    deltas = [d for choice in whole["choices"] for d in _deltas(choice, asked, chat="message" in choice)]
    if include_usage or asked.usage_everywhere:
        base["usage"] = None
    if azure:
        filtered = [{"prompt_index": 0, "content_filter_results": {}}]
        yield {**base, "id": "", "object": "", "model": "", "choices": [], "prompt_filter_results": filtered}
    for sent, delta in enumerate(deltas, 1):
        growing = {"usage": _part(whole["usage"], sent, len(deltas))} if asked.usage_everywhere else {}
        yield {**base, "choices": [delta], **growing}
    if include_usage:
        yield {**base, "choices": [], "usage": whole["usage"]}


def _part(usage: Mapping[str, Any], sent: int, total: int) -> dict[str, Any]:
    made = usage["completion_tokens"] * sent // total
    return {**usage, "completion_tokens": made, "total_tokens": usage["prompt_tokens"] + made}


def _deltas(choice: Mapping[str, Any], asked: Behaviour, *, chat: bool) -> Iterator[dict[str, Any]]:
    index, reason = choice["index"], choice["finish_reason"]
    if not chat:
        for piece in _pieces(choice["text"], asked.chunks or 3):
            yield {"index": index, "text": piece, "logprobs": None, "finish_reason": None}
        yield {"index": index, "text": "", "logprobs": None, "finish_reason": reason}
        return
    message = choice["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
    for field in ("content", "refusal"):
        if isinstance(message.get(field), str):
            deltas += [{field: piece} for piece in _pieces(message[field], asked.chunks or 3)]
        elif field in (asked.message or {}):
            deltas += [{field: message[field]}]
    for at, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        deltas += [{"tool_calls": [{"index": at, **call, "function": {"name": function["name"], "arguments": ""}}]}]
        pieces = _pieces(function["arguments"], asked.chunks or 3)
        deltas += [{"tool_calls": [{"index": at, "function": {"arguments": piece}}]} for piece in pieces]
    for delta in deltas:
        yield {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
    yield {"index": index, "delta": {}, "logprobs": None, "finish_reason": reason}


def _pieces(text: str, count: int) -> list[str]:
    edges = [len(text) * at // count for at in range(count + 1)]
    return [text[start:end] for start, end in pairwise(edges)]


def _chat_choice(body: Mapping[str, Any], index: int, asked: Behaviour) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": asked.refusal}
    reason = "stop"
    messages = body.get("messages") or [{}]
    tools = body.get("tools")
    if asked.refusal is None and tools and body.get("tool_choice") != "none" and messages[-1].get("role") != "tool":
        message["tool_calls"] = [_tool_call(tools[0]["function"], index)]
        reason = "tool_calls"
    elif asked.refusal is None:
        message["content"] = _content(body, index)
    message.update(asked.message or {})
    reason = asked.finish_reason or reason
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}


def _legacy_choice(body: Mapping[str, Any], index: int, asked: Behaviour) -> dict[str, Any]:
    text = f" answer {index} to {_prompt(body)[:20]}"
    return {"index": index, "text": text, "logprobs": None, "finish_reason": asked.finish_reason or "stop"}


def _content(body: Mapping[str, Any], index: int) -> str:
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        schema = wanted["json_schema"]["schema"]
        return json.dumps(_instance(schema, schema))
    if wanted.get("type") == "json_object":
        return '{"ok": true}'
    return f"answer {index} to {crc32(_prompt(body).encode('utf-8', 'replace'))}, kept short"


def _tool_call(function: Mapping[str, Any], index: int) -> dict[str, Any]:
    schema = function.get("parameters") or {}
    arguments = json.dumps(_instance(schema, schema)) if schema else "{}"
    return {"id": f"call_{index}", "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _instance(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """The plainest value that a JSON schema allows."""
    if "$ref" in schema:
        return _instance(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root)
    for several in ("anyOf", "enum"):
        if several in schema:
            first = schema[several][0]
            return _instance(first, root) if several == "anyOf" else first
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: _instance(inner, root) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [_instance(schema["items"], root)] if "items" in schema else []
    return {"string": "text", "integer": 7, "number": 1.5, "boolean": True}.get(kind)


def _prompt(body: Mapping[str, Any]) -> str:
    asked = body.get("messages", body.get("prompt", ""))
    return asked if isinstance(asked, str) else json.dumps(asked, ensure_ascii=False)

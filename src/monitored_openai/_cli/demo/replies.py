"""The demo's models and conversations, and the API's reply to each request: the same in every run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from random import Random
from typing import Any, Literal
from zlib import crc32

from monitored_openai._cli.demo.counts import Kind

UNPRICED_MODEL = "house-llm"
"""A self-hosted model, which no price list contains."""
_CREATED = 1_760_000_000
_CHARACTERS_PER_TOKEN = 4
_CACHE_BLOCK_TOKENS = 128
_CACHED_SHARE = 0.6
_WORDS_PER_CHUNK = 3
_LATENCY_SIGMA = 0.35
"""Sigma of the log-normal distribution of latencies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model's weight in the workload, and its reply's form and speed in seconds."""

    weight: int
    snapshot: str
    first_chunk: float
    per_token: float
    reasons: bool = False
    legacy: bool = False
    """True for legacy completions, false for chat completions."""


MODELS: Mapping[str, Model] = {
    "gpt-5": Model(weight=3, snapshot="gpt-5-2025-08-07", first_chunk=0.1, per_token=0.0012, reasons=True),
    "gpt-5-mini": Model(weight=7, snapshot="gpt-5-mini-2025-08-07", first_chunk=0.06, per_token=0.0006, reasons=True),
    "gpt-4o": Model(weight=5, snapshot="gpt-4o-2024-08-06", first_chunk=0.07, per_token=0.004),
    "gpt-4.1-mini": Model(weight=6, snapshot="gpt-4.1-mini-2025-04-14", first_chunk=0.04, per_token=0.0025),
    "davinci-002": Model(weight=3, snapshot="davinci-002", first_chunk=0.03, per_token=0.003, legacy=True),
    UNPRICED_MODEL: Model(weight=2, snapshot=UNPRICED_MODEL, first_chunk=0.15, per_token=0.006),
}

_CITED = {"title": "Sendungsverfolgung", "url": "https://carrier.example/", "start_index": 0, "end_index": 9}
_EXTRAS: Mapping[str, Mapping[str, Any]] = {
    "Where is my": {
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "find_order", "arguments": "{}"}}]
    },
    "Ist die Lieferung": {"annotations": [{"type": "url_citation", "url_citation": _CITED}]},
}
"""Further fields of the message in a body, by the topic of the prompt."""

CONVERSATIONS: Mapping[str, Mapping[str, str]] = json.loads(
    files("monitored_openai._cli.demo").joinpath("conversations.json").read_text(encoding="utf-8")
)
"""Each prompt and its reply, by feature."""
FEATURES = tuple(CONVERSATIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply before it is sent; times in seconds."""

    identity: str
    model: Model
    topic: str
    """The first words of the prompt."""
    text: str
    tokens: Mapping[Kind, int]
    first_chunk: float
    generation: float

    def body(self) -> dict[str, Any]:
        """Return the body of a reply that is not streamed; some call a function or cite a web page."""
        body = {**self._part("message", self.text, "stop"), "usage": self._usage()}
        if not self.model.legacy:
            body["choices"][0]["message"] |= _EXTRAS.get(self.topic, {})
        return body

    @property
    def cites(self) -> bool:
        """True if a body cites a web page: the reply does not report the fee of the search, so its cost is incomplete."""
        return "annotations" in _EXTRAS.get(self.topic, {}) and not self.model.legacy

    def chunks(self, *, include_usage: bool) -> list[dict[str, Any]]:
        """Return the chunks of a streamed reply, a few words each."""
        texts = re.findall(f"(?: ?[^ ]+){{1,{_WORDS_PER_CHUNK}}}", self.text)
        end = self._part("delta", "", "stop")
        usage = [{**end, "choices": [], "usage": self._usage()}] if include_usage else []
        return [*(self._part("delta", text, None) for text in texts), end, *usage]

    def _part(self, field: Literal["message", "delta"], text: str, finish_reason: str | None) -> dict[str, Any]:
        chat = "chat.completion" if field == "message" else "chat.completion.chunk"
        content = {"text": text} if self.model.legacy else {field: {"role": "assistant", "content": text}}
        return {
            "id": self.identity,
            "object": "text_completion" if self.model.legacy else chat,
            "created": _CREATED,
            "model": self.model.snapshot,
            "service_tier": "default",
            "choices": [{"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}],
        }

    def _usage(self) -> dict[str, Any]:
        prompt, completion = self.tokens["input tokens"], self.tokens["output tokens"]
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": self.tokens["cached input tokens"], "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": self.tokens["reasoning tokens"], "audio_tokens": 0},
        }


def reply_to(request: Mapping[str, Any], number: int) -> Reply:
    """Return the reply to a request, the `number`th that the API answers."""
    model = MODELS[request["model"]]
    texts = [str(request["prompt"])] if model.legacy else [str(message["content"]) for message in request["messages"]]
    random = Random(crc32(f"{request['model']} {texts[-1]}".encode()))  # noqa: S311  # no secret
    replies = {prompt.partition("{")[0]: reply for said in CONVERSATIONS.values() for prompt, reply in said.items()}
    text = next((reply for start, reply in replies.items() if texts[-1].startswith(start)), "I cannot help with that.")
    reasoning = 64 * random.randint(1, 6) if model.reasons else 0
    prompt_tokens, answer_tokens = sum(map(len, texts)) // _CHARACTERS_PER_TOKEN, len(text) // _CHARACTERS_PER_TOKEN
    is_cached = not model.legacy and random.random() < _CACHED_SHARE
    return Reply(
        identity=f"{'cmpl' if model.legacy else 'chatcmpl'}-{number}",
        model=model,
        topic=" ".join(texts[-1].split()[:3]),
        text=text,
        tokens={
            "input tokens": prompt_tokens,
            "output tokens": reasoning + answer_tokens,
            "cached input tokens": prompt_tokens // _CACHE_BLOCK_TOKENS * _CACHE_BLOCK_TOKENS if is_cached else 0,
            "reasoning tokens": reasoning,
        },
        first_chunk=model.first_chunk * random.lognormvariate(0, _LATENCY_SIGMA) + reasoning * model.per_token,
        generation=answer_tokens * model.per_token * random.lognormvariate(0, _LATENCY_SIGMA),
    )

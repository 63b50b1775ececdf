"""What the demo's API says, how many tokens that is, and how long it takes: all of it follows from the request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any
from zlib import crc32

_CREATED = 1_760_000_000
_CHARACTERS_PER_TOKEN = 4
_CACHE_BLOCK = 128
"""Tokens by which a prompt's beginning is found in the cache; the real API's step as well."""
_WORDS_PER_CHUNK = 3
_SPREAD = 0.35
"""Sigma of the latencies' log-normal distribution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """How a model answers; times in seconds."""

    snapshot: str
    """The name that the answer gives it."""
    until_first: float
    per_token: float
    reasons: bool = False


MODELS = {
    "gpt-5": Model(snapshot="gpt-5-2025-08-07", until_first=0.1, per_token=0.0012, reasons=True),
    "gpt-5-mini": Model(snapshot="gpt-5-mini-2025-08-07", until_first=0.06, per_token=0.0006, reasons=True),
    "gpt-4o": Model(snapshot="gpt-4o-2024-08-06", until_first=0.07, per_token=0.004),
    "gpt-4.1-mini": Model(snapshot="gpt-4.1-mini-2025-04-14", until_first=0.04, per_token=0.0025),
    "davinci-002": Model(snapshot="davinci-002", until_first=0.03, per_token=0.003),
    "house-llm": Model(snapshot="house-llm", until_first=0.15, per_token=0.006),
}

_REPLIES = {
    "Where is": "It left our warehouse this morning and should reach you in two to four working days. You will get a "
    "link to follow it as soon as the carrier has scanned the parcel.",
    "handle": "I am sorry about that. A new one is on its way to you, free of charge, and you need not send the "
    "broken one back.",
    "return": "Yes, you can: within 30 days, opened or not. Print the label on your account's Orders page, stick it on "
    "the parcel and drop it at any post office. Your money is back within five working days.",
    "charged": "I can see both payments, and the second one should not be there. It goes back to your card today and "
    "shows up within five working days. Please accept our apologies.",
    "Bestellung": "Ja, das Paket ist seit heute früh unterwegs und braucht zwei bis vier Werktage. Den Link zur "
    "Sendungsverfolgung bekommen Sie per E-Mail.",
    "Ticket": "The customer is happy with the pans but not with the carrier, who came a day late and left no note.",
    "Report": "Sales rose by 11 % and costs by 3 %, mostly for freight. The new plant is to open in April.",
    "Minutes": "Decisions:\n1. Anna takes over the migration.\n2. The release moves to next week.\n"
    "3. Next week's meeting is cancelled.",
}
"""What is said to a prompt in which this word stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer before it takes the form of an endpoint; times in seconds."""

    model: str
    text: str
    usage: Mapping[str, Any]
    until_first: float
    generating: float


def answer_to(request: Mapping[str, Any]) -> Answer:
    """The answer to a request's body."""
    messages = [str(message["content"]) for message in request.get("messages", ())] or [str(request.get("prompt"))]
    asked = messages[-1]
    random = Random(crc32(f"{request['model']} {asked}".encode()))  # noqa: S311  # no secret
    model = MODELS[request["model"]]
    text = next((reply for word, reply in _REPLIES.items() if word in asked), "I cannot help with that.")
    reasoning = 64 * random.randint(1, 6) if model.reasons else 0
    prompt = sum(map(len, messages)) // _CHARACTERS_PER_TOKEN
    completion = reasoning + len(text) // _CHARACTERS_PER_TOKEN
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if "messages" in request:
        cached = prompt // _CACHE_BLOCK * _CACHE_BLOCK if random.random() < 0.6 else 0
        usage["prompt_tokens_details"] = {"cached_tokens": cached, "audio_tokens": 0}
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning, "audio_tokens": 0}
    return Answer(
        model=model.snapshot,
        text=text,
        usage=usage,
        until_first=model.until_first * random.lognormvariate(0, _SPREAD) + reasoning * model.per_token,
        generating=(completion - reasoning) * model.per_token * random.lognormvariate(0, _SPREAD),
    )


def whole(answer: Answer, identity: str, *, chat: bool) -> dict[str, Any]:
    """The body of an unstreamed answer."""
    said = {"message": {"role": "assistant", "content": answer.text}} if chat else {"text": answer.text}
    choice = {"index": 0, **said, "logprobs": None, "finish_reason": "stop"}
    return {**_head(answer, identity, "chat.completion" if chat else "text_completion"), "choices": [choice]} | {
        "usage": answer.usage
    }


def chunks(answer: Answer, identity: str, *, chat: bool) -> Iterator[dict[str, Any]]:
    """The chunks of a streamed answer but for the usage, a few words each."""
    head = _head(answer, identity, "chat.completion.chunk" if chat else "text_completion")
    words = answer.text.split(" ")
    for at in range(0, len(words), _WORDS_PER_CHUNK):
        text = (" " if at else "") + " ".join(words[at : at + _WORDS_PER_CHUNK])
        yield {**head, "choices": [_delta({"content": text} if chat else text, None)]}
    yield {**head, "choices": [_delta({} if chat else "", "stop")]}


def usage_chunk(answer: Answer, identity: str, *, chat: bool) -> dict[str, Any]:
    """The last chunk of a stream that was asked to include its usage."""
    head = _head(answer, identity, "chat.completion.chunk" if chat else "text_completion")
    return {**head, "choices": [], "usage": answer.usage}


def _delta(said: Any, finish_reason: str | None) -> dict[str, Any]:
    field = "text" if isinstance(said, str) else "delta"
    return {"index": 0, field: said, "logprobs": None, "finish_reason": finish_reason}


def _head(answer: Answer, identity: str, kind: str) -> dict[str, Any]:
    return {"id": identity, "object": kind, "created": _CREATED, "model": answer.model, "service_tier": "default"}

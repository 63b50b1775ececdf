"""Calls with known tokens, prices and delays, and the true numbers of them."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import openai

from monitored_openai import MonitoredOpenAI, Monitoring
from tests.support.handles import http, settled

MODELS = {"gpt-4o": (2.5, 10.0), "gpt-4o-mini": (0.15, 0.6), "text-embedding-3-small": (0.02, 0.0)}
"""USD of a million input and output tokens."""
PRICES = {model: {"input": given, "output": made} for model, (given, made) in MODELS.items()}
EMBEDDINGS = "text-embedding-3-small"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call, and what the API does."""

    model: str
    tokens: tuple[int, int] = (0, 0)
    """Input and output."""
    delay: float = 0.0
    streamed: bool = False
    fails: bool = False

    @property
    def usd(self) -> float | None:
        if self.fails:
            return None
        return sum(tokens * price for tokens, price in zip(self.tokens, MODELS[self.model], strict=True)) / 1e6


CALLS = (
    Call(model="gpt-4o", tokens=(10, 20), streamed=True),
    Call(model="gpt-4o", tokens=(100, 300), streamed=True, delay=0.2),
    Call(model="gpt-4o", tokens=(1500, 40), streamed=True, delay=0.4),
    Call(model="gpt-4o", tokens=(5, 2)),
    Call(model="gpt-4o", fails=True),
    Call(model="gpt-4o-mini", tokens=(4, 16), streamed=True, delay=0.1),
    Call(model="gpt-4o-mini", tokens=(64, 65), delay=0.2),
    Call(model="gpt-4o-mini", tokens=(200_000, 4096)),
    Call(model=EMBEDDINGS, tokens=(700, 0)),
    Call(model=EMBEDDINGS, tokens=(9, 0), delay=0.1),
)


def answer(request: Any) -> Any:
    """The API's reply to the call with this number, after its delay."""
    call = CALLS[int(request.headers["x-number"])]
    time.sleep(call.delay)
    if call.fails:
        return http.Response(500, json={"error": {"message": "no"}})
    given, made = call.tokens
    usage = {"prompt_tokens": given, "total_tokens": given + made}
    if call.model == EMBEDDINGS:
        data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
        return http.Response(200, json={"object": "list", "data": data, "model": call.model, "usage": usage})
    usage["completion_tokens"] = made
    common = {"id": "chatcmpl-1", "created": 1, "model": call.model}
    said = {"role": "assistant", "content": "fine"}
    if not call.streamed:
        choices = [{"index": 0, "finish_reason": "stop", "message": said}]
        return http.Response(200, json={**common, "object": "chat.completion", "choices": choices, "usage": usage})
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": said, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": usage},
    ]
    events = [json.dumps({**common, "object": "chat.completion.chunk", **chunk}) for chunk in chunks]
    body = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
    return http.Response(200, content=body.encode(), headers={"content-type": "text/event-stream"})


def make(client: openai.OpenAI, number: int) -> None:
    """Make the call with this number."""
    call, headers = CALLS[number], {"x-number": str(number)}
    try:
        if call.model == EMBEDDINGS:
            client.embeddings.create(model=call.model, input="x", encoding_format="float", extra_headers=headers)
            return
        asked: Any = {"model": call.model, "messages": [{"role": "user", "content": "x"}], "extra_headers": headers}
        reply = client.chat.completions.create(**asked, stream=call.streamed)
        if call.streamed:
            assert list(reply)
    except openai.InternalServerError:
        assert call.fails


def make_all(handles: Sequence[Monitoring]) -> None:
    """Make all calls at the same time, by turns with a client of each handle, and push."""
    with ExitStack() as stack:
        connection = stack.enter_context(http.Client(transport=http.MockTransport(answer)))
        clients = [
            stack.enter_context(
                MonitoredOpenAI(api_key="none", http_client=connection, max_retries=0, monitoring=monitoring)
            )
            for monitoring in handles
        ]
        with ThreadPoolExecutor(len(CALLS)) as pool:
            list(pool.map(lambda number: make(clients[number % len(clients)], number), range(len(CALLS))))
        for monitoring in handles:
            settled(monitoring)


def labels_of(call: Call) -> dict[str, str]:
    return {
        "gen_ai_system": "openai",
        "gen_ai_request_model": call.model,
        "gen_ai_operation_name": "embeddings" if call.model == EMBEDDINGS else "chat",
    }


def truth(shows: str, by: Sequence[str], environment: str) -> dict[tuple[str, ...], float]:
    """A number of the calls for each value of labels."""
    sums = defaultdict[tuple[str, ...], float](float)
    for call in CALLS:
        labels = {"deployment_environment": environment, **labels_of(call)}
        for kind, tokens in zip(("input", "output"), call.tokens, strict=True):
            key = tuple({**labels, "gen_ai_token_type": kind}.get(name, "") for name in by)
            if shows == "tokens" and tokens:
                sums[key] += tokens
        key = tuple(labels.get(name, "") for name in by)
        if shows == "calls":
            sums[key] += 1
        elif shows == "cost" and call.usd is not None:
            sums[key] += call.usd
    return dict(sums)

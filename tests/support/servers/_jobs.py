"""The fake API's replies for decisions, and for work that continues after the reply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ._answers import CREATED, _pieces
from ._behaviour import Behaviour
from ._responses import usage_of_response

RUN_USAGE = {"prompt_tokens": 21, "completion_tokens": 8, "total_tokens": 29}


def decision(body: Mapping[str, Any], model: str, number: int, asked: Behaviour) -> dict[str, Any]:
    """One probability."""
    answers = [{"type": "predicate", "name": None, "probability": 0.75}]
    return {"answers": answers, "model": model, "usage": usage_of_response(body)}


def job(body: Mapping[str, Any], model: str, number: int, asked: Behaviour) -> dict[str, Any]:
    """Anything that has an id and a state, and costs what no reply tells."""
    named = {"model": body["model"]} if "model" in body else {}
    status = "queued" if asked.fails is None else "failed"
    error = None if asked.fails is None else {"code": asked.fails, "message": "The fake API was asked to fail."}
    return {"id": f"job_{number}", "created_at": CREATED, "status": status, "error": error, **named}


def run(body: Mapping[str, Any], model: str, number: int, asked: Behaviour) -> dict[str, Any]:
    """A run of an assistant as it is when it is finished."""
    return {
        "id": f"run_{number}",
        "object": "thread.run",
        "created_at": CREATED,
        "thread_id": "thread_1",
        "assistant_id": "asst_1",
        "model": "gpt-4o-2024-08-06",
        "status": "completed",
        "usage": RUN_USAGE,
    }


def run_events(whole: Mapping[str, Any], asked: Behaviour) -> Iterator[dict[str, Any]]:
    """The events of a streamed run, each with its name beside the data."""
    begun = {**whole, "status": "queued", "usage": None}
    for name in ("thread.run.created", "thread.run.queued"):
        yield {"event": name, "data": begun}
    for piece in _pieces("It is about light.", 3):
        text = {"index": 0, "type": "text", "text": {"value": piece}}
        delta = {"id": "msg_1", "object": "thread.message.delta", "delta": {"content": [text]}}
        yield {"event": "thread.message.delta", "data": delta}
    yield {"event": "thread.run.completed", "data": whole}

"""Runs of assistants on threads: how their bodies and the events of their streams are read.

A run is made in the background unless it is streamed: what it used is told by a later look at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai import BaseModel

from monitored_openai._endpoints.base import BACKGROUND, Endpoint, ParsedResponse, dictionary, text
from monitored_openai._endpoints.parsing import read_completion_usage
from monitored_openai._endpoints.reading import plain, why_unknown

_UNFINISHED = frozenset({"queued", "in_progress", "requires_action", "cancelling"})
_NOT_BEGUN = frozenset({"thread.created", "thread.run.created", "thread.run.queued", "thread.run.in_progress"})


class RunEvents:
    """A stream's events as far as they got: the last state of the run, and what was said."""

    __slots__ = ("_run", "_texts")

    def __init__(self) -> None:
        self._run: Any = None
        self._texts: list[str] = []

    def add(self, chunk: Any) -> bool | None:
        """Take in one event; `None` when the answer has not begun by it."""
        kind, data = chunk.event, chunk.data
        if kind.startswith("thread.run.") and not kind.startswith("thread.run.step."):
            self._run = data
        elif kind == "thread.message.delta":
            parts = (getattr(part, "text", None) for part in data.delta.content or ())
            self._texts += [part.value for part in parts if part is not None and isinstance(part.value, str)]
        return None if kind in _NOT_BEGUN else False

    def size(self) -> int:
        """About how many bytes of content are kept."""
        return sum(map(len, self._texts))

    def body(self) -> dict[str, Any]:
        """The run as it was last told, with what was said."""
        return {**dictionary(plain(self._run)), **({"text": "".join(self._texts)} if self._texts else {})}


def read_run(body: Mapping[str, Any]) -> ParsedResponse:
    """Read the body of a run."""
    usage, status = read_completion_usage(body.get("usage")), text(body.get("status"))
    error = dictionary(body.get("last_error"))
    reason = text(dictionary(body.get("incomplete_details")).get("reason")) or status
    finished = status not in _UNFINISHED
    return ParsedResponse(
        model=text(body.get("model")),
        id=text(body.get("id")),
        finish_reasons=(reason,) if reason else (),
        usage=usage,
        usage_unknown=BACKGROUND if usage is None and not finished else why_unknown(usage, body.get("usage")),
        body=body,
        error_code=(text(error.get("code")) or "failed") if status == "failed" else None,
        error_message=text(error.get("message")),
        finished=finished,
    )


def _family(path: str, operation: str, **more: Any) -> Endpoint:
    return Endpoint(path=path, operation=operation, answer=read_run, chunks=RunEvents, chunk_type=BaseModel, **more)


RUNS = (
    _family("/threads/runs", "invoke_agent", owes=True),
    _family("/threads/{thread_id}/runs", "invoke_agent", owes=True),
    _family("/threads/{thread_id}/runs/{run_id}", "retrieve", method="get", repeats=True),
    _family("/threads/{thread_id}/runs/{run_id}/submit_tool_outputs", "invoke_agent", repeats=True),
    _family("/threads/{thread_id}/runs/{run_id}/cancel", "cancel", repeats=True),
)

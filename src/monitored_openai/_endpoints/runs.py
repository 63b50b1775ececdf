"""Runs of assistants on threads.

The server executes a run without a stream in the background; a later request for the run reports its usage.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

from monitored_openai._endpoints.base import BACKGROUND, Endpoint, ParsedResponse, dictionary, text
from monitored_openai._endpoints.parsing import as_plain, parse_plain
from monitored_openai._endpoints.tools import run_tools

_UNFINISHED = frozenset({"queued", "in_progress", "requires_action", "cancelling"})
_BEFORE_OUTPUT = frozenset({"thread.created", "thread.run.created", "thread.run.queued", "thread.run.in_progress"})


class RunAccumulator:
    """Collects the events of a stream: the latest state of the run, and the text of its messages."""

    __slots__ = ("_run", "_texts")

    def __init__(self) -> None:
        self._run: Any = None
        self._texts: list[str] = []

    def add(self, chunk: Any) -> bool | None:
        """Add one event; return `None` if it precedes the first output."""
        kind, data = chunk.event, chunk.data
        if kind.startswith("thread.run.") and not kind.startswith("thread.run.step."):
            self._run = data
        elif kind == "thread.message.delta":
            parts = (getattr(part, "text", None) for part in data.delta.content or ())
            self._texts += [part.value for part in parts if part is not None and isinstance(part.value, str)]
        return None if kind in _BEFORE_OUTPUT else False

    def size(self) -> int:
        """Return the approximate number of bytes of content held."""
        return sum(map(len, self._texts))

    def body(self) -> dict[str, Any]:
        """Return the latest state of the run, with the text so far."""
        return {**dictionary(as_plain(self._run)), **({"text": "".join(self._texts)} if self._texts else {})}


def parse_run(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse the body of a run."""
    plain, status = parse_plain(body), text(body.get("status"))
    error = dictionary(body.get("last_error"))
    reason = text(dictionary(body.get("incomplete_details")).get("reason")) or status
    finished = status not in _UNFINISHED
    return dataclasses.replace(
        plain,
        finish_reasons=(reason,) if reason else (),
        usage_unknown=BACKGROUND if plain.usage is None and not finished else plain.usage_unknown,
        error_code=(text(error.get("code")) or "failed") if status == "failed" else None,
        error_message=text(error.get("message")),
        finished=finished,
        **run_tools(body),
    )


_endpoint = partial(Endpoint, parse=parse_run, accumulator=RunAccumulator)
RUNS = (
    _endpoint("/threads/runs", "invoke_agent", defers_usage=True),
    _endpoint("/threads/{thread_id}/runs", "invoke_agent", defers_usage=True),
    _endpoint("/threads/{thread_id}/runs/{run_id}", "retrieve", method="get", reports_deferred_usage=True),
    _endpoint("/threads/{thread_id}/runs/{run_id}/submit_tool_outputs", "invoke_agent", reports_deferred_usage=True),
    _endpoint("/threads/{thread_id}/runs/{run_id}/cancel", "cancel", reports_deferred_usage=True),
)

"""Work that begins with the reply and is billed by what no reply tells: videos, training, evaluations, sessions.

Each is seen as a call, with what it is called and how it began; its usage is unknown and so is its cost.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from openai import BaseModel

from monitored_openai._endpoints.base import BACKGROUND, Endpoint, ParsedResponse, dictionary, text
from monitored_openai._endpoints.final_event import Events
from monitored_openai._endpoints.reading import read_plain


def read_job(body: Mapping[str, Any]) -> ParsedResponse:
    """Read the body of a job. A usage in it is that of more than this call, and may still change."""
    error = dictionary(body.get("error"))
    failed = text(body.get("status")) == "failed"
    return dataclasses.replace(
        read_plain(body),
        usage=None,
        usage_unknown="not_reported",
        error_code=(text(error.get("code")) or "failed") if failed else None,
        error_message=text(error.get("message")),
    )


def _read_batch(body: Mapping[str, Any]) -> ParsedResponse:
    return dataclasses.replace(read_job(body), usage_unknown=BACKGROUND)


def _job(
    path: str,
    operation: str,
    *,
    answer: Callable[[Mapping[str, Any]], ParsedResponse] = read_job,
    unstructured: bool = False,
    tells_usage: bool = False,
) -> Endpoint:
    return Endpoint(
        path=path,
        operation=operation,
        answer=answer,
        chunks=Events,
        chunk_type=BaseModel,
        unstructured=unstructured,
        tells_usage=tells_usage,
    )


BATCH_RESULT = _job("", "batch_result", tells_usage=True)
"""Of no path: what a finished batch used, when that is asked for."""
BATCHES = _job("/batches", "batch", answer=_read_batch)
VIDEOS = (
    _job("/videos", "video_generation"),
    _job("/videos/characters", "video_generation"),
    _job("/videos/edits", "video_generation"),
    _job("/videos/extensions", "video_generation"),
    _job("/videos/{video_id}/remix", "video_generation"),
)
TRAINING = (
    _job("/fine_tuning/jobs", "fine_tuning"),
    _job("/fine_tuning/alpha/graders/run", "grading"),
    _job("/evals/{eval_id}/runs", "evaluation"),
)
SESSIONS = (
    _job("/realtime/calls", "realtime_session", unstructured=True),
    _job("/realtime/calls/{call_id}/accept", "realtime_session", unstructured=True),
    _job("/live/sessions", "live_session"),
    _job("/live/sessions/{session_id}/accept", "live_session", unstructured=True),
    _job("/live/sessions/{session_id}/fork", "live_session"),
    _job("/agents/sessions", "invoke_agent"),
    _job("/agents/sessions/{session_id}/events", "invoke_agent", unstructured=True),
    _job("/agents/automations/{automation_id}/invocations", "invoke_agent"),
    _job("/containers", "create_container"),
)

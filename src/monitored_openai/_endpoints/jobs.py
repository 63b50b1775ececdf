"""Jobs and sessions: batches, videos, training, evaluations and live sessions. Their responses report no usage.

A record contains the name and the first state of the job; its usage and cost are unknown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

from monitored_openai._endpoints.base import BACKGROUND, ParsedResponse, dictionary, text
from monitored_openai._endpoints.final_event import plain_endpoint
from monitored_openai._endpoints.parsing import parse_plain


def parse_job(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse the body of a job, without its usage, which covers more than this call and may still change."""
    error = dictionary(body.get("error"))
    failed = text(body.get("status")) == "failed"
    return dataclasses.replace(
        parse_plain(body),
        usage=None,
        usage_unknown="not_reported",
        error_code=(text(error.get("code")) or "failed") if failed else None,
        error_message=text(error.get("message")),
    )


def _parse_batch(body: Mapping[str, Any]) -> ParsedResponse:
    return dataclasses.replace(parse_job(body), usage_unknown=BACKGROUND)


_job = partial(plain_endpoint, parse=parse_job, reports_usage=False)
BATCH_RESULT = _job("", "batch_result", reports_usage=True)
"""The endpoint, without a path, of the call that records a finished batch for `batch_usage(count=True)`."""
BATCHES = _job("/batches", "batch", parse=_parse_batch)
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
    _job("/realtime/calls", "realtime_session", non_json=True),
    _job("/realtime/calls/{call_id}/accept", "realtime_session", non_json=True),
    _job("/live/sessions", "live_session"),
    _job("/live/sessions/{session_id}/accept", "live_session", non_json=True),
    _job("/live/sessions/{session_id}/fork", "live_session"),
    _job("/agents/sessions", "invoke_agent"),
    _job("/agents/sessions/{session_id}/events", "invoke_agent", non_json=True),
    _job("/agents/automations/{automation_id}/invocations", "invoke_agent"),
    _job("/containers", "create_container"),
)

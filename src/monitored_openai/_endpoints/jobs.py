"""Jobs and sessions: batches, videos, training, evaluations and live sessions. Their responses report no usage.

A record contains the name and the first state of the job. Its usage is unknown, and so is its cost, except for videos
and containers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

from monitored_openai._endpoints.base import BACKGROUND, ParsedResponse, amount, dictionary, text
from monitored_openai._endpoints.final_event import plain_endpoint
from monitored_openai._endpoints.parsing import parse_plain
from monitored_openai._endpoints.tools import CONTAINER_SIZES


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


def _parse_video(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse a video job, which bills the length of the video at its resolution."""
    seconds = body.get("seconds")
    length = amount(float(seconds)) if isinstance(seconds, str) and seconds.isdecimal() else amount(seconds)
    unit = _VIDEO_UNITS.get(str(body.get("size")), "video_seconds")
    return dataclasses.replace(parse_job(body), units={unit: length} if length else {})


def _parse_extension(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse a video job that reports the length of the whole video, although only a part is new."""
    return dataclasses.replace(parse_job(body), incomplete=("unit",))


def _parse_container(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse a new container, which bills sessions by its memory."""
    size = body.get("memory_limit") or "1g"
    known = size in CONTAINER_SIZES
    return dataclasses.replace(
        parse_job(body),
        units={f"container_sessions_{size}": 1.0} if known else {},
        incomplete=() if known else ("unit",),
    )


def _parse_batch(body: Mapping[str, Any]) -> ParsedResponse:
    return dataclasses.replace(parse_job(body), usage_unknown=BACKGROUND)


_VIDEO_UNITS = {
    **dict.fromkeys(("720x1280", "1280x720"), "video_seconds_720p"),
    **dict.fromkeys(("1024x1792", "1792x1024"), "video_seconds_1024p"),
    **dict.fromkeys(("1080x1920", "1920x1080"), "video_seconds_1080p"),
}
"""The unit that a second of video bills, by the size of the frame."""
_job = partial(plain_endpoint, parse=parse_job, reports_usage=False)
BATCH_RESULT = _job("", "batch_result", reports_usage=True)
"""The endpoint of the call that records a finished batch for `batch_usage(count=True)`; it has no path."""
BATCHES = _job("/batches", "batch", parse=_parse_batch)
VIDEOS = (
    _job("/videos", "video_generation", parse=_parse_video),
    _job("/videos/characters", "video_generation"),
    _job("/videos/edits", "video_generation", parse=_parse_video),
    _job("/videos/extensions", "video_generation", parse=_parse_extension),
    _job("/videos/{video_id}/remix", "video_generation", parse=_parse_video),
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
    _job("/containers", "create_container", parse=_parse_container),
)

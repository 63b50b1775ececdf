"""Streams of OpenAI-compatible servers: chunks as from the bare SDK, and a log entry with all data that was sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance._odd import Odd, cases, play
from tests.conformance._stage import Stage
from tests.endpoints._stream_profiles import PROFILES, Profile
from tests.support.servers.openai_api import Behaviour


def whole(profile: Profile) -> dict[str, Any]:
    """The same answer without a stream."""
    choice = {"index": 0, "message": profile.message, "finish_reason": "stop", **profile.choice}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return {**head, "choices": [choice], **profile.body, "usage": profile.usage}


def sent(profile: Profile, *, streamed: bool) -> Odd:
    body, kind = json.dumps(whole(profile)), "application/json"
    if streamed:
        body, kind = "".join(f"data: {json.dumps(event)}\n\n" for event in profile.events), "text/event-stream"
        body += "data: [DONE]\n\n"
    return Odd(behaviour=Behaviour(body=body, content_type=kind))


STREAMS = {name: sent(profile, streamed=True) for name, profile in PROFILES.items()}


@pytest.mark.parametrize(("odd", "name", "is_async"), list(cases(STREAMS, "stream-asked", "raw-stream-asked")))
def test_a_streamed_answer_is_logged_like_a_whole_one(stage: Stage, odd: Odd, name: str, is_async: bool) -> None:
    profile = next(PROFILES[key] for key, value in STREAMS.items() if value is odd)

    streamed = play(stage, odd, name, is_async)
    answered = play(stage, sent(profile, streamed=False), "create", is_async)

    assert streamed.response == answered.response == whole(profile)
    assert streamed.usage == answered.usage
    assert streamed.finish_reasons == answered.finish_reasons
    assert streamed.response_model == answered.response_model == "m"

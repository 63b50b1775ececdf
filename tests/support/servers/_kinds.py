"""The fake API's endpoints besides the completions: the reply and the stream chunks of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ._behaviour import Behaviour
from ._jobs import decision, job, run, run_events
from ._media import (
    embeddings,
    image_events,
    images,
    moderation,
    speech,
    transcription,
    transcription_events,
    translation,
)
from ._responses import compacted, response, response_events

Answered = dict[str, Any] | str | bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """An endpoint: what it answers to a body, for a model, with a number; and the events of a stream of that."""

    path: str
    answer: Callable[[Mapping[str, Any], str, int, Behaviour], Answered]
    events: Callable[[Mapping[str, Any], Behaviour], Iterator[dict[str, Any]]] | None = None


_JOBS = (
    *("/batches", "/videos", "/videos/video_1/remix", "/fine_tuning/jobs", "/evals/eval_1/runs", "/containers"),
    *("/live/sessions", "/agents/automations/auto_1/invocations"),
)
KINDS = {
    kind.path: kind
    for kind in (
        Kind(path="/responses", answer=response, events=response_events),
        Kind(path="/responses/compact", answer=compacted),
        Kind(path="/embeddings", answer=embeddings),
        Kind(path="/images/generations", answer=images, events=image_events),
        Kind(path="/images/edits", answer=images, events=image_events),
        Kind(path="/images/variations", answer=images),
        Kind(path="/audio/speech", answer=speech),
        Kind(path="/audio/transcriptions", answer=transcription, events=transcription_events),
        Kind(path="/audio/translations", answer=translation),
        Kind(path="/moderations", answer=moderation),
        Kind(path="/decisions", answer=decision),
        Kind(path="/threads/runs", answer=run, events=run_events),
        Kind(path="/threads/thread_1/runs", answer=run, events=run_events),
        *(Kind(path=path, answer=job) for path in _JOBS),
    )
}
_PATH = re.compile(r"^(?:/openai/deployments/(?P<deployment>[^/]+)|/openai|/v1)(?P<path>/.+)$")
STORED = re.compile(r"^(?P<kind>/responses|/threads/\w+/runs)/(?P<id>(?:resp|run)_\w+)(?:/cancel)?$")


def place_of(path: str) -> tuple[str | None, str]:
    """The deployment, on Azure, and the path below the API's own."""
    found = _PATH.match(path)
    return (found["deployment"], found["path"]) if found else (None, path)


def whole_in(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an event of a stream is about: the response, the run or, as in an answer, itself."""
    about = event.get("response") or event.get("data")
    return about if isinstance(about, Mapping) else event

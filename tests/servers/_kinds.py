"""The endpoints of the fake API besides the completions: of each, how it answers and what its streams are made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ._behaviour import Behaviour
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
    )
}
_PATH = re.compile(r"^(?:/openai/deployments/(?P<deployment>[^/]+)|/openai|/v1)(?P<path>/.+)$")
STORED = re.compile(r"^/responses/(resp_\w+)(/cancel)?$")


def place_of(path: str) -> tuple[str | None, str]:
    """The deployment, on Azure, and the path below the API's own."""
    found = _PATH.match(path)
    return (found["deployment"], found["path"]) if found else (None, path)


def usage_in(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The usage that an answer, or an event of a stream, tells."""
    usage = event.get("usage") or (event.get("response") or {}).get("usage")
    return usage if isinstance(usage, Mapping) else None

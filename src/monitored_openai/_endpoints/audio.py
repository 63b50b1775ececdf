"""Speech, transcriptions and translations: how their bodies and the events of their streams are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai import BaseModel

from monitored_openai._endpoints.base import Endpoint
from monitored_openai._endpoints.final_event import Events
from monitored_openai._endpoints.reading import read_plain
from monitored_openai._record import Usage


def _characters(request: Mapping[str, Any]) -> Usage:
    spoken = request.get("input")
    return Usage(input_characters=len(spoken) if isinstance(spoken, str) else None)


def _family(path: str, operation: str, **more: Any) -> Endpoint:
    return Endpoint(
        path=path,
        operation=operation,
        answer=read_plain,
        chunks=Events,
        chunk_type=BaseModel,
        names_model=False,
        unstructured=True,
        **more,
    )


SPEECH = _family("/audio/speech", "speech", asked=_characters)
TRANSCRIPTIONS = _family("/audio/transcriptions", "transcription")
TRANSLATIONS = _family("/audio/translations", "translation")

"""Speech, transcriptions and translations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai import BaseModel

from monitored_openai._endpoints.base import Endpoint
from monitored_openai._endpoints.final_event import FinalEventAccumulator
from monitored_openai._endpoints.parsing import parse_plain
from monitored_openai._record import Usage


def _characters(request: Mapping[str, Any]) -> Usage:
    spoken_text = request.get("input")
    return Usage(input_characters=len(spoken_text) if isinstance(spoken_text, str) else None)


def _endpoint(path: str, operation: str, **more: Any) -> Endpoint:
    return Endpoint(
        path=path,
        operation=operation,
        parse=parse_plain,
        accumulator=FinalEventAccumulator,
        chunk_type=BaseModel,
        returns_model=False,
        non_json=True,
        **more,
    )


SPEECH = _endpoint("/audio/speech", "speech", billed_request=_characters)
TRANSCRIPTIONS = _endpoint("/audio/transcriptions", "transcription")
TRANSLATIONS = _endpoint("/audio/translations", "translation")

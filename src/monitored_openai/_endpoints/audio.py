"""Speech, transcriptions and translations."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from monitored_openai._endpoints.final_event import plain_endpoint
from monitored_openai._record import Usage


def _characters(request: Mapping[str, Any]) -> Usage:
    spoken_text = request.get("input")
    return Usage(input_characters=len(spoken_text) if isinstance(spoken_text, str) else None)


_endpoint = partial(plain_endpoint, returns_model=False, non_json=True)
SPEECH = _endpoint("/audio/speech", "speech", billed_request=_characters)
TRANSCRIPTIONS = _endpoint("/audio/transcriptions", "transcription")
TRANSLATIONS = _endpoint("/audio/translations", "translation")

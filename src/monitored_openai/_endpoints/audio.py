"""Speech, transcriptions and translations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

from monitored_openai._endpoints.base import SPLIT_UNKNOWN, ParsedResponse, count, dictionary
from monitored_openai._endpoints.final_event import plain_endpoint
from monitored_openai._endpoints.parsing import parse_plain
from monitored_openai._record import Usage


def _characters(request: Mapping[str, Any]) -> Usage:
    spoken_text = request.get("input")
    return Usage(input_characters=len(spoken_text) if isinstance(spoken_text, str) else None)


def parse_transcription(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse a transcription, whose input is audio and text with different prices."""
    parsed = parse_plain(body)
    usage = parsed.usage
    if usage is None or not usage.input_tokens or usage.input_audio_tokens is not None:
        return parsed
    texts = count(dictionary(parsed.reported_usage.get("input_token_details")).get("text_tokens"))
    if texts is None or texts > usage.input_tokens:
        return dataclasses.replace(parsed, unpriced=SPLIT_UNKNOWN)
    return dataclasses.replace(parsed, usage=dataclasses.replace(usage, input_audio_tokens=usage.input_tokens - texts))


_endpoint = partial(plain_endpoint, returns_model=False, non_json=True)
SPEECH = _endpoint("/audio/speech", "speech", billed_request=_characters)
TRANSCRIPTIONS = _endpoint("/audio/transcriptions", "transcription", parse=parse_transcription)
TRANSLATIONS = _endpoint("/audio/translations", "translation", parse=parse_transcription)

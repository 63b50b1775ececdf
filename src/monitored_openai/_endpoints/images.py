"""Images: generations, edits and variations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from openai import BaseModel

from monitored_openai._endpoints.base import Endpoint, ParsedResponse
from monitored_openai._endpoints.final_event import FinalEventAccumulator
from monitored_openai._endpoints.parsing import parse_plain

_OTHER_MODEL = "split_unknown"
"""Another model writes SVG drawings; the usage reports its tokens beside those of the images."""


def parse_images(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse a body with images, or the final event of a stream."""
    parsed = parse_plain(body)
    return parsed if body.get("svg_usage") is None else dataclasses.replace(parsed, unpriced=_OTHER_MODEL)


def _endpoint(path: str, *, reports_usage: bool = True) -> Endpoint:
    return Endpoint(
        path=path,
        operation="image_generation",
        parse=parse_images,
        accumulator=FinalEventAccumulator,
        chunk_type=BaseModel,
        returns_model=False,
        reports_usage=reports_usage,
    )


GENERATIONS = _endpoint("/images/generations")
EDITS = _endpoint("/images/edits")
VARIATIONS = _endpoint("/images/variations", reports_usage=False)

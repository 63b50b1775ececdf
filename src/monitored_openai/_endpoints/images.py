"""Images: generations, edits and variations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

from monitored_openai._endpoints.base import ParsedResponse
from monitored_openai._endpoints.final_event import plain_endpoint
from monitored_openai._endpoints.parsing import parse_plain

_OTHER_MODEL = "split_unknown"
"""The reason for an unknown cost of SVG drawings: a second model writes them, and the usage reports its tokens too."""


def parse_images(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse a body with images, or the final event of a stream."""
    parsed = parse_plain(body)
    return parsed if body.get("svg_usage") is None else dataclasses.replace(parsed, unpriced=_OTHER_MODEL)


_endpoint = partial(plain_endpoint, operation="image_generation", parse=parse_images, returns_model=False)
GENERATIONS = _endpoint("/images/generations")
EDITS = _endpoint("/images/edits")
VARIATIONS = _endpoint("/images/variations", reports_usage=False)

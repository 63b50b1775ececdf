"""Images: generations, edits and variations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

from monitored_openai._endpoints.base import SPLIT_UNKNOWN, ParsedResponse
from monitored_openai._endpoints.final_event import plain_endpoint
from monitored_openai._endpoints.parsing import parse_plain
from monitored_openai._endpoints.tools import svg_part


def parse_images(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse a body with images, or the final event of a stream."""
    parsed = parse_plain(body)
    if body.get("svg_usage") is None:
        return parsed
    # Another model writes the drawing; `usage` covers only the rendering of images.
    author = svg_part(body["svg_usage"])
    if author is None:
        return dataclasses.replace(parsed, incomplete=("unit",))
    return dataclasses.replace(parsed, parts=(author,))


def parse_edited(body: Mapping[str, Any]) -> ParsedResponse:
    """Parse the body of an edit, whose input is images and text with different prices."""
    parsed = parse_images(body)
    if parsed.usage is None or not parsed.usage.input_tokens or parsed.usage.input_image_tokens is not None:
        return parsed
    return dataclasses.replace(parsed, unpriced=SPLIT_UNKNOWN)


_endpoint = partial(plain_endpoint, operation="image_generation", parse=parse_images, returns_model=False)
GENERATIONS = _endpoint("/images/generations")
EDITS = _endpoint("/images/edits", parse=parse_edited)
VARIATIONS = _endpoint("/images/variations", reports_usage=False)

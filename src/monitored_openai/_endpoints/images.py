"""Images made, edited and varied: how their bodies and the events of their streams are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from openai import BaseModel

from monitored_openai._endpoints.base import Endpoint, ParsedResponse
from monitored_openai._endpoints.final_event import Events
from monitored_openai._endpoints.reading import read_plain

_OTHER_MODEL = "split_unknown"
"""Drawings in SVG are written by a model of their own, whose tokens come beside those of the images."""


def read_images(body: Mapping[str, Any]) -> ParsedResponse:
    """Read the body of an answer with images, or the last event of a stream of one."""
    answer = read_plain(body)
    return answer if body.get("svg_usage") is None else dataclasses.replace(answer, unpriced=_OTHER_MODEL)


def _family(path: str, *, tells_usage: bool = True) -> Endpoint:
    return Endpoint(
        path=path,
        operation="image_generation",
        answer=read_images,
        chunks=Events,
        chunk_type=BaseModel,
        names_model=False,
        tells_usage=tells_usage,
    )


GENERATIONS = _family("/images/generations")
EDITS = _family("/images/edits")
VARIATIONS = _family("/images/variations", tells_usage=False)

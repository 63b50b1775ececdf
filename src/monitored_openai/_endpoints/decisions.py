"""Decisions."""

from __future__ import annotations

from openai import BaseModel

from monitored_openai._endpoints.base import Endpoint
from monitored_openai._endpoints.final_event import FinalEventAccumulator
from monitored_openai._endpoints.parsing import parse_plain

DECISIONS = Endpoint(
    path="/decisions", operation="decision", parse=parse_plain, accumulator=FinalEventAccumulator, chunk_type=BaseModel
)

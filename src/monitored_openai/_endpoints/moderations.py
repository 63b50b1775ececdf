"""Moderations, which are free: their records have no usage and no cost."""

from __future__ import annotations

from openai import BaseModel

from monitored_openai._endpoints.base import Endpoint
from monitored_openai._endpoints.final_event import FinalEventAccumulator
from monitored_openai._endpoints.parsing import parse_plain

MODERATIONS = Endpoint(
    path="/moderations",
    operation="moderation",
    parse=parse_plain,
    accumulator=FinalEventAccumulator,
    chunk_type=BaseModel,
    billed=False,
)

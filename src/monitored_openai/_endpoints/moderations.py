"""Moderations, which cost nothing: seen as calls, with what they found, without usage and cost."""

from __future__ import annotations

from openai import BaseModel

from monitored_openai._endpoints.base import Endpoint
from monitored_openai._endpoints.final_event import Events
from monitored_openai._endpoints.reading import read_plain

MODERATIONS = Endpoint(
    path="/moderations", operation="moderation", answer=read_plain, chunks=Events, chunk_type=BaseModel, billed=False
)

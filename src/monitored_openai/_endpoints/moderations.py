"""Moderations, which cost nothing: seen as calls, with what they found, without usage and cost."""

from __future__ import annotations

from openai import BaseModel

from monitored_openai._answer import Family
from monitored_openai._resources._events import Events
from monitored_openai._resources._reading import read_plain

MODERATIONS = Family(
    path="/moderations", operation="moderation", answer=read_plain, chunks=Events, chunk_type=BaseModel, billed=False
)

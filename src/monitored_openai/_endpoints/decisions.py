"""Decisions: how their bodies are read."""

from __future__ import annotations

from openai import BaseModel

from monitored_openai._endpoints.base import Endpoint
from monitored_openai._endpoints.final_event import Events
from monitored_openai._endpoints.reading import read_plain

DECISIONS = Endpoint(path="/decisions", operation="decision", answer=read_plain, chunks=Events, chunk_type=BaseModel)

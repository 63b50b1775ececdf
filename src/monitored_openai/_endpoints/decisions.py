"""Decisions: how their bodies are read."""

from __future__ import annotations

from openai import BaseModel

from monitored_openai._answer import Family
from monitored_openai._resources._events import Events
from monitored_openai._resources._reading import read_plain

DECISIONS = Family(path="/decisions", operation="decision", answer=read_plain, chunks=Events, chunk_type=BaseModel)

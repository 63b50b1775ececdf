"""Decisions."""

from __future__ import annotations

from monitored_openai._endpoints.final_event import plain_endpoint

DECISIONS = plain_endpoint("/decisions", "decision")

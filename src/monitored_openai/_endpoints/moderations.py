"""Moderations. They are free, so their records have no usage and no cost."""

from __future__ import annotations

from monitored_openai._endpoints.final_event import plain_endpoint

MODERATIONS = plain_endpoint("/moderations", "moderation", billed=False)

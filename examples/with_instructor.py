"""Instructor: it takes the client, sync or async.

    python with_instructor.py

Where the telemetry goes is in MONITORED_OPENAI_* variables.
"""

from __future__ import annotations

import instructor
from pydantic import BaseModel

from monitored_openai import AsyncMonitoredOpenAI, MonitoredOpenAI, attributes

client, async_client = MonitoredOpenAI(), AsyncMonitoredOpenAI()
asking = instructor.from_openai(client)
asking_async = instructor.from_openai(async_client)


class City(BaseModel):
    """The form of the answer."""

    name: str


if __name__ == "__main__":
    with attributes(feature="search"):
        print(
            asking.chat.completions.create(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": "Which city is the capital of Peru?"}],
                response_model=City,
            )
        )

"""Instructor: pass it the client, sync or async.

    python with_instructor.py

The variables MONITORED_OPENAI_* name the back ends for the telemetry.
"""

from __future__ import annotations

import instructor
from pydantic import BaseModel

from monitored_openai import AsyncMonitoredOpenAI, MonitoredOpenAI, attributes

client, async_client = MonitoredOpenAI(), AsyncMonitoredOpenAI()
asking = instructor.from_openai(client)
asking_async = instructor.from_openai(async_client)


class City(BaseModel):
    """The structure of the answer."""

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
